//! Enrolling once, without staying: for a person at a terminal or a script.

use muster_agent_core::Patience;
use tokio::sync::watch;

use crate::begin::{Holding, begin};
use crate::drive::{Driver, Goal, Setting};
use crate::ports::Ports;
use crate::progress::Observer;
use crate::run::{EnrollOptions, conclude};
use crate::store::Store;
use crate::{AgentError, Identity, Progress};

/// Enrolls this machine and returns who it is. A directory that holds an identity of the same deployment already is
/// no error: that identity is returned.
///
/// With `wait`, holds and outages are sat out and told through `progress`; a wrong server or a wrong clock ends it.
/// The same key and the same request are used however often it is called.
pub async fn enroll(
    options: EnrollOptions,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<Identity, AgentError> {
    enroll_on(Ports::real(), options, Box::new(progress)).await
}

pub(crate) async fn enroll_on(
    ports: Ports,
    options: EnrollOptions,
    observer: Observer,
) -> Result<Identity, AgentError> {
    let store = Store::open(&options.dir)?;
    if options.reset {
        store.reset(ports.clock.now())?;
    }
    let patience = if options.wait { Patience::Foreground } else { Patience::Once };
    let (agent, holding) = begin(&store, Some(&options.joining), patience, ports.clock.now(), None)?;
    if let (Holding::Enrolled(enrolled), _) = holding {
        return Ok(enrolled.identity);
    }
    let setting = Setting { ports, hooks_dir: options.hooks_dir, goal: Goal::Enroll };
    let mut driver = Driver::new(setting, store, agent, holding, observer)?;
    // Nobody stops it but the process itself.
    let (_stop, shutdown) = watch::channel(false);
    let finish = driver.drive(shutdown).await?;
    conclude(finish, &driver, &options.dir)?;
    match driver.holding() {
        Holding::Enrolled(enrolled) => Ok(enrolled.identity.clone()),
        Holding::Pending { .. } => Err(AgentError::Network { what: "the enrollment was interrupted".into() }),
    }
}

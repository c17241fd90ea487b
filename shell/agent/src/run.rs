//! Running the agent: what it may be told, and the whole run from opening the store to the exit code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use muster_agent_core::{Ending, Patience};
use muster_model::{KeyAlgorithm, MachineKind, Secret};
use muster_wire::invite::{CaPin, Invite};
use tokio::sync::watch;

use crate::begin::{Holding, begin};
use crate::drive::{Driver, Finish, Goal, Setting};
use crate::ports::Ports;
use crate::progress::Observer;
use crate::store::Store;
use crate::{AgentError, HardwareMode, Progress, notify};

/// A way to become a known machine.
#[derive(Debug, Clone)]
pub enum Way {
    /// By an invite: address, pin and token in one.
    Invite(Invite),
    /// Without any secret: a person decides.
    Request {
        /// Where the server is.
        url: String,
        /// Which CA it must have.
        pin: CaPin,
        /// The site to ask for, by its code; the server's own choice where nothing is said.
        site: Option<String>,
    },
    /// As the machine that it is already: by the bearer key of a client without a key of its own.
    Credential {
        /// Where the server is.
        url: String,
        /// Which CA it must have.
        pin: CaPin,
        /// The bearer key. It ends once this machine's new key is known.
        secret: Secret,
    },
}

/// How to enroll, where that is needed.
#[derive(Debug, Clone)]
pub struct Joining {
    /// The way in.
    pub way: Way,
    /// Which hardware id to show.
    pub hardware: HardwareMode,
    /// What the machine calls itself, instead of its host name.
    pub hostname: Option<String>,
    /// What sort of thing it is.
    pub kind: MachineKind,
    /// What else it says of itself, beside the facts gathered here.
    pub attributes: BTreeMap<String, String>,
    /// The key to make.
    pub algorithm: KeyAlgorithm,
}

/// A one-shot enrollment.
#[derive(Debug, Clone)]
pub struct EnrollOptions {
    /// The agent's directory.
    pub dir: PathBuf,
    /// Where hooks are.
    pub hooks_dir: Option<PathBuf>,
    /// How to enroll.
    pub joining: Joining,
    /// Set aside whatever is in the directory first.
    pub reset: bool,
    /// Sit out holds and outages. Otherwise: one request, one answer.
    pub wait: bool,
}

/// A resident agent.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The agent's directory.
    pub dir: PathBuf,
    /// Where hooks are.
    pub hooks_dir: Option<PathBuf>,
    /// How to enroll, where the directory holds no identity yet.
    pub joining: Option<Joining>,
    /// Set aside whatever is in the directory first.
    pub reset: bool,
    /// How old a key may grow before the agent makes the next one; for ever where nothing is said.
    pub rotate_after: Option<Duration>,
}

/// How old a key may grow where nobody says otherwise: 30 days.
pub const ROTATE_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

impl Joining {
    /// A host with a P-256 key and its own hardware id.
    pub fn new(way: Way) -> Self {
        Self {
            way,
            hardware: HardwareMode::Auto,
            hostname: None,
            kind: MachineKind::Host,
            attributes: BTreeMap::new(),
            algorithm: KeyAlgorithm::P256,
        }
    }
}

impl Way {
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Invite(invite) => &invite.url,
            Self::Request { url, .. } | Self::Credential { url, .. } => url,
        }
    }

    pub(crate) fn pin(&self) -> CaPin {
        match self {
            Self::Invite(invite) => invite.pin,
            Self::Request { pin, .. } | Self::Credential { pin, .. } => *pin,
        }
    }
}

/// Runs the agent until it is told to stop (`Ok`) or its identity or enrollment ends (`Err`, with the exit code).
///
/// Enrolls first where the directory holds no identity and `joining` says how; a valid identity simply starts,
/// whatever became of the invite.
pub async fn run(
    options: RunOptions,
    shutdown: watch::Receiver<bool>,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<(), AgentError> {
    run_on(Ports::real(), options, shutdown, Box::new(progress)).await
}

pub(crate) async fn run_on(
    ports: Ports,
    options: RunOptions,
    shutdown: watch::Receiver<bool>,
    observer: Observer,
) -> Result<(), AgentError> {
    let store = Store::open(&options.dir)?;
    if options.reset {
        store.reset(ports.clock.now())?;
    }
    // A span that no calendar holds is as good as for ever.
    let rotate_after = options.rotate_after.and_then(|after| SignedDuration::try_from(after).ok());
    let (agent, holding) =
        begin(&store, options.joining.as_ref(), Patience::Service, ports.clock.now(), rotate_after)?;
    let setting = Setting { ports, hooks_dir: options.hooks_dir, goal: Goal::Serve };
    let mut driver = Driver::new(setting, store, agent, holding, observer)?;
    notify::ready();
    let finish = driver.drive(shutdown).await?;
    notify::stopping();
    conclude(finish, &driver, &options.dir)
}

/// The result of a drive, as the caller sees it.
pub(crate) fn conclude(finish: Finish, driver: &Driver, dir: &Path) -> Result<(), AgentError> {
    match finish {
        Finish::Told | Finish::Enrolled => Ok(()),
        Finish::Ended(Ending::Pending) => Err(pending(driver.holding())),
        Finish::Ended(ending) => Err(AgentError::ending(&ending, dir)),
    }
}

fn pending(holding: &Holding) -> AgentError {
    let (hold, words) = match holding {
        Holding::Pending { pending, key, .. } => {
            (pending.hold.as_ref().map(|hold| hold.id.clone()).unwrap_or_default(), key.words().join(" "))
        }
        Holding::Enrolled(_) => Default::default(),
    };
    AgentError::Pending { hold, words }
}

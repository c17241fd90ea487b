//! `muster serve`: a server only, for hosts that are no machines of their own fleet.

use clap::Args;
use sd_notify::NotifyState;

use super::up::{Listen, UpReady};
use crate::compose::{Home, Running, start};
use crate::config::Config;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::logging;

/// A server only.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// How it is reached.
    #[command(flatten)]
    pub(crate) listen: Listen,
}

/// Runs `muster serve`.
pub(crate) fn run(context: &Context, args: Serve) -> Result {
    let config = configured(context, &args.listen)?;
    on_many_threads(async {
        let running = opened(context, &config).await?;
        UpReady::of(&running).print(context.out)?;
        until_told(running).await
    })
}

/// The configuration with what the command line says over it; the log as it says.
pub(crate) fn configured(context: &Context, listen: &Listen) -> Result<Config> {
    let mut config = context.config()?.config;
    listen.over(&mut config);
    logging::of_server(&config.log, context.global.verbose, context.out.color);
    Ok(config)
}

/// A server in its data directory, answering.
pub(crate) async fn opened(context: &Context, config: &Config) -> Result<Running> {
    let dir = context.server_dir(config);
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let home = Home::open(&dir, config).await?;
    start(home, config).await
}

/// Serves until somebody ends the process kindly or the disk under the database fails.
pub(crate) async fn until_told(running: Running) -> Result {
    let mut told = super::agent::told_to_stop()?;
    tell_the_service_manager(&[NotifyState::Ready]);
    tokio::select! {
        _ = told.wait_for(|stop| *stop) => {}
        () = running.damaged() => {
            return Err(Failure::new(Exit::Failed, "the disk under the database failed, nothing more is promised")
                .hint("check the disk; the next start looks at the database anew"));
        }
    }
    tell_the_service_manager(&[NotifyState::Stopping]);
    running.stop().await;
    Ok(())
}

/// Tells systemd, where it asked to be told.
fn tell_the_service_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Runs a server.
pub(crate) fn on_many_threads<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| super::no_runtime(&error))?.block_on(future)
}

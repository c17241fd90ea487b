//! `muster up`: a server, and this machine as its first one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use muster_agent::{AgentStatus, HardwareMode, Joining, Progress, RunOptions, Way};
use muster_app::{Mode, Origin};
use muster_wire::ListQuery;
use muster_wire::grant::CreateGrant;
use muster_wire::invite::{CaPin, Invite, InviteError};
use serde::Serialize;
use tokio::sync::watch;

use super::serve;
use crate::compose::Running;
use crate::config::Config;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Format, Human, Output, details};

/// An hour, in seconds.
const HOUR: u32 = 3_600;
/// A day, in seconds.
const DAY: u32 = 86_400;

/// A server, and this machine as its first one.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// How it is reached.
    #[command(flatten)]
    pub(crate) listen: Listen,
    /// Where this machine's hardware id comes from: `auto`, `none`, or a value of your own.
    #[arg(long, value_name = "ID", default_value = "auto")]
    pub(crate) hardware_id: String,
}

/// How a server is reached; goes over the configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct Listen {
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// A further name or address of the server; may be repeated.
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// A listener of its own for /metrics.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// A listener of their own for existing clients that cannot trust a private CA: plain, or with the certificate that the
    /// configuration names.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) compat_listen: Option<SocketAddr>,
}

/// What `up` tells once everything runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UpReady {
    /// Where machines and people reach the server.
    pub(crate) url: String,
    /// Opens the status page, once; told by `up` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) login_url: Option<String>,
    /// The pin of the CA.
    pub(crate) ca_pin: String,
    /// Lets one more machine in; told by `up` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) invite: Option<String>,
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// This machine's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<String>,
    /// Where metrics are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics_url: Option<String>,
    /// Where existing clients that cannot trust a private CA are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compat_url: Option<String>,
}

/// Runs `muster up`.
pub(crate) fn run(context: &Context, args: Up) -> Result {
    let mut config = serve::configured(context, &args.listen)?;
    config.server.metrics_listen = config.server.metrics_listen.or_else(|| beside(config.server.listen, 1));
    config.compat.listen = config.compat.listen.or_else(|| beside(config.server.listen, 2));
    config.compat.all_on();
    serve::on_many_threads(async {
        let mut running = serve::opened(context, &config).await?;
        let machine = match this_machine(&mut running, &config, &args.hardware_id).await {
            Ok(machine) => machine,
            Err(failure) => {
                running.stop().await;
                return Err(failure);
            }
        };
        ready(&running, machine).await?.print(context.out)?;
        serve::until_told(running).await
    })
}

/// Metrics and existing clients are served beside the server where nobody says otherwise: on this host alone, on the next
/// ports.
fn beside(listen: SocketAddr, next: u16) -> Option<SocketAddr> {
    let port = if listen.port() == 0 { 0 } else { listen.port().checked_add(next)? };
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // They are no reason not to start: where the port is taken, there are none.
    std::net::TcpListener::bind(address).is_ok().then_some(address)
}

/// Enrolls this machine through the network like any other, and keeps its agent running beside the server.
///
/// An agent that cannot run is no reason to leave the fleet without its server: it is told of, and there is no machine.
async fn this_machine(running: &mut Running, config: &Config, hardware_id: &str) -> Result<Option<String>> {
    let hardware = hardware(hardware_id)?;
    let dir = running.home().join("agent");
    let Some(known) = standing(&dir) else { return Ok(None) };
    if known.machine.is_none() && running.app.mode() != Mode::Normal {
        return Ok(None);
    }
    let way = match known.machine.is_some() {
        // The address may be another one since: it is told, and proves itself by the pinned CA.
        true => Way::Request { url: running.app.settings().url.clone(), pin: pin(running), site: None },
        false => Way::Invite(own_invite(running).await?),
    };
    let joining = Some(Joining { hardware, ..Joining::new(way) });
    let (tell, mut told) = watch::channel(None);
    let rotate_after = config.agent.rotate_after.get();
    let options = RunOptions { dir: dir.clone(), hooks_dir: None, joining, reset: false, rotate_after };
    let mut draining = running.draining();
    let (stop, stopped) = watch::channel(false);
    running.beside(async move {
        draining.started().await;
        stop.send_replace(true);
    });
    let report = move |progress: Progress| announce(&tell, progress);
    running.beside(async move {
        if let Err(error) = muster_agent::run(options, stopped, report).await {
            tracing::error!(error = &error as &dyn std::error::Error, "this machine's own agent has ended");
        }
    });
    // The agent speaks once it is online, held or ended; whatever it says, the server itself is up.
    told.wait_for(Option::is_some).await.ok();
    Ok(standing(&dir).and_then(|status| status.machine).map(|machine| machine.id))
}

/// What the agent's directory holds; nothing, and a warning, where it is damaged or open to others.
fn standing(dir: &Path) -> Option<AgentStatus> {
    let failure = match muster_agent::status(dir) {
        Ok(status) => return Some(status),
        Err(error) => Failure::from(error),
    };
    let cause = Some(failure.why()).filter(|cause| !cause.is_empty());
    let fix = Some(failure.fix()).filter(|fix| !fix.is_empty());
    let fix = fix.unwrap_or_else(|| "mend it, then start again; `muster doctor` looks for the cause".into());
    tracing::warn!(
        problem = failure.message(),
        cause,
        fix,
        dir = %dir.display(),
        "this machine's own agent does not run; the server does"
    );
    None
}

fn hardware(given: &str) -> Result<HardwareMode> {
    given.parse().map_err(|error| Failure::usage(format!("--hardware-id {given:?}")).because(&error))
}

fn pin(running: &Running) -> CaPin {
    running.app.authority().pin().parse().expect("the authority's own pin")
}

async fn own_invite(running: &Running) -> Result<Invite> {
    let invite = invite(running, HOUR).await?;
    invite.parse().map_err(|error: InviteError| Failure::new(Exit::Failed, "no invite").because(&error))
}

fn announce(tell: &watch::Sender<Option<()>>, progress: Progress) {
    match progress {
        Progress::Online => drop(tell.send_replace(Some(()))),
        Progress::Held { hold, reason, .. } => {
            tracing::warn!(hold, reason, "this machine waits for approval: muster hold show");
            tell.send_replace(Some(()));
        }
        // The agent goes on trying; the server is up all the same.
        Progress::Trouble { what } => {
            tracing::warn!(what, "this machine's own agent");
            tell.send_replace(Some(()));
        }
        Progress::Enrolled { .. }
        | Progress::Offline
        | Progress::Renewed { .. }
        | Progress::Rotated { .. }
        | Progress::Standing(_) => {}
    }
}

/// Everything a person or program needs next.
async fn ready(running: &Running, machine: Option<String>) -> Result<UpReady> {
    // Nothing is given out on a database that is older than it should be. The log says why.
    if running.app.mode() != Mode::Normal {
        return Ok(UpReady { machine, ..UpReady::of(running) });
    }
    let login_url = running.app.login_link(running.admin).await.map_err(|error| failed(&error))?;
    let invite = invite(running, DAY).await?;
    Ok(UpReady { login_url: Some(login_url), invite: Some(invite), machine, ..UpReady::of(running) })
}

/// A one-time invite.
async fn invite(running: &Running, seconds: u32) -> Result<String> {
    let origin = Origin { caller: running.app.local_admin(running.admin), source: None };
    let sites = running.app.sites(&ListQuery::default(), &origin).await.map_err(|error| failed(&error))?;
    let site = sites.items.first().map(|site| site.code.clone());
    let request = CreateGrant { site, expires_in: Some(seconds), ..CreateGrant::default() };
    let created = running.app.create_grant(request, None, &origin).await.map_err(|error| failed(&error))?;
    Ok(created.invite)
}

fn failed(error: &muster_app::Error) -> Failure {
    Failure::new(Exit::Failed, "the server is up and cannot do its work").because(error)
}

impl Listen {
    /// Puts what the command line says over the configuration.
    pub(crate) fn over(&self, config: &mut Config) {
        let Config { server, compat, .. } = config;
        compat.listen = self.compat_listen.or(compat.listen);
        server.listen = self.listen.unwrap_or(server.listen);
        server.metrics_listen = self.metrics_listen.or(server.metrics_listen);
        server.names.extend(self.names.iter().cloned());
    }
}

impl UpReady {
    /// What is no secret: a server that runs as a service writes its output into a journal.
    pub(crate) fn of(running: &Running) -> Self {
        Self {
            url: running.app.settings().url.clone(),
            login_url: None,
            ca_pin: running.app.authority().pin(),
            invite: None,
            data_dir: running.home().to_owned(),
            machine: None,
            metrics_url: running.metrics_url.clone(),
            compat_url: running.compat_url.clone(),
        }
    }

    /// Prints it: a block for people, or one line of JSON that says the server is ready.
    pub(crate) fn print(&self, out: Output) -> Result {
        match out.format {
            Format::Table => out.show(self),
            Format::Json => out.line(self),
            Format::Yaml => out.stream(self),
        }
    }
}

impl Human for UpReady {
    fn human(&self, _: Timestamp) -> String {
        let facts = details([
            ("address", self.url.clone()),
            ("login", self.login_url.as_ref().map(|url| format!("{url} (once)")).unwrap_or_default()),
            ("ca pin", self.ca_pin.clone()),
            ("data", self.data_dir.display().to_string()),
            ("machine", self.machine.as_ref().map(|id| format!("{id} (this one)")).unwrap_or_default()),
            ("metrics", self.metrics_url.clone().unwrap_or_default()),
            ("clients", self.compat_url.clone().unwrap_or_default()),
        ]);
        let next = match &self.invite {
            Some(invite) => {
                let command = super::invite::next_command(invite);
                format!("Let a second machine in, within a day, by typing on it:\n\n{command}")
            }
            None => {
                "Let machines in with `muster invite create`; log in with `muster login-link`.".to_owned()
            }
        };
        format!("Muster is up.\n\n{facts}\n\n{next}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> UpReady {
        UpReady {
            url: "https://127.0.0.1:8443".into(),
            login_url: Some("https://127.0.0.1:8443/login#x".into()),
            ca_pin: "sha256:00".into(),
            invite: Some("muster1:abc".into()),
            data_dir: "/var/lib/muster".into(),
            machine: None,
            metrics_url: None,
            compat_url: None,
        }
    }

    #[test]
    fn people_see_all_they_need_and_the_exact_next_command() {
        let text = ready().human(Timestamp::UNIX_EPOCH);
        for part in ["https://127.0.0.1:8443", "login#x", "sha256:00", "/var/lib/muster"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.contains("\n    echo 'muster1:abc' | muster agent run --invite-file -\n"), "{text}");
    }

    #[test]
    fn programs_get_the_documented_keys() {
        let json = serde_json::to_value(ready()).expect("an object");
        let keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["url", "login_url", "ca_pin", "invite", "data_dir"]);
    }

    #[test]
    fn a_damaged_agents_directory_is_no_machine_and_an_empty_one_is_a_new_one() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().expect("a temporary directory");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
        };
        mode(temp.path(), 0o700);
        assert!(standing(temp.path()).is_some_and(|status| status.machine.is_none()));
        let identity = temp.path().join("identity.json");
        std::fs::write(&identity, "{\"version\": ").expect("ours");
        mode(&identity, 0o600);
        assert!(standing(temp.path()).is_none());
    }
}

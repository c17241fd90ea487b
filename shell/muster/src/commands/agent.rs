//! `muster agent`: the resident program of a machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_agent::{AgentStatus, Joining, RunOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::adopt::Adopt;
use super::join::Join;
use super::progress::Teller;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, opt_relative, relative};

/// The agent of this machine.
#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Run the agent: hold the channel, renew the credential, rotate the key; enroll first where an invite is given.
    Run(Run),
    /// Take over from an existing client: the same machine, with a key of its own from now on; then run.
    Adopt(Adopt),
    /// Tell what the agent's directory holds: identity, state, credential, trouble.
    Status,
    /// Sign this machine off: it becomes retired, its files are set aside.
    Leave,
}

/// How to run the agent.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// How this machine asks to be let in, if it is not yet.
    #[command(flatten)]
    pub(crate) join: Join,
    /// Set owner and mode of the agent's files right before starting.
    #[arg(long)]
    pub(crate) repair_permissions: bool,
}

/// Runs `muster agent`.
pub(crate) fn run(context: &Context, verb: Agent) -> Result<ExitCode> {
    match verb {
        Agent::Run(args) => reside(context, args)?,
        Agent::Adopt(args) => super::adopt::run(context, args)?,
        Agent::Status => context.out.show(&muster_agent::status(&either_dir(context.agent_dir()))?)?,
        Agent::Leave => leave(context)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn reside(context: &Context, args: Run) -> Result {
    let dir = context.agent_dir();
    if args.repair_permissions && dir.exists() {
        for path in muster_agent::repair_permissions(&dir)? {
            context.out.note(&format!("repaired {}", path.display()));
        }
    }
    let joining = joining(context, &args.join, &dir)?;
    let rotate_after = context.config()?.config.agent.rotate_after.get();
    let options =
        RunOptions { dir, hooks_dir: args.join.hooks_dir, joining, reset: args.join.reset, rotate_after };
    let mut teller = Teller::resident(context.out);
    super::ask(context, async move {
        let told = told_to_stop()?;
        Ok(muster_agent::run(options, told, move |progress| teller.tell(&progress)).await?)
    })
}

/// How to enroll. A machine that is enrolled starts whatever became of its invite: the file may be gone by now.
fn joining(context: &Context, join: &Join, dir: &Path) -> Result<Option<Joining>> {
    match join.given().read() {
        Ok(invite) => join.joining(context, invite),
        Err(_) if !join.reset && is_enrolled(dir) => Ok(None),
        Err(failure) => Err(failure),
    }
}

pub(super) fn is_enrolled(dir: &Path) -> bool {
    enrolled(dir).is_some()
}

/// The machine that this directory is of.
pub(super) fn enrolled(dir: &Path) -> Option<String> {
    muster_agent::status(dir).ok()?.machine.map(|machine| machine.id)
}

/// Turns true when somebody ends the process kindly (SIGTERM, Ctrl-C).
pub(crate) fn told_to_stop() -> Result<watch::Receiver<bool>> {
    let failed = |error| Failure::new(Exit::Failed, "signals cannot be heard").because(&error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tell.send_replace(true);
    });
    Ok(told)
}

fn leave(context: &Context) -> Result {
    let dir = either_dir(context.agent_dir());
    super::ask(context, async { Ok(muster_agent::leave(&dir).await?) })?;
    context.out.note(&format!("this machine has left; its files are set aside in {}", dir.display()));
    Ok(())
}

/// An agent's directory, or the one of a server's own agent below the server's.
fn either_dir(dir: PathBuf) -> PathBuf {
    let below = dir.join("agent");
    let is_agents =
        |dir: &Path| muster_agent::status(dir).map_or(true, |status| status.state != "not_enrolled");
    if below.is_dir() && !is_agents(&dir) { below } else { dir }
}

impl Human for AgentStatus {
    fn human(&self, now: Timestamp) -> String {
        let machine = self.machine.as_ref();
        let ended = self.ended.as_ref();
        let ending = |note: &muster_agent::EndedNote| {
            let reason = note.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{} {}{reason}", note.ending, relative(now, note.at))
        };
        // An identity that ended is told of by the note that it left behind.
        let was = |part: fn(&muster_agent::EndedNote) -> &Option<String>| {
            ended.and_then(|note| part(note).clone()).unwrap_or_default()
        };
        let hold = |hold: &muster_agent::PendingHold| {
            format!("{} ({}), ends {}", hold.id, hold.reason, relative(now, hold.expires_at))
        };
        details([
            ("state", self.state.clone()),
            ("agent", if self.running { "running" } else { "not running" }.to_owned()),
            ("channel", self.channel.clone().unwrap_or_default()),
            ("server", self.url.clone().unwrap_or_else(|| was(|note| &note.url))),
            (
                "machine",
                machine
                    .map(|machine| format!("{} ({})", machine.id, machine.name))
                    .unwrap_or_else(|| was(|note| &note.machine)),
            ),
            ("site", machine.map(|machine| machine.site.clone()).unwrap_or_default()),
            ("words", self.words.join(" ")),
            ("key", self.key.clone().unwrap_or_default()),
            ("key made", opt_relative_or_blank(now, self.key_made_at)),
            ("rotates", opt_relative_or_blank(now, self.rotate_at)),
            ("rotation", self.rotation.as_deref().map(rotation).unwrap_or_default()),
            ("slots", slots(&self.slots)),
            ("damaged", self.damage.join("; ")),
            ("hardware id from", self.hardware_source.clone().unwrap_or_default()),
            ("certificate ends", self.certificate_expires.map(|end| relative(now, end)).unwrap_or_default()),
            ("renews", self.renew_at.map(|at| relative(now, at)).unwrap_or_default()),
            ("last contact", opt_relative(now, self.last_contact)),
            ("clock", skew(self.clock_skew_seconds)),
            (
                "last trouble",
                self.last_problem
                    .as_ref()
                    .map(|t| format!("{} ({})", t.what, relative(now, t.at)))
                    .unwrap_or_default(),
            ),
            ("hold", self.hold.as_ref().map(hold).unwrap_or_default()),
            ("ended", ended.map(ending).unwrap_or_default()),
            ("data", self.dir.display().to_string()),
        ])
    }
}

fn opt_relative_or_blank(now: Timestamp, at: Option<Timestamp>) -> String {
    at.map(|at| relative(now, at)).unwrap_or_default()
}

/// What a step of a rotation means to a person.
fn rotation(step: &str) -> String {
    match step {
        "ask" => "asking for the next key's certificate",
        "use" => "trying the next key",
        "settle" => "noting that the next key has worked",
        "confirm" => "telling the server that it has",
        other => other,
    }
    .to_owned()
}

/// The slots, where there is more to say than that one is in use.
fn slots(slots: &[muster_agent::SlotStatus]) -> String {
    let one = |slot: &muster_agent::SlotStatus| {
        let certificate = if slot.certificate_expires.is_some() { "" } else { ", no certificate" };
        format!("{} {} ({}{certificate})", slot.slot, slot.role, &slot.key)
    };
    match slots {
        [only] if only.certificate_expires.is_some() => format!("{} {}", only.slot, only.role),
        slots => slots.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

fn skew(seconds: i64) -> String {
    match seconds {
        0 => String::new(),
        1.. => format!("{seconds} s behind the server's"),
        _ => format!("{} s ahead of the server's", seconds.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::DirBuilder;
    use std::os::unix::fs::DirBuilderExt;

    use super::*;

    #[test]
    fn a_servers_directory_stands_for_its_own_agent_and_an_agents_for_itself() {
        let temp = std::env::temp_dir().join(format!("muster-either-{}", std::process::id()));
        let make = |dir: &Path| DirBuilder::new().mode(0o700).create(dir).expect("a temporary directory");
        make(&temp);
        assert_eq!(either_dir(temp.clone()), temp);
        make(&temp.join("agent"));
        assert_eq!(either_dir(temp.clone()), temp.join("agent"));
        std::fs::remove_dir_all(&temp).expect("our own directory");
    }

    #[test]
    fn an_identity_that_ended_still_says_whose_it_was_and_lines_end_without_spaces() {
        let status: AgentStatus = serde_json::from_value(serde_json::json!({
            "dir": "/d", "state": "ended", "running": false, "channel": null, "url": null, "machine": null,
            "key": null, "words": [], "certificate_expires": null, "renew_at": null, "last_contact": null,
            "last_problem": null, "clock_skew_seconds": 0, "hardware_source": null, "hold": null,
            "ended": {"version": 1, "ending": "retired", "machine": "mch_1", "url": "https://a",
                "at": "1970-01-01T00:00:00Z"},
        }))
        .expect("the agent's own shape");
        let text = status.human(Timestamp::UNIX_EPOCH);
        assert!(text.contains("mch_1") && text.contains("https://a"), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    }

    #[test]
    fn the_skew_says_who_is_ahead() {
        assert_eq!(
            [skew(0), skew(5), skew(-5)],
            ["", "5 s behind the server's", "5 s ahead of the server's"]
        );
    }
}

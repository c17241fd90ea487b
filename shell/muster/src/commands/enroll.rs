//! `muster enroll`: turn this machine into a known one, and wait until it is let in.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use muster_agent::{AgentError, EnrollOptions, Identity};
use muster_wire::enroll::EnrolledMachine;
use serde::Serialize;

use super::join::Join;
use super::progress::Teller;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, relative};

/// Enroll this machine.
#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// How this machine asks to be let in.
    #[command(flatten)]
    pub(crate) join: Join,
    /// Ask once: end with code 21 where a person must decide, 30 where nobody answers.
    #[arg(long, visible_alias = "once")]
    pub(crate) no_wait: bool,
}

/// Who this machine is now.
#[derive(Debug, Serialize)]
struct Enrolled {
    #[serde(flatten)]
    machine: EnrolledMachine,
    url: String,
    credential_expires: Timestamp,
    hardware_source: String,
    data_dir: PathBuf,
}

/// Runs `muster enroll`.
pub(crate) fn run(context: &Context, args: Enroll) -> Result<ExitCode> {
    let dir = context.agent_dir();
    let invite = args.join.given().read()?;
    let joining = args.join.joining(context, invite)?.ok_or_else(no_way)?;
    let options = EnrollOptions {
        dir: dir.clone(),
        hooks_dir: args.join.hooks_dir,
        joining,
        reset: args.join.reset,
        wait: !args.no_wait,
    };
    let mut teller = Teller::waiting(context.out);
    let enrolling = async { muster_agent::enroll(options, move |progress| teller.tell(&progress)).await };
    let identity = super::ask(context, async { enrolling.await.map_err(Failure::from) })?;
    context.out.show(&Enrolled::new(identity, dir.clone()))?;
    context.out.note(&format!("\nKeep it alive and renewed: {}", context.agent_run(&dir)));
    Ok(ExitCode::SUCCESS)
}

fn no_way() -> Failure {
    Failure::new(Exit::Agent(10), "nothing says how to enroll")
        .cause("there is no invite: not in --invite-file, not in MUSTER_INVITE")
        .hint("give an invite by file, standard input (--invite-file -) or MUSTER_INVITE; or ask without one: --request")
}

impl Enrolled {
    fn new(identity: Identity, data_dir: PathBuf) -> Self {
        Self {
            machine: identity.machine,
            url: identity.url,
            credential_expires: identity.life.not_after,
            hardware_source: identity.hardware_source,
            data_dir,
        }
    }
}

impl Human for Enrolled {
    fn human(&self, now: Timestamp) -> String {
        details([
            ("machine", self.machine.id.clone()),
            ("name", self.machine.name.clone()),
            ("site", self.machine.site.clone()),
            ("state", self.machine.state.clone()),
            ("server", self.url.clone()),
            ("credential ends", relative(now, self.credential_expires)),
            ("data", self.data_dir.display().to_string()),
        ])
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let failure = Self::new(Exit::Agent(error.exit_code()), error.to_string());
        let failure = match std::error::Error::source(&error) {
            Some(source) => failure.because(source),
            None => failure,
        };
        match advice(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn advice(error: &AgentError) -> Option<&str> {
    match error {
        AgentError::Refused { help, .. } => Some(help.as_str()).filter(|help| !help.is_empty()),
        AgentError::NotEnrolled { .. } => Some("muster agent run --invite-file FILE enrolls and runs it"),
        AgentError::InUse { .. } => Some("stop it, or name another directory with --data-dir"),
        AgentError::Rejected { .. } | AgentError::Ended { .. } => {
            Some("talk to an operator; --reset begins anew")
        }
        AgentError::Pending { .. } => {
            Some("an operator approves it with `muster hold approve`; then run this again")
        }
        AgentError::Network { .. } => Some("check address and network; `muster doctor` looks for the cause"),
        AgentError::Untrusted { .. } => Some("compare the pin with `muster status` on the server's host"),
        AgentError::ClockOff { .. } => Some("set this machine's clock (timedatectl set-ntp true)"),
        AgentError::Unreadable { .. } | AgentError::Disk { .. } => {
            Some("`muster doctor` looks for the cause")
        }
        AgentError::Config { .. }
        | AgentError::OtherServer { .. }
        | AgentError::Permissions { .. }
        | AgentError::Corrupt { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_exit_codes_come_through() {
        let rejected = Failure::from(AgentError::Rejected { reason: Some("not ours".into()) });
        assert_eq!(rejected.exit().code(), 20);
        assert!(rejected.message().contains("not ours"));
        assert_eq!(Failure::from(AgentError::NotEnrolled { dir: "/d".into() }).exit().code(), 10);
    }

    #[test]
    fn a_refusal_and_what_to_do_about_it_stand_apart() {
        let refused = AgentError::Refused {
            code: "requests_off".into(),
            detail: "requests are not taken here".into(),
            help: "Ask an operator for an invite.".into(),
        };
        let failure = Failure::from(refused);
        assert!(failure.message().ends_with("requests are not taken here"), "{}", failure.message());
        assert_eq!(failure.fix(), "Ask an operator for an invite.");
    }

    #[test]
    fn without_any_way_in_all_of_them_are_named() {
        let failure = no_way();
        assert_eq!(failure.exit().code(), 10);
        for way in ["--invite-file -", "MUSTER_INVITE", "--request"] {
            assert!(failure.fix().contains(way), "{way}");
        }
    }
}

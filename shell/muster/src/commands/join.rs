//! What `enroll` and `agent run` have in common: how this machine asks to be let in, and where its invite comes from.
//!
//! An invite may hold a secret: it comes from a file, standard input or the environment, never from an argument.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use muster_agent::{Joining, Way};
use muster_wire::invite::Invite;

use crate::cli::parse_pair;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};

const MAX_INVITE: u64 = 8192;
const CONFIG: Exit = Exit::Agent(10);

/// How this machine asks to be let in.
#[derive(Debug, Clone, Args)]
pub(crate) struct Join {
    /// A file with an invite; `-` is standard input. MUSTER_INVITE in the environment does as well.
    #[arg(long, value_name = "FILE", conflicts_with = "request")]
    pub(crate) invite_file: Option<PathBuf>,
    /// Ask without any secret: a person approves (with --server and --ca-pin).
    #[arg(long)]
    pub(crate) request: bool,
    /// The site to ask, by its code; the only site where nothing is said.
    #[arg(long, value_name = "CODE", requires = "request")]
    pub(crate) site: Option<String>,
    /// Where the hardware id comes from: `auto`, `none`, or a value of your own.
    #[arg(long, value_name = "ID", default_value = "auto")]
    pub(crate) hardware_id: String,
    /// What this machine calls itself; its hostname where nothing is said.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What sort of thing this is.
    #[arg(long, default_value = "host", value_parser = ["host", "worker", "software_agent"])]
    pub(crate) kind: String,
    /// Something else it says of itself; may be repeated.
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(crate) attributes: Vec<(String, String)>,
    /// The kind of key it makes.
    #[arg(long, default_value = "p256", value_parser = ["p256", "ed25519"])]
    pub(crate) key_type: String,
    /// Executables to run when something happens: on_enrolled, on_renewed, on_suspended, on_resumed, on_retired.
    #[arg(long, value_name = "DIR")]
    pub(crate) hooks_dir: Option<PathBuf>,
    /// Set an ended or rejected identity aside and begin anew.
    #[arg(long)]
    pub(crate) reset: bool,
}

/// Where an invite is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// The environment, as it was read.
    Env(String),
    /// Nobody gave one.
    Nowhere,
}

impl Join {
    /// Where the invite of this process comes from.
    pub(crate) fn given(&self) -> Source {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        self.source(std::env::var("MUSTER_INVITE").ok(), credentials)
    }

    /// Where the invite comes from: what is named goes before what is around, systemd's credential last.
    fn source(&self, env: Option<String>, credentials: Option<PathBuf>) -> Source {
        let credential = credentials.map(|dir| dir.join("muster.invite")).filter(|path| path.exists());
        match (&self.invite_file, env) {
            _ if self.request => Source::Nowhere,
            (Some(path), _) if path == Path::new("-") => Source::Stdin,
            (Some(path), _) => Source::File(path.clone()),
            (None, Some(text)) if !text.trim().is_empty() => Source::Env(text),
            (None, _) => credential.map_or(Source::Nowhere, Source::File),
        }
    }
}

impl Join {
    /// How to enroll, if anything was said about it. `way` is the invite that was read.
    pub(crate) fn joining(&self, context: &Context, invite: Option<Invite>) -> Result<Option<Joining>> {
        let Some(way) = self.way(context, invite)? else { return Ok(None) };
        let wrong = |what: &str, error: &dyn std::error::Error| {
            Failure::new(CONFIG, format!("{what} is not acceptable")).because(error)
        };
        let hardware = self.hardware_id.parse().map_err(|error| wrong("--hardware-id", &error))?;
        let kind = self.kind.parse().map_err(|error: &str| Failure::usage(format!("--kind {error}")))?;
        let algorithm = self.key_type.parse().or(Err(Failure::usage("--key-type is p256 or ed25519")))?;
        Ok(Some(Joining {
            way,
            hardware,
            hostname: self.name.clone(),
            kind,
            attributes: self.attributes.iter().cloned().collect(),
            algorithm,
        }))
    }

    fn way(&self, context: &Context, invite: Option<Invite>) -> Result<Option<Way>> {
        if !self.request {
            return Ok(invite.map(Way::Invite));
        }
        match (&context.global.server, context.global.ca_pin) {
            (Some(url), Some(pin)) => {
                Ok(Some(Way::Request { url: url.clone(), pin, site: self.site.clone() }))
            }
            _ => Err(Failure::usage("--request needs --server URL and --ca-pin PIN")
                .cause("without a pin this machine cannot tell the server from another one")
                .hint("`muster status` shows both on the server's host")),
        }
    }
}

impl Source {
    /// Reads the invite, if there is one. Its text never enters an error.
    pub(crate) fn read(&self) -> Result<Option<Invite>> {
        let text = match self {
            Self::Nowhere => return Ok(None),
            Self::Env(text) => text.clone(),
            Self::Stdin => read_all(std::io::stdin().lock(), "standard input")?,
            Self::File(path) => {
                let shown = path.display().to_string();
                let file = std::fs::File::open(path).map_err(|error| unreadable(&shown, &error))?;
                read_all(file, &shown)?
            }
        };
        let failure = |error| Failure::new(CONFIG, format!("the invite from {} {error}", self.name()));
        match text.parse() {
            Ok(invite) => Ok(Some(invite)),
            Err(error @ muster_wire::invite::InviteError::Form) => {
                Err(failure(error).hint("`muster invite create` makes one"))
            }
            Err(error) => {
                Err(failure(error).hint("copy it again as a whole, or make another: `muster invite create`"))
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
            Self::Env(_) => "MUSTER_INVITE".to_owned(),
            Self::Nowhere => "nowhere".to_owned(),
        }
    }
}

fn read_all(from: impl Read, name: &str) -> Result<String> {
    let mut text = String::new();
    from.take(MAX_INVITE).read_to_string(&mut text).map_err(|error| unreadable(name, &error))?;
    Ok(text)
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(CONFIG, format!("the invite from {name} cannot be read")).because(error)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn join(args: &str) -> std::result::Result<Join, clap::Error> {
        let line = format!("muster enroll {args}");
        match Cli::try_parse_from(line.split_whitespace())?.command {
            Command::Enroll(enroll) => Ok(enroll.join),
            _ => panic!("another command"),
        }
    }

    #[test]
    fn a_named_file_goes_before_the_environment() {
        let source = |args: &str, env: Option<&str>| {
            join(args).expect("well formed").source(env.map(str::to_owned), None)
        };
        assert_eq!(source("--invite-file -", Some("x")), Source::Stdin);
        assert_eq!(source("--invite-file F", Some("x")), Source::File("F".into()));
        assert_eq!(source("", Some("x")), Source::Env("x".into()));
        assert_eq!(source("", Some(" ")), Source::Nowhere);
        assert_eq!(source("", None), Source::Nowhere);
    }

    #[test]
    fn asking_without_a_secret_goes_with_no_invite_and_a_site_with_nothing_else() {
        assert!(join("--request --site s").is_ok());
        assert!(join("--request --invite-file F").is_err());
        assert!(join("--site s").is_err());
    }

    #[test]
    fn q_27_a_wrong_invite_is_refused_without_repeating_it() {
        let failure = Source::Env("muster1:c2VjcmV0".into()).read().expect_err("damaged");
        assert_eq!(failure.exit().code(), 10);
        assert!(failure.message().contains("MUSTER_INVITE") && !failure.message().contains("c2Vj"));
    }
}

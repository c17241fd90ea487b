//! `muster agent adopt`: an existing client's machine comes back under Muster's own agent.
//!
//! Reads the bearer key that the client keeps and shows it once, together with a key that is made here. The machine stays
//! the same; its bearer keys end. The client's files are only read. Repeating it after an interruption goes on where it
//! was: by the same key, which is durable before anything is sent.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use muster_agent::{EnrollOptions, HardwareMode, Joining, RunOptions, Way};
use muster_model::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::agent::{enrolled, told_to_stop};
use super::progress::Teller;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};

const MAX_FILE: u64 = 1 << 20;
const CONFIG: Exit = Exit::Agent(10);

/// Take over from an existing client.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// Which client.
    #[arg(long, value_enum)]
    pub(crate) from: Client,
    /// The file in which it keeps its credential.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Where the hardware id comes from: `auto`, `none`, or a value of your own.
    #[arg(long, value_name = "ID", default_value = "auto")]
    pub(crate) hardware_id: HardwareMode,
    /// Executables to run when something happens.
    #[arg(long, value_name = "DIR")]
    pub(crate) hooks_dir: Option<PathBuf>,
    /// Take over and end, without staying.
    #[arg(long)]
    pub(crate) once: bool,
}

/// A client that keeps a bearer key in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// Its `config.toml`.
    StudioWorker,
    /// Its `host-credentials.json`.
    Wrenn,
    /// A file with its `cak_` key alone.
    Guruconnect,
}

/// Runs `muster agent adopt`.
pub(crate) fn run(context: &Context, args: Adopt) -> Result {
    let dir = context.agent_dir();
    // The client's file may be gone by the second start: the machine is this agent's by then.
    let joining = match enrolled(&dir) {
        Some(machine) => {
            is_not_anothers(&machine, &args)?;
            context.out.note(&format!("{machine} is this agent's already: {}", context.agent_run(&dir)));
            None
        }
        None => Some(joining(context, &args)?),
    };
    let hooks_dir = args.hooks_dir;
    match joining {
        Some(joining) if args.once => {
            let options = EnrollOptions { dir: dir.clone(), hooks_dir, joining, reset: false, wait: true };
            let mut teller = Teller::waiting(context.out);
            let adopting = async {
                muster_agent::enroll(options, move |progress| teller.tell(&progress))
                    .await
                    .map_err(Failure::from)
            };
            let identity = super::ask(context, adopting)?;
            context.out.note(&format!(
                "{} is this agent's now: {}",
                identity.machine.id,
                context.agent_run(&dir)
            ));
            Ok(())
        }
        None if args.once => Ok(()),
        joining => {
            let rotate_after = context.own_config()?.config.agent.rotate_after.get();
            let options = RunOptions { dir, hooks_dir, joining, reset: false, rotate_after };
            let mut teller = Teller::resident(context.out);
            super::ask(context, async move {
                let told = told_to_stop()?;
                Ok(muster_agent::run(options, told, move |progress| teller.tell(&progress)).await?)
            })
        }
    }
}

/// An agent is one machine: that of a file which names another one stays as it is, and somebody must know.
fn is_not_anothers(machine: &str, args: &Adopt) -> Result {
    let text = read(&args.config).ok();
    match text.and_then(|text| args.from.machine(&text)) {
        Some(named) if named != machine => Err(Failure::new(
            CONFIG,
            format!("this agent is {machine} already, and {} is of {named}", args.config.display()),
        )
        .hint("adopt it into a directory of its own: --data-dir DIR")),
        _ => Ok(()),
    }
}

fn joining(context: &Context, args: &Adopt) -> Result<Joining> {
    let (Some(url), Some(pin)) = (context.global.server.clone(), context.global.ca_pin) else {
        return Err(Failure::usage("agent adopt needs --server URL and --ca-pin PIN")
            .cause("an existing client's file does not say which CA the server must have")
            .hint("`muster status` shows both on the server's host"));
    };
    let secret = args.from.credential(&args.config)?;
    let way = Way::Credential { url, pin, secret };
    Ok(Joining { hardware: args.hardware_id.clone(), ..Joining::new(way) })
}

#[derive(Deserialize)]
struct StudioWorker {
    worker_id: Option<String>,
    auth_token: Option<String>,
}

#[derive(Deserialize)]
struct Wrenn {
    host_id: Option<String>,
    refresh_token: Option<String>,
}

impl Client {
    /// The machine that its file names, if it names one.
    fn machine(self, text: &str) -> Option<String> {
        match self {
            Self::StudioWorker => toml::from_str::<StudioWorker>(text).ok()?.worker_id,
            Self::Wrenn => serde_json::from_str::<Wrenn>(text).ok()?.host_id,
            Self::Guruconnect => None,
        }
    }

    /// The credential that it keeps. Nothing of it enters an error.
    fn credential(self, path: &Path) -> Result<Secret> {
        let text = read(path)?;
        let found = match self {
            Self::StudioWorker => {
                toml::from_str::<StudioWorker>(&text).ok().map(|file| file.auth_token.map(Zeroizing::new))
            }
            Self::Wrenn => {
                serde_json::from_str::<Wrenn>(&text).ok().map(|file| file.refresh_token.map(Zeroizing::new))
            }
            Self::Guruconnect => Some(Some(Zeroizing::new(text.trim().to_owned()))),
        };
        let shown = path.display();
        let found = found.ok_or_else(|| {
            Failure::new(CONFIG, format!("{shown} is not a file of this client"))
                .hint("name its own file: --config FILE")
        })?;
        let secret = found.filter(|text| !text.is_empty()).ok_or_else(|| {
            Failure::new(CONFIG, format!("{shown} holds no credential"))
                .cause("the client was not let in yet, or lost what it was given")
                .hint("let the client come in first, or enroll this machine with an invite: muster enroll")
        })?;
        secret.parse().map_err(|error: muster_model::secret::SecretError| {
            Failure::new(CONFIG, format!("the credential in {shown} is not one that Muster gave"))
                .because(&error)
                .hint("was the client let in by another server? Enroll this machine with an invite: muster enroll")
        })
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>> {
    let unreadable = |error: &std::io::Error| {
        Failure::new(CONFIG, format!("{} cannot be read", path.display())).because(error)
    };
    let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use muster_model::SecretKind;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("ours");
        file
    }

    fn secret() -> Secret {
        Secret::new(SecretKind::Bearer, [3; 10], [4; 32])
    }

    #[test]
    fn each_clients_file_gives_the_credential_that_it_holds() {
        let text = secret().reveal();
        let studio =
            file(&format!("api_base_url = 'https://x'\nvram_threshold_gb = 1.0\nauth_token = '{text}'\n"));
        let wrenn = file(&format!(r#"{{"host_id": "h", "jwt": "j", "refresh_token": "{text}"}}"#));
        let guru = file(&format!("{text}\n"));
        for (client, file) in
            [(Client::StudioWorker, studio), (Client::Wrenn, wrenn), (Client::Guruconnect, guru)]
        {
            assert_eq!(
                client.credential(file.path()).expect("it is there").id(),
                secret().id(),
                "{client:?}"
            );
        }
    }

    #[test]
    fn the_keys_of_each_client_are_read_in_the_form_that_it_was_given() {
        let refresh = Secret::new(SecretKind::Refresh, [3; 10], [4; 32]);
        let wrenn = file(&format!(r#"{{"refresh_token": "{}"}}"#, refresh.reveal()));
        let shown = Client::Wrenn.credential(wrenn.path()).expect("a refresh token");
        assert_eq!((shown.kind(), shown.id()), (SecretKind::Refresh, refresh.id()));
        let cak = format!("cak_{}", "5a".repeat(32));
        let shown = Client::Guruconnect.credential(file(&cak).path()).expect("a key of that client");
        assert_eq!((shown.kind(), shown.reveal()), (SecretKind::Bearer, cak));
    }

    #[test]
    fn q_27_what_is_missing_or_foreign_is_told_and_nothing_of_it_repeated() {
        for (text, expected) in [
            ("api_base_url = 'https://x'", "holds no credential"),
            ("auth_token = ''", "holds no credential"),
            ("auth_token = 'deadbeefcafe'", "not one that Muster gave"),
            ("auth_token = deadbeefcafe", "not a file of this client"),
        ] {
            let failure = Client::StudioWorker.credential(file(text).path()).expect_err("no credential");
            assert!(failure.message().contains(expected), "{text}: {}", failure.message());
            assert!(
                !format!("{} {} {}", failure.message(), failure.why(), failure.fix()).contains("deadbeef")
            );
        }
    }
}

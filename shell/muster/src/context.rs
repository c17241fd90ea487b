//! What every command works with: the global options, the configuration, the output, and a way to the server.

use std::path::{Path, PathBuf};

use muster_client::Client;
use muster_wire::invite::CaPin;

use crate::cli::Global;
use crate::config::{Config, Loaded};
use crate::failure::{Exit, Failure, Result};
use crate::output::Output;
use crate::paths::Places;

const MAX_TOKEN: u64 = 4096;

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// The options that hold everywhere.
    pub(crate) global: Global,
    /// Where things are by default.
    pub(crate) places: Places,
    /// How results are printed.
    pub(crate) out: Output,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Its socket on this host.
    Socket(PathBuf),
    /// Its address, from anywhere.
    Address {
        /// `https://host:port`.
        url: String,
        /// The pin of its CA.
        pin: CaPin,
        /// Where an API token stands, if a file has it.
        token_file: Option<PathBuf>,
    },
}

impl Context {
    /// Takes the global options and looks around.
    pub(crate) fn new(global: Global) -> Self {
        let out = Output { format: global.output, color: global.color.on_stderr() };
        Self { places: Places::of_this_process(), global, out }
    }

    /// The configuration: file and environment over defaults.
    pub(crate) fn config(&self) -> Result<Loaded> {
        Loaded::read(self.global.config.as_deref(), &self.places.config_file(), std::env::vars())
    }

    /// The same for a command whose `--config` is another file: what the environment names, or the usual one.
    pub(crate) fn own_config(&self) -> Result<Loaded> {
        let named = std::env::var_os("MUSTER_CONFIG").map(PathBuf::from);
        Loaded::read(named.as_deref(), &self.places.config_file(), std::env::vars())
    }

    /// The server's data directory.
    pub(crate) fn server_dir(&self, config: &Config) -> PathBuf {
        let given = self.global.data_dir.clone().or_else(|| config.server.data_dir.clone());
        given.unwrap_or_else(|| self.places.data_dir())
    }

    /// The agent's own directory.
    pub(crate) fn agent_dir(&self) -> PathBuf {
        self.global.data_dir.clone().unwrap_or_else(|| self.places.data_dir().join("agent"))
    }

    /// The command that runs the agent of a directory: one that is not looked for by itself is named.
    pub(crate) fn agent_run(&self, dir: &Path) -> String {
        let usual = self.places.data_dir().join("agent");
        match dir == usual {
            true => "muster agent run".to_owned(),
            false => format!("muster agent run --data-dir {}", quoted(dir)),
        }
    }

    /// A client of the server that the options and the configuration name.
    pub(crate) async fn client(&self) -> Result<Client> {
        let target = self.target(&self.config()?.config)?;
        connect(&target, std::env::var("MUSTER_TOKEN").ok()).await
    }

    /// Which server is meant: flags, then the data directory given, then the configuration, then this host's own.
    pub(crate) fn target(&self, config: &Config) -> Result<Target> {
        let data_dir = self.global.data_dir.as_deref().or(config.server.data_dir.as_deref());
        let socket = || Target::Socket(self.places.socket(data_dir));
        let Some(url) = self.global.server.as_ref() else {
            let Some(url) = config.client.server.as_ref().filter(|_| self.global.data_dir.is_none()) else {
                return Ok(socket());
            };
            return self.address(url, config);
        };
        self.address(url, config)
    }

    fn address(&self, url: &str, config: &Config) -> Result<Target> {
        let pin = self.global.ca_pin.or(config.client.ca_pin.as_ref().map(|pin| pin.0)).ok_or_else(|| {
            Failure::new(Exit::Config, format!("no pin is given for {url}"))
                .cause("without the pin of its CA nobody can tell this server from another one")
                .hint("add --ca-pin sha256:…, as `muster status` shows it on the server's host")
        })?;
        let token_file = self.global.token_file.clone().or_else(|| config.client.token_file.clone());
        Ok(Target::Address { url: url.to_owned(), pin, token_file })
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Connects. A token file goes before the environment.
pub(crate) async fn connect(target: &Target, env_token: Option<String>) -> Result<Client> {
    match target {
        Target::Socket(path) => socket(path),
        Target::Address { url, pin, token_file } => {
            let token = match token_file {
                Some(path) => Some(read_token(path)?),
                None => env_token.filter(|token| !token.trim().is_empty()),
            };
            Ok(Client::pinned(url, *pin, token.as_deref()).await?)
        }
    }
}

fn socket(path: &Path) -> Result<Client> {
    match rustix::fs::stat(path) {
        Ok(_) => Ok(Client::unix(path)?),
        Err(rustix::io::Errno::ACCESS) => Err(Failure::new(Exit::Forbidden, format!("{} is not yours to open", path.display()))
            .cause("the socket admits root and the server's own user")
            .hint("run it as that user, or use --server with an API token (`muster token create`)")),
        Err(error) => Err(Failure::new(Exit::Unreachable, format!("no server at {}", path.display()))
            .because(&error)
            .hint("start one with `muster up`, name its directory with --data-dir, or its address with --server")),
    }
}

/// Reads a token from a file. Its text never enters an error.
fn read_token(path: &Path) -> Result<String> {
    use std::io::Read;
    let failed = |error| {
        Failure::new(Exit::Config, format!("the token file {} cannot be read", path.display()))
            .because(&error)
    };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_TOKEN).read_to_string(&mut text).map_err(failed)?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    const PIN: &str = "sha256:b6c0e5e25073141f44e92a7e92a12ecdb4a8ac2a897f1c186b339f84a4cda26f";

    fn context(args: &[&str]) -> Context {
        let cli = Cli::try_parse_from([&["muster"], args, &["status"]].concat()).expect("well formed");
        Context::new(cli.global)
    }

    fn config(text: &str) -> Config {
        toml::from_str(text).expect("well formed")
    }

    #[test]
    fn a_data_directory_names_a_socket_and_an_address_needs_a_pin() {
        let socket = context(&["--data-dir", "/d"]).target(&Config::default());
        assert_eq!(socket.expect("a socket"), Target::Socket("/d/muster.sock".into()));
        let failure = context(&["--server", "https://a"]).target(&Config::default()).expect_err("no pin");
        assert_eq!(failure.exit(), Exit::Config);
        let target = context(&["--server", "https://a", "--ca-pin", PIN]).target(&Config::default());
        assert!(matches!(target, Ok(Target::Address { .. })));
    }

    #[test]
    fn the_command_that_runs_an_agent_names_a_directory_that_was_given() {
        let given = context(&["--data-dir", "/d/of mine"]);
        assert_eq!(given.agent_run(&given.agent_dir()), "muster agent run --data-dir '/d/of mine'");
        let global = Global { data_dir: None, ..given.global };
        let usual = Context { global, ..given };
        assert_eq!(usual.agent_run(&usual.agent_dir()), "muster agent run");
    }

    #[test]
    fn a_configured_server_is_used_unless_a_directory_is_named() {
        let config = config(&format!("[client]\nserver = 'https://a'\nca_pin = '{PIN}'\n"));
        assert!(matches!(context(&[]).target(&config), Ok(Target::Address { .. })));
        assert!(matches!(context(&["--data-dir", "/d"]).target(&config), Ok(Target::Socket(_))));
    }

    #[tokio::test]
    async fn no_socket_is_unreachable() {
        let failure =
            connect(&Target::Socket("/nonexistent/muster.sock".into()), None).await.expect_err("none");
        assert_eq!(failure.exit().code(), 69);
    }
}

//! An IRC operator's connection to Ergo, for what its HTTP API cannot do: ending sessions.
//!
//! A connection for each act: register, become an operator, say what is to be done, and wait until the server has taken it.
//! Commands of one connection are carried out in order, so the answer to a ping says that those before it were.

use std::net::SocketAddr;
use std::time::Duration;

use muster_model::{AccountName, Mishap, MishapKind};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::http::mishap;

const WHOLE: Duration = Duration::from_secs(8);
const NICK: &str = "muster-oper";
/// So many lines are read before the answer that is waited for must have come.
const LINES: usize = 500;

/// Who ends sessions. The connection is not encrypted: it goes to this host alone.
pub struct IrcOperator {
    address: SocketAddr,
    name: String,
    password: Zeroizing<String>,
}

impl IrcOperator {
    /// An operator of the server at this address. `None` where that is another host, or where name or password cannot be
    /// said in a command.
    pub fn new(address: SocketAddr, name: String, password: Zeroizing<String>) -> Option<Self> {
        let word = |text: &str| {
            !text.is_empty() && !text.starts_with(':') && text.chars().all(|c| c.is_ascii_graphic())
        };
        let fits = address.ip().is_loopback() && word(&name) && word(&password);
        fits.then_some(Self { address, name, password })
    }

    /// Suspends the account, which ends its sessions, and whoever is there under its name.
    pub(crate) async fn shut_out(&self, name: &AccountName) -> Result<(), Mishap> {
        self.say(&[
            format!("NS SUSPEND ADD {name} locked by Muster"),
            format!("KILL {name} :locked by Muster"),
        ])
        .await
    }

    /// Lifts the suspension.
    pub(crate) async fn let_in(&self, name: &AccountName) -> Result<(), Mishap> {
        self.say(&[format!("NS SUSPEND DEL {name}")]).await
    }

    async fn say(&self, commands: &[String]) -> Result<(), Mishap> {
        match timeout(WHOLE, self.session(commands)).await {
            Ok(said) => said,
            Err(_) => Err(mishap(MishapKind::Unreachable, "IRC: no answer in time")),
        }
    }

    async fn session(&self, commands: &[String]) -> Result<(), Mishap> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| broken(&error))?;
        let mut irc = Irc { stream: BufReader::new(stream) };
        irc.send(&format!("NICK {NICK}")).await?;
        irc.send("USER muster 0 * :Muster").await?;
        irc.until(&["001"], &["433", "465", "ERROR"]).await?;
        irc.send(&format!("OPER {} {}", self.name, &*self.password)).await?;
        irc.until(&["381"], &["464", "491", "461", "ERROR"]).await?;
        for command in commands {
            irc.send(command).await?;
        }
        irc.send("PING done").await?;
        irc.until(&["PONG"], &["ERROR"]).await?;
        irc.send("QUIT").await
    }
}

struct Irc {
    stream: BufReader<TcpStream>,
}

impl Irc {
    async fn send(&mut self, line: &str) -> Result<(), Mishap> {
        let line = Zeroizing::new(format!("{line}\r\n"));
        self.stream.get_mut().write_all(line.as_bytes()).await.map_err(|error| broken(&error))
    }

    /// Reads until one of these commands comes; pings are answered.
    async fn until(&mut self, wanted: &[&str], bad: &[&str]) -> Result<(), Mishap> {
        for _ in 0..LINES {
            let mut line = Vec::new();
            let read = self.stream.read_until(b'\n', &mut line).await.map_err(|error| broken(&error))?;
            if read == 0 {
                return Err(mishap(MishapKind::Unreachable, "IRC: the connection ended"));
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (command, rest) = command_of(&line);
            if command == "PING" {
                self.send(&format!("PONG {rest}")).await?;
            } else if wanted.contains(&command) {
                return Ok(());
            } else if bad.contains(&command) {
                let kind = if matches!(command, "464" | "491") {
                    MishapKind::Unauthorized
                } else {
                    MishapKind::Failed
                };
                return Err(mishap(kind, &format!("IRC: {command}")));
            }
        }
        Err(mishap(MishapKind::Failed, "IRC: it talks of other things"))
    }
}

/// The command of a line, after its source and tags, and what follows.
fn command_of(line: &str) -> (&str, &str) {
    let mut rest = line;
    while rest.starts_with('@') || rest.starts_with(':') {
        rest = rest.split_once(' ').map_or("", |(_, rest)| rest).trim_start();
    }
    rest.split_once(' ').unwrap_or((rest, ""))
}

fn broken(error: &std::io::Error) -> Mishap {
    mishap(MishapKind::Unreachable, &format!("IRC: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_sources_and_tags() {
        assert_eq!(command_of(":irc.example 001 muster-oper :Welcome"), ("001", "muster-oper :Welcome"));
        assert_eq!(command_of("@time=1 :irc PONG irc done"), ("PONG", "irc done"));
        assert_eq!(command_of("PING :x"), ("PING", ":x"));
        assert_eq!(command_of(":alone"), ("", ""));
    }

    #[test]
    fn an_operators_password_goes_to_this_host_alone_and_holds_no_second_command() {
        let operator = |address: &str, password: &str| {
            let password = Zeroizing::new(password.to_owned());
            IrcOperator::new(address.parse().expect("an address"), "muster".to_owned(), password)
        };
        assert!(operator("127.0.0.1:6667", "secret").is_some());
        assert!(operator("192.0.2.1:6667", "secret").is_none());
        assert!(operator("127.0.0.1:6667", "a\r\nKILL b").is_none());
        assert!(operator("127.0.0.1:6667", "").is_none());
    }
}

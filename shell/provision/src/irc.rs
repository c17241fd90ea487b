//! An IRC operator's connection to Ergo, for what its HTTP API cannot do: ending sessions.
//!
//! A connection for each act, under a nick that nobody can take beforehand: register, become an operator, say what is to be
//! done, and hear what became of it. Ergo answers its services' commands in prose, which is why English is asked for, and the
//! commands of one connection in order, so the answer to a ping ends the answer to what was said before it.
//!
//! Only NickServ's own notices count. A suspension that Muster did not make is not lifted.

use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::HEXLOWER;
use muster_model::{AccountName, Mishap, MishapKind};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::http::mishap;

const WHOLE: Duration = Duration::from_secs(8);
/// By this, what Muster suspended is told from what somebody else did.
const REASON: &str = "locked by Muster";
/// So much is read before the answer that is waited for must have come; every suspension is a line of one.
const READ: u64 = 4 * 1024 * 1024;

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

    /// Suspends the account, which ends its sessions, and ends that of whoever is there under its name.
    pub(crate) async fn shut_out(&self, name: &AccountName) -> Result<(), Mishap> {
        self.within(async {
            let mut irc = self.connect().await?;
            irc.nickserv(&format!("SUSPEND ADD {name} {REASON}"), &["Successfully suspended"]).await?;
            irc.ask(&format!("KILL {name} :{REASON}")).await?;
            irc.send("QUIT").await
        })
        .await
    }

    /// Lifts the suspension, if Muster made it.
    pub(crate) async fn let_in(&self, name: &AccountName) -> Result<(), Mishap> {
        self.within(async {
            let mut irc = self.connect().await?;
            let listed = irc.nickserv("SUSPEND LIST", &["There are "]).await?;
            if listed.iter().any(|line| is_ours(line, name)) {
                let lifted = ["Successfully un-suspended", "Account was not suspended"];
                irc.nickserv(&format!("SUSPEND DEL {name}"), &lifted).await?;
            }
            irc.send("QUIT").await
        })
        .await
    }

    async fn within(&self, act: impl Future<Output = Result<(), Mishap>>) -> Result<(), Mishap> {
        match timeout(WHOLE, act).await {
            Ok(done) => done,
            Err(_) => Err(mishap(MishapKind::Unreachable, "IRC: no answer in time")),
        }
    }

    async fn connect(&self) -> Result<Irc, Mishap> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| broken(&error))?;
        let mut irc = Irc { stream: BufReader::new(stream), left: READ };
        irc.send(&format!("NICK {}", nick()?)).await?;
        irc.send("USER muster 0 * :Muster").await?;
        irc.until(&["001"], &["432", "433", "465"]).await?;
        irc.ask("LANGUAGE en").await?;
        irc.send(&format!("OPER {} {}", self.name, &*self.password)).await?;
        irc.until(&["381"], &["461", "464", "491"]).await?;
        Ok(irc)
    }
}

struct Irc {
    stream: BufReader<TcpStream>,
    /// How much may still be read.
    left: u64,
}

/// What the server says in one line.
struct Line {
    source: String,
    command: String,
    rest: String,
}

impl Irc {
    async fn send(&mut self, line: &str) -> Result<(), Mishap> {
        let line = Zeroizing::new(format!("{line}\r\n"));
        self.stream.get_mut().write_all(line.as_bytes()).await.map_err(|error| broken(&error))
    }

    async fn read(&mut self) -> Result<Line, Mishap> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(self.left);
        let read = bounded.read_until(b'\n', &mut line).await.map_err(|error| broken(&error))?;
        self.left = bounded.limit();
        match read {
            0 if self.left == 0 => Err(mishap(MishapKind::Failed, "IRC: it talks of other things")),
            0 => Err(mishap(MishapKind::Unreachable, "IRC: the connection ended")),
            _ => Ok(Line::parse(String::from_utf8_lossy(&line).trim_end())),
        }
    }

    /// Reads until one of these commands comes; gives what came before it. Pings are answered.
    async fn until(&mut self, wanted: &[&str], bad: &[&str]) -> Result<Vec<Line>, Mishap> {
        let mut before = Vec::new();
        loop {
            let line = self.read().await?;
            match line.command.as_str() {
                "PING" => self.send(&format!("PONG {}", line.rest)).await?,
                command if wanted.contains(&command) => return Ok(before),
                command if command == "ERROR" || bad.contains(&command) => return Err(said_no(command)),
                _ => before.push(line),
            }
        }
    }

    /// Says a command and gives the answer to it.
    async fn ask(&mut self, command: &str) -> Result<Vec<Line>, Mishap> {
        self.send(command).await?;
        self.send("PING done").await?;
        // 481 and 723: this operator may not.
        self.until(&["PONG"], &["481", "723"]).await
    }

    /// Has NickServ do something, which says one of these texts where it did.
    async fn nickserv(&mut self, command: &str, done: &[&str]) -> Result<Vec<String>, Mishap> {
        let answer = self.ask(&format!("NS {command}")).await?;
        let notices: Vec<String> = answer.iter().filter_map(Line::notice).map(str::to_owned).collect();
        match &notices[..] {
            [said, ..] if done.iter().any(|text| said.starts_with(text)) => Ok(notices),
            [said, ..] if said == "Command restricted" => Err(said_no("this operator may not NS SUSPEND")),
            [said, ..] => Err(mishap(MishapKind::Failed, &format!("IRC: {said}"))),
            [] => Err(mishap(MishapKind::Failed, "IRC: NickServ says nothing")),
        }
    }
}

impl Line {
    fn parse(line: &str) -> Self {
        let untagged = match line.strip_prefix('@') {
            Some(tagged) => tagged.split_once(' ').map_or("", |(_, rest)| rest),
            None => line,
        };
        let (source, rest) = match untagged.strip_prefix(':') {
            Some(sourced) => sourced.split_once(' ').unwrap_or((sourced, "")),
            None => ("", untagged),
        };
        let (command, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        Self { source: source.to_owned(), command: command.to_owned(), rest: rest.to_owned() }
    }

    /// What NickServ says.
    fn notice(&self) -> Option<&str> {
        let is_its_own = self.command == "NOTICE" && self.source.starts_with("NickServ!");
        is_its_own.then(|| self.rest.split_once(" :").map_or("", |(_, text)| text))
    }
}

/// Whether a line of NickServ's list is the suspension of this account, made by Muster.
fn is_ours(line: &str, name: &AccountName) -> bool {
    let account = line.strip_prefix("Account ").and_then(|rest| rest.split_once(" suspended at "));
    account.is_some_and(|(listed, rest)| listed.eq_ignore_ascii_case(name.as_str()) && rest.ends_with(REASON))
}

/// One that nobody knows: whoever sat there first would keep the operator out.
fn nick() -> Result<String, Mishap> {
    let mut drawn = [0; 6];
    match aws_lc_rs::rand::fill(&mut drawn) {
        Ok(()) => Ok(format!("muster-{}", HEXLOWER.encode(&drawn))),
        Err(_) => Err(mishap(MishapKind::Failed, "no randomness")),
    }
}

fn said_no(what: &str) -> Mishap {
    let kind = match what {
        "432" | "433" | "465" | "461" | "ERROR" => MishapKind::Failed,
        _ => MishapKind::Unauthorized,
    };
    mishap(kind, &format!("IRC: {what}"))
}

fn broken(error: &std::io::Error) -> Mishap {
    mishap(MishapKind::Unreachable, &format!("IRC: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_sources_and_tags() {
        let told = |line: &str| {
            let Line { source, command, rest } = Line::parse(line);
            [source, command, rest]
        };
        assert_eq!(told(":irc.example 001 m :Welcome"), ["irc.example", "001", "m :Welcome"]);
        assert_eq!(told("@time=1 :irc PONG irc done"), ["irc", "PONG", "irc done"]);
        assert_eq!(told("PING :x"), ["", "PING", ":x"]);
        assert_eq!(told(":alone"), ["alone", "", ""]);
    }

    #[test]
    fn only_nickserv_speaks_for_nickserv() {
        let notice = |line: &str| Line::parse(line).notice().map(str::to_owned);
        let said = "Successfully suspended account w";
        assert_eq!(notice(&format!(":NickServ!NickServ@localhost NOTICE m :{said}")).as_deref(), Some(said));
        assert_eq!(notice(&format!(":mallory!u@h NOTICE m :{said}")), None);
        assert_eq!(notice(&format!(":NickServ1!u@h NOTICE m :{said}")), None);
    }

    #[test]
    fn a_suspension_that_somebody_else_made_is_not_ours() {
        let name = "w-one".parse().expect("a name");
        let line = "Account W-One suspended at Sun, 22 Nov 2026 13:05:08 UTC. Duration: indefinite. Reason: ";
        assert!(is_ours(&format!("{line}{REASON}"), &name));
        assert!(!is_ours(&format!("{line}spam"), &name));
        assert!(!is_ours(&format!("{line}{REASON}").replace("W-One", "w-two"), &name));
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

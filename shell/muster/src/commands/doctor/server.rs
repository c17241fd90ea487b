//! The server: whether it runs, who it is, what time it has, and whether anything stands in its way.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use muster_client::{Client, ClientError};
use muster_wire::invite::CaPin;
use muster_wire::status::Status;

use super::report::Check;
use crate::context::{Target, connect};
use crate::durations;
use crate::failure::Failure;

const SERVER: &str = "server";
/// The names of the checks of a server at its address.
pub(super) const NAMES: Names = Names { address: "server address", pin: "pin", clock: "server clock" };
const SKEW_WARN: u64 = 5;
const SKEW_FAIL: u64 = 60;
const DAY: u64 = 86_400;

/// How the checks of a server at an address are called, by who asks it. No two checks of a report share a name.
pub(super) struct Names {
    /// Whether it answers.
    pub(super) address: &'static str,
    /// Whether it is the one that was meant.
    pub(super) pin: &'static str,
    /// Whether it shows the same time.
    pub(super) clock: &'static str,
}

/// The server of a data directory, through its socket; true where it runs.
pub(super) async fn local(dir: &Path, pin: Option<CaPin>, now: Timestamp, checks: &mut Vec<Check>) -> bool {
    let status = match ask(&Target::Socket(dir.join("muster.sock"))).await {
        Ok(status) => status,
        Err(failure) => {
            checks.push(Check {
                fix: Some("start it with `muster up`, or read its log".into()),
                ..Check::of(SERVER, &failure)
            });
            return false;
        }
    };
    checks.push(Check::ok(SERVER, format!("version {} runs at {}", status.version, status.url)));
    checks.push(mode(&status));
    checks.push(clock(NAMES.clock, status.server_time, now));
    checks.push(ca(status.ca_expires, now));
    match (pin, status.ca_pin.parse::<CaPin>()) {
        (Some(pin), Ok(own)) => checks.push(compare(pin, own)),
        (None, Ok(own)) => {
            let mut found = Vec::new();
            address(&NAMES, &status.url, own, now, &mut found).await;
            // It is one server: its clock is told once.
            checks.extend(found.into_iter().filter(|check| check.name != NAMES.clock));
        }
        (_, Err(error)) => checks.push(Check::fail(
            "pin",
            format!("{:?} {error}", status.ca_pin),
            "client and server may be of different versions",
        )),
    }
    true
}

/// A server at an address: whether it answers, has the pinned CA, and shows the same time.
pub(super) async fn address(names: &Names, url: &str, pin: CaPin, now: Timestamp, checks: &mut Vec<Check>) {
    let nonce = match Client::pinned(url, pin, None).await {
        Ok(client) => client.nonce().await,
        Err(error) => Err(error),
    };
    match nonce {
        Ok(nonce) => {
            checks.push(Check::ok(names.address, format!("{url} answers and has the pinned CA")));
            checks.push(clock(names.clock, nonce.server_time, now));
        }
        Err(error) => {
            let unreachable = matches!(error, ClientError::Unreachable { .. });
            let is_pin = matches!(error, ClientError::PinMismatch { .. });
            let name = if is_pin { names.pin } else { names.address };
            let check = Check::of(name, &Failure::from(error));
            let fix = "start that server, or check address, network and firewall";
            checks.push(if unreachable { Check { fix: Some(fix.into()), ..check } } else { check });
        }
    }
}

/// A server's socket that was named some other way than by its directory.
pub(super) async fn socket(path: &Path, checks: &mut Vec<Check>) {
    match ask(&Target::Socket(path.to_owned())).await {
        Ok(status) => {
            checks.push(Check::ok(SERVER, format!("version {} runs at {}", status.version, status.url)));
        }
        Err(failure) => checks.push(Check::of(SERVER, &failure)),
    }
}

/// Whether a server at an address lets us manage it.
pub(super) async fn access(target: &Target, checks: &mut Vec<Check>) {
    checks.push(match ask(target).await {
        Ok(status) => Check::ok("access", format!("{} takes the token", status.url)),
        Err(failure) => Check::of("access", &failure),
    });
}

/// Whether a server could listen on an address now.
pub(super) fn port(listen: SocketAddr) -> Check {
    match TcpListener::bind(listen) {
        Ok(_) => Check::ok("port", format!("{listen} is free")),
        Err(error) => {
            let message = match error.kind() {
                io::ErrorKind::AddrInUse => format!("the port is taken: something else listens on {listen}"),
                io::ErrorKind::AddrNotAvailable => format!("{listen} is no address of this machine"),
                _ => format!("nothing can listen on {listen}"),
            };
            let fix = format!(
                "choose another with --listen, or find out who has it: ss -ltnp sport = :{}",
                listen.port()
            );
            Check::fail("port", message, fix).because(error.to_string())
        }
    }
}

async fn ask(target: &Target) -> Result<Status, Failure> {
    let client = connect(target, std::env::var("MUSTER_TOKEN").ok()).await?;
    Ok(client.status().await?)
}

/// What the server may do.
fn mode(status: &Status) -> Check {
    const NAME: &str = "mode";
    let told = || status.warnings.join("; ");
    match status.mode.as_str() {
        "restored" => {
            let text = "the database was put back to an older day: it is read, and nothing is changed";
            Check::fail(NAME, text, "muster restore accept, once you know why it is older").because(told())
        }
        "stale" => {
            let text = "the database cannot be read, or its certificate authority not be used: nothing is decided until it can";
            Check::fail(
                NAME,
                text,
                "see that the database runs, that this host reaches it, and that the seal key is the others'",
            )
            .because(told())
        }
        _ => Check::ok(NAME, "reads and writes"),
    }
}

fn compare(given: CaPin, own: CaPin) -> Check {
    if given == own {
        return Check::ok("pin", "the pin is this server's");
    }
    Check::fail("pin", "the pin is another server's", format!("use {own}"))
        .because(format!("the given pin is {given}"))
}

fn clock(name: &'static str, server: Timestamp, now: Timestamp) -> Check {
    let ahead = server.duration_since(now).as_secs();
    let (size, which) = (ahead.unsigned_abs(), if ahead > 0 { "behind" } else { "ahead of" });
    let text = format!(
        "this machine's clock is {} {which} the server's",
        durations::show(Duration::from_secs(size))
    );
    match size {
        SKEW_FAIL.. => Check::fail(name, text, "set the clock here or there (timedatectl set-ntp true)"),
        SKEW_WARN.. => Check::warn(name, text, "set the clock here or there (timedatectl set-ntp true)"),
        _ => Check::ok(name, "the server shows the same time"),
    }
}

fn ca(end: Timestamp, now: Timestamp) -> Check {
    let left = end.duration_since(now).as_secs();
    let text = format!("the issuing CA ends on {}", end.strftime("%Y-%m-%d"));
    match u64::try_from(left) {
        Ok(left) if left > 30 * DAY => Check::ok("ca", text),
        Ok(_) => Check::warn("ca", text, "plan its renewal now"),
        Err(_) => Check::fail("ca", "the issuing CA has ended", "nothing can be issued until it is renewed")
            .because(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Status as Found;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn q_16_a_clock_that_is_off_fails_in_both_directions() {
        let status = |offset: i64| clock("clock", at(1_000_000 + offset), at(1_000_000)).status;
        assert_eq!([0, 4, -5, 59].map(status), [Found::Ok, Found::Ok, Found::Warn, Found::Warn]);
        assert_eq!([60, -3600].map(status), [Found::Fail, Found::Fail]);
        assert!(clock("clock", at(4600), at(1000)).message.contains("1h behind"));
    }

    #[test]
    fn a_taken_port_is_named() {
        let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = holder.local_addr().expect("bound");
        let check = port(address);
        assert!(check.message.contains("taken") && check.message.contains(&address.to_string()), "{check:?}");
        drop(holder);
    }

    #[test]
    fn a_wrong_pin_is_told_with_both_pins() {
        let check = compare(CaPin([1; 32]), CaPin([2; 32]));
        assert_eq!(check.status, Found::Fail);
        assert!(check.cause.expect("a cause").contains("0101") && check.fix.expect("a fix").contains("0202"));
    }

    #[test]
    fn a_ca_warns_before_it_ends_and_fails_after() {
        let day = 86_400;
        let status = |left: i64| ca(at(left), at(0)).status;
        assert_eq!([31 * day, 29 * day, -1].map(status), [Found::Ok, Found::Warn, Found::Fail]);
    }

    #[tokio::test]
    async fn a_server_that_does_not_run_is_told() {
        let mut checks = Vec::new();
        assert!(!local(Path::new("/nonexistent"), None, at(0), &mut checks).await);
        assert!(
            matches!(checks.as_slice(), [check] if check.name == "server" && check.status == Found::Fail)
        );
    }
}

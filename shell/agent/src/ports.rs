//! What the agent needs of the world: a clock and connections. Tests bring their own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use muster_agent_core::{Draw, Fresh, Verdict};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens byte streams.
pub(crate) trait Dial: Send + Sync {
    /// Opens one to a host (name or address) and port.
    fn dial(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Box<dyn Stream>>>;
}

/// Tells the hour.
pub(crate) trait Now: Send + Sync + std::fmt::Debug {
    /// The hour, by the machine's own clock.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, corrected by what verified servers said of theirs.
#[derive(Debug)]
pub(crate) struct Clock {
    source: Box<dyn Now>,
    offset_ms: AtomicI64,
}

/// What the agent needs of the world.
#[derive(Clone)]
pub(crate) struct Ports {
    /// The clock.
    pub(crate) clock: Arc<Clock>,
    /// Connections.
    pub(crate) dial: Arc<dyn Dial>,
}

#[derive(Debug)]
struct SystemClock;

struct Tcp;

/// Clocks that differ by less are the same.
const NO_SKEW_MS: i64 = 2_000;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

impl Ports {
    /// The real ones.
    pub(crate) fn real() -> Self {
        Self { clock: Arc::new(Clock::new(SystemClock)), dial: Arc::new(Tcp) }
    }

    /// The hour and drawn numbers, for one step.
    pub(crate) fn fresh(&self) -> Fresh {
        let mut bytes = [0; 8];
        // Jitter is no secret: without randomness the step goes on, with the longest delays.
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            bytes = [0xff; 8];
        }
        let [a, b, c, d, e, f, g, h] = bytes;
        Fresh {
            now: self.clock.now(),
            jitter: Draw(u32::from_be_bytes([a, b, c, d])),
            spread: Draw(u32::from_be_bytes([e, f, g, h])),
        }
    }
}

impl Clock {
    /// A clock over a source.
    pub(crate) fn new(source: impl Now + 'static) -> Self {
        Self { source: Box::new(source), offset_ms: AtomicI64::new(0) }
    }

    /// The hour, corrected.
    pub(crate) fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_millis(self.offset_ms.load(Ordering::Relaxed));
        let now = self.source.now();
        now.checked_add(offset).unwrap_or(now)
    }

    /// Takes a verified server's clock for right.
    pub(crate) fn learn(&self, server_time: Timestamp) {
        let ahead = server_time.as_millisecond().saturating_sub(self.source.now().as_millisecond());
        let offset = if ahead.abs() < NO_SKEW_MS { 0 } else { ahead };
        if self.offset_ms.swap(offset, Ordering::Relaxed).abs_diff(offset) >= NO_SKEW_MS.unsigned_abs() {
            tracing::warn!(seconds = offset / 1000, "this machine's clock differs from the server's");
        }
    }

    /// Forgets what was learned where no server can be reached by it: whoever told it was wrong. For machines that know nobody
    /// yet whom they could ask for the hour.
    pub(crate) fn doubt<T>(&self, answer: Result<T, Verdict>) -> Result<T, Verdict> {
        if let Err(Verdict::ClockOff { .. }) = &answer {
            self.offset_ms.store(0, Ordering::Relaxed);
        }
        answer
    }

    /// How far the server's clock is ahead, in seconds.
    pub(crate) fn skew_seconds(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed) / 1000
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl Now for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place of the agent that reads the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl Dial for Tcp {
    fn dial(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let connect = tokio::net::TcpStream::connect((host.as_str(), port));
            let stream = match tokio::time::timeout(CONNECT_LIMIT, connect).await {
                Ok(stream) => stream?,
                Err(elapsed) => return Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)),
            };
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_16_an_hour_by_which_no_server_can_be_reached_is_forgotten() {
        #[derive(Debug)]
        struct Noon;
        impl Now for Noon {
            fn now(&self) -> Timestamp {
                Timestamp::UNIX_EPOCH
            }
        }
        let clock = Clock::new(Noon);
        clock.learn(Timestamp::from_second(365 * 86_400).expect("a year later"));
        let down: Result<(), Verdict> = clock.doubt(Err(Verdict::later("down")));
        assert!(down.is_err());
        assert_eq!(clock.skew_seconds(), 365 * 86_400, "an outage says nothing of the hour");
        let off: Result<(), Verdict> = clock.doubt(Err(Verdict::ClockOff { what: "not valid yet".into() }));
        assert!(off.is_err());
        assert_eq!(clock.skew_seconds(), 0);
    }
}

//! Load: so many callers at once, each asking anew as soon as it was answered, bounded in number and in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::host::{Busy, Cpu, busy};
use crate::http::{Client, Place};
use crate::watch::{now, quantile};

/// Requests to be sent, and the answer that each should get.
pub(crate) struct Feed {
    requests: Vec<Vec<u8>>,
    next: AtomicUsize,
    again: bool,
    status: u16,
}

impl Feed {
    /// Requests that are sent once each.
    pub(crate) fn once(requests: Vec<Vec<u8>>, status: u16) -> Arc<Self> {
        Arc::new(Self { requests, next: AtomicUsize::new(0), again: false, status })
    }

    /// Requests that are sent in turn for as long as there is time.
    pub(crate) fn again(requests: Vec<Vec<u8>>, status: u16) -> Arc<Self> {
        Arc::new(Self { requests, next: AtomicUsize::new(0), again: true, status })
    }

    fn take(&self) -> Option<&[u8]> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let at = if self.again { next % self.requests.len() } else { next };
        self.requests.get(at).map(Vec::as_slice)
    }

    async fn call(&self, client: &mut Client, request: &[u8]) -> Result<()> {
        let status = client.call(request).await?;
        if status != self.status {
            bail!("answered {status} and not {}: {}", self.status, String::from_utf8_lossy(client.body()));
        }
        Ok(())
    }
}

/// How hard, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// Whether each request comes on a connection of its own, handshake and all.
    pub(crate) fresh: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Answers a second.
    pub(crate) rate: f64,
    /// Half and 99 of 100 answers came within, in milliseconds.
    pub(crate) latency_ms: (f64, f64),
    /// Processor time each took.
    pub(crate) cpu_us: Cpu,
}

/// A stretch of time that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    start: Instant,
    busy: Busy,
}

impl Stretch {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        Self { start: now(), busy: busy() }
    }

    /// How long it lasts already.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Measured {
    /// From how long each took, and the stretch that ends now.
    pub(crate) fn of(mut took: Vec<Duration>, stretch: Stretch) -> Self {
        let (all, busy) = (stretch.elapsed(), busy().since(stretch.busy));
        took.sort_unstable();
        let millis = |share| quantile(&took, share).as_secs_f64() * 1e3;
        let count = took.len() as f64;
        Self {
            rate: count / all.as_secs_f64(),
            latency_ms: (millis(0.5), millis(0.99)),
            cpu_us: busy.each(count),
        }
    }
}

/// Puts the load on a place. An answer other than the expected one ends the run.
pub(crate) async fn run(place: &Place, feed: &Arc<Feed>, load: Load) -> Result<Measured> {
    spread(std::slice::from_ref(place), feed, load).await
}

/// The same on several places at once: each has its share of the callers.
pub(crate) async fn spread(places: &[Place], feed: &Arc<Feed>, load: Load) -> Result<Measured> {
    let barrier = Arc::new(Barrier::new(load.connections + 1));
    let mut callers = JoinSet::new();
    for place in places.iter().cycle().take(load.connections) {
        let (place, feed, barrier) = (place.clone(), Arc::clone(feed), Arc::clone(&barrier));
        callers.spawn(async move {
            let client = place.connect().await;
            barrier.wait().await;
            if load.fresh {
                anew(&place, &feed, load.time).await
            } else {
                keep(client?, &feed, load.time).await
            }
        });
    }
    barrier.wait().await;
    let stretch = Stretch::begin();
    let mut took = Vec::new();
    while let Some(ended) = callers.join_next().await {
        took.extend(ended??);
    }
    ensure!(!took.is_empty(), "nothing was left to ask");
    Ok(Measured::of(took, stretch))
}

async fn keep(mut client: Client, feed: &Feed, time: Duration) -> Result<Vec<Duration>> {
    let start = now();
    let mut took = Vec::new();
    while start.elapsed() < time {
        let Some(request) = feed.take() else { break };
        let begun = now();
        feed.call(&mut client, request).await?;
        took.push(begun.elapsed());
    }
    Ok(took)
}

async fn anew(place: &Place, feed: &Feed, time: Duration) -> Result<Vec<Duration>> {
    let start = now();
    let mut took = Vec::new();
    while start.elapsed() < time {
        let Some(request) = feed.take() else { break };
        let begun = now();
        let mut client = place.connect().await?;
        feed.call(&mut client, request).await?;
        took.push(begun.elapsed());
    }
    Ok(took)
}

/// Work that needs no network, on every processor at once. Gives how often a second it was done.
pub(crate) fn alone(time: Duration, work: impl Fn(usize) -> Result<()> + Sync) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let start = now();
    let one = || -> Result<usize> {
        let mut done = 0;
        while start.elapsed() < time {
            work(next.fetch_add(1, Ordering::Relaxed))?;
            done += 1;
        }
        Ok(done)
    };
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..crate::host::cores()).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("the work does not panic"))
            .sum::<Result<usize>>()
    })?;
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_once_runs_out_and_the_rest_does_not() {
        let requests = || vec![b"a".to_vec(), b"b".to_vec()];
        let (once, again) = (Feed::once(requests(), 200), Feed::again(requests(), 200));
        let taken = |feed: &Feed| (0..4).filter_map(|_| feed.take().map(<[u8]>::to_vec)).collect::<Vec<_>>();
        assert_eq!(taken(&once), [b"a", b"b"]);
        assert_eq!(taken(&again), [b"a", b"b", b"a", b"b"]);
    }

    #[test]
    fn work_that_fails_is_told() {
        assert!(alone(Duration::from_secs(5), |n| if n < 3 { Ok(()) } else { bail!("no") }).is_err());
    }
}

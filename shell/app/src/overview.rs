//! What the fleet did over time, what of it ends when, and what runs on it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use muster_model::pulse::slot_of;
use muster_model::{Counted, Expiring, Expiry, Pulse, SignedDuration, TenantId, Timestamp, VersionUse};
use muster_store::{Lists, Store, StoreError};
use muster_wire::overview::{ExpiringDay, Happened, Overview, OverviewQuery, PulsePoint, VersionCount};
use muster_wire::status::MachineCounts;

use crate::App;
use crate::caller::Origin;
use crate::error::Error;

/// So much is told without being asked for, and at the most: as far back as it is kept.
const HOURS: (u32, u32) = (24, 92 * 24);
/// Stretches that a chart has room for.
const STRETCHES: u64 = 300;
/// Minutes that a stretch may last: parts of a day that people know.
const LENGTHS: [u64; 11] = [5, 10, 15, 30, 60, 120, 180, 240, 360, 480, 720];
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Days that the calendar of what ends looks ahead, today among them: 13 weeks.
const DAYS: i32 = 91;
/// Versions that are told one by one.
const VERSIONS: u32 = 20;
/// What took a while to count is good for so many times as long: counting is never more than this part of the time.
const GOOD_FOR: i32 = 60;

/// What is counted by walking through everything.
#[derive(Debug, Clone)]
struct Walked {
    expiring: Vec<Expiry>,
    versions: Vec<VersionUse>,
}

/// What was walked through last, and until when it is good.
#[derive(Default)]
pub(crate) struct Walks {
    last: Mutex<Option<(TenantId, Timestamp, Walked)>>,
    /// Whose turn it is: where many ask, one of them walks.
    turn: tokio::sync::Mutex<()>,
}

impl Walks {
    fn good(&self, tenant: TenantId, now: Timestamp) -> Option<Walked> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref()
            .filter(|(of, until, _)| *of == tenant && now < *until)
            .map(|(.., walked)| walked.clone())
    }

    fn keep(&self, tenant: TenantId, (began, ended): (Timestamp, Timestamp), walked: Walked) {
        let took = ended.duration_since(began).max(SignedDuration::ZERO);
        let until = ended + took.min(SignedDuration::from_mins(1)) * GOOD_FOR;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((tenant, until, walked));
    }
}

impl<S: Store> App<S> {
    /// What the fleet did within so many hours, what of it ends when, and what runs on it.
    ///
    /// # Errors
    /// A wrong field; [`Error::Store`].
    pub async fn overview(&self, query: &OverviewQuery, origin: &Origin) -> Result<Overview, Error> {
        let hours = query.hours.unwrap_or(HOURS.0);
        if !(1..=HOURS.1).contains(&hours) {
            return Err(Error::field("hours", format!("must be 1 to {}", HOURS.1)));
        }
        let (tenant, now) = (self.tenant_of(&origin.caller), self.now());
        let step = length(hours);
        let from = slot_of(now - SignedDuration::from_hours(hours.into()), step);
        let until = slot_of(now, step) + step;
        let mut reads = self.onlooker().await?;
        let pulses = reads.pulses(tenant, from, until, step).await?;
        let [pending, active, suspended, retired] = reads.machine_counts(tenant).await?;
        drop(reads);
        let Walked { expiring, versions } = self.walked(tenant).await?;
        let alive = self.replicas().await?.into_iter().filter(|replica| replica.alive);
        let online = alive.map(|replica| replica.channels).sum();
        let told = versions.iter().map(|version| version.machines).sum();
        Ok(Overview {
            from,
            until,
            step: step.as_secs().unsigned_abs(),
            machines: MachineCounts { pending, active, suspended, retired, online },
            totals: totals(&pulses),
            pulses: pulses.into_iter().map(point).collect(),
            expiring: days(expiring),
            ca_expires: self.authority().issuing_not_after(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            versions: versions.into_iter().map(version).collect(),
            other_versions: active.saturating_sub(told),
        })
    }

    async fn walked(&self, tenant: TenantId) -> Result<Walked, Error> {
        let walks = &self.inner.walks;
        let _turn = walks.turn.lock().await;
        let began = self.now();
        if let Some(walked) = walks.good(tenant, began) {
            return Ok(walked);
        }
        let walked = self.walk(tenant, began).await?;
        walks.keep(tenant, (began, self.now()), walked.clone());
        Ok(walked)
    }

    async fn walk(&self, tenant: TenantId, now: Timestamp) -> Result<Walked, StoreError> {
        let mut reads = self.inner.store.reader().await?;
        let until = slot_of(now, DAY) + DAY * DAYS;
        let expiring = reads.expiring(tenant, now, until).await?;
        Ok(Walked { expiring, versions: reads.versions(tenant, VERSIONS).await? })
    }
}

/// How long stretches are, so that no more than a chart has room for cover these hours. The first of them has begun before.
fn length(hours: u32) -> SignedDuration {
    let minutes = u64::from(hours) * 60;
    let fits = |length: &&u64| minutes.div_ceil(**length) < STRETCHES;
    let minutes = LENGTHS.iter().find(fits).copied().unwrap_or(LENGTHS[LENGTHS.len() - 1]);
    SignedDuration::from_secs((minutes * 60).cast_signed())
}

fn totals(pulses: &[Pulse]) -> Happened {
    let mut all = Counted::default();
    pulses.iter().for_each(|pulse| all += pulse.counted);
    happened(all)
}

fn happened(Counted { enrolled, refused, ended }: Counted) -> Happened {
    Happened { enrolled, refused, ended }
}

fn point(pulse: Pulse) -> PulsePoint {
    let (online_least, online_most) = pulse.online.unzip();
    let Pulse { at, machines, counted, .. } = pulse;
    PulsePoint { at, online_least, online_most, machines, happened: happened(counted) }
}

fn days(expiring: Vec<Expiry>) -> Vec<ExpiringDay> {
    let mut days = BTreeMap::new();
    for Expiry { day, what, count } in expiring {
        let day = days.entry(day).or_insert_with(|| ExpiringDay::none(day));
        match what {
            Expiring::Certificate => day.certificates += count,
            Expiring::BearerKey => day.bearer_keys += count,
            Expiring::Grant => day.grants += count,
            Expiring::ApiToken => day.api_tokens += count,
        }
    }
    days.into_values().collect()
}

fn version(VersionUse { version, machines }: VersionUse) -> VersionCount {
    VersionCount { version, machines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_has_more_stretches_than_a_chart_has_room_for() {
        for hours in 1..=HOURS.1 {
            let minutes = u64::from(hours) * 60;
            let length = length(hours).as_secs().unsigned_abs() / 60;
            assert!(minutes.div_ceil(length) < STRETCHES, "{hours} hours by {length} minutes");
            assert_eq!(1440 % length, 0, "a day is made of whole ones");
        }
        let told = [1, 24, 25, 168, 720, 2160, 2208].map(|hours| length(hours).as_secs() / 60);
        assert_eq!(told, [5, 5, 10, 60, 180, 480, 480]);
    }

    #[test]
    fn what_was_counted_at_once_is_counted_anew_and_what_took_long_is_kept() {
        let tenant = TenantId::new(1, [1; 10]);
        let at = |millis: i64| Timestamp::from_millisecond(1_793_534_400_000 + millis).expect("in range");
        let walked = Walked { expiring: Vec::new(), versions: Vec::new() };
        let walks = Walks::default();
        walks.keep(tenant, (at(0), at(0)), walked.clone());
        assert!(walks.good(tenant, at(0)).is_none());
        walks.keep(tenant, (at(0), at(500)), walked.clone());
        assert!(walks.good(tenant, at(30_499)).is_some() && walks.good(tenant, at(30_500)).is_none());
        assert!(walks.good(TenantId::new(2, [2; 10]), at(600)).is_none(), "it is of one tenant");
        walks.keep(tenant, (at(9_000_000), at(0)), walked);
        assert!(walks.good(tenant, at(1)).is_none(), "a clock that was put back keeps nothing");
    }
}

//! What a fleet looks like: names, sites, states and labels in the proportions of a real one. The same number gives the
//! same machine, but for what is random in it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, anyhow};
use data_encoding::HEXLOWER;
use muster_model::id::Draw;
use muster_model::{
    Active, Attributes, GrantId, Labels, Lineage, Machine, MachineKind, MachineState, Pending, RetireCause,
    Retired, SiteId, SuspendCause, Suspended, TenantId, Timestamp,
};

/// Codes of the sites, beside the one that is founded, and how many of a thousand machines live there.
pub(crate) const SITES: [(&str, u64); 7] =
    [("north", 200), ("south", 120), ("east", 80), ("west", 50), ("lab", 30), ("depot", 15), ("attic", 5)];
/// Roles, and how many of a thousand machines have each. The rest are `edge`.
const ROLES: [(&str, u64); 4] = [("web", 400), ("worker", 140), ("db", 150), ("kiosk", 20)];
const ENVIRONMENTS: [(&str, u64); 2] = [("staging", 250), ("dev", 100)];
const SYSTEMS: [(&str, u64); 2] = [("Ubuntu 24.04.3 LTS", 300), ("Alpine Linux v3.22", 100)];
/// Grants that they came in by, each by as many.
const GRANTS: u64 = 20;
/// Releases of the agent that are about, each as often.
const RELEASES: u64 = 40;
/// How many machines have a rare word, however many there are.
const RARE: u64 = 50;

/// A fleet of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) tenant: TenantId,
    /// The founded site and those of [`SITES`], or the founded one alone.
    pub(crate) sites: Vec<SiteId>,
    pub(crate) now: Timestamp,
}

/// Machines by their numbers: from the first to the one before the last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wave {
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// A word that a few machines have, spread over all of them.
    pub(crate) rare: &'static str,
}

impl Wave {
    fn has_rare_word(self, n: u64) -> bool {
        (n - self.first).is_multiple_of((self.end - self.first).div_ceil(RARE).max(1))
    }
}

impl Fleet {
    /// A machine of a wave. One that is pending has not come yet.
    pub(crate) fn machine(&self, wave: Wave, n: u64) -> Result<Machine> {
        let since = self.now;
        let role = pick(n, 1, &ROLES).unwrap_or("edge");
        let state = state(n, since);
        let has_come = !matches!(state, MachineState::Pending(_));
        Ok(Machine {
            id: draw(since),
            tenant: self.tenant,
            site: self.site(n),
            name: format!("{role}-{n}").parse()?,
            hostname: Some(format!("{role}-{n}.example.net").parse()?),
            kind: MachineKind::Host,
            hardware_id: Some(format!("hw_{}", HEXLOWER.encode(&random::<16>())).parse()?),
            key: None,
            generation: 1,
            role: (role == "kiosk").then(|| "display".parse()).transpose()?,
            labels: labels(wave, n)?,
            attributes: attributes(n)?,
            grant: Some(grant(mixed(n, 8) % GRANTS)),
            state,
            created_at: since,
            enrolled_at: has_come.then_some(since),
            key_since: None,
            alarm: None,
            lineage: Lineage { source: has_come.then(|| address(n)), ..Lineage::default() },
        })
    }

    fn site(&self, n: u64) -> SiteId {
        let codes = SITES.iter().map(|(code, _)| *code);
        let at = pick(n, 2, &SITES).and_then(|picked| codes.into_iter().position(|code| code == picked));
        let at = at.map_or(0, |at| at + 1);
        self.sites[at.min(self.sites.len() - 1)]
    }
}

fn state(n: u64, since: Timestamp) -> MachineState {
    match pick(n, 3, &[("pending", 30), ("retired", 10), ("suspended", 5)]) {
        Some("pending") => MachineState::Pending(Pending { since }),
        Some("retired") => {
            MachineState::Retired(Retired { since, cause: RetireCause::Operator(None), readmit: None })
        }
        Some(_) => MachineState::Suspended(Suspended { since, cause: SuspendCause::Operator(None) }),
        None => MachineState::Active(Active { since }),
    }
}

fn labels(wave: Wave, n: u64) -> Result<Labels> {
    let environment = pick(n, 4, &ENVIRONMENTS).unwrap_or("prod");
    let mut labels = BTreeMap::from([
        ("env".to_owned(), environment.to_owned()),
        ("rack".to_owned(), format!("r{}", mixed(n, 5) % 400)),
    ]);
    if wave.has_rare_word(n) {
        labels.insert("owner".to_owned(), wave.rare.to_owned());
    }
    Labels::new(&labels).map_err(|wrong| anyhow!("{wrong:?}"))
}

fn attributes(n: u64) -> Result<Attributes> {
    let system = pick(n, 6, &SYSTEMS).unwrap_or("Debian GNU/Linux 12 (bookworm)").to_owned();
    let version = format!("1.2.{}", mixed(n, 7) % RELEASES);
    let said = BTreeMap::from([("os".to_owned(), system), ("agent_version".to_owned(), version)]);
    Attributes::new(&said).map_err(|wrong| anyhow!("{wrong:?}"))
}

/// Which grants there are.
pub(crate) fn grant(number: u64) -> GrantId {
    GrantId::from_bytes([number as u8 + 1; 16])
}

/// Each machine's own: all begin alike, up to the third number those of 65,536, up to the last those of 256.
fn address(n: u64) -> IpAddr {
    let [.., a, b, c] = n.to_be_bytes();
    Ipv4Addr::new(10, a.wrapping_add(100), b, c).into()
}

/// One of several, by their shares of a thousand; none where the shares leave room.
fn pick(n: u64, which: u64, shares: &[(&'static str, u64)]) -> Option<&'static str> {
    let mut left = mixed(n, which) % 1000;
    for (name, share) in shares {
        if left < *share {
            return Some(name);
        }
        left -= share;
    }
    None
}

/// A number that looks random, another for each question, so that answers do not go together (SplitMix64).
fn mixed(n: u64, which: u64) -> u64 {
    let x = n.wrapping_mul(8).wrapping_add(which).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A new identifier.
pub(crate) fn draw<T: Draw>(now: Timestamp) -> T {
    T::draw(now.as_millisecond().unsigned_abs(), random())
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system's generator always answers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_what_they_say_and_do_not_go_together() {
        let counted = |of: fn(u64) -> bool| (0..10_000).filter(|n| of(*n)).count();
        let web = |n| pick(n, 1, &ROLES) == Some("web");
        let north = |n| pick(n, 2, &SITES) == Some("north");
        assert!((3_800..4_200).contains(&counted(web)));
        assert!((1_900..2_100).contains(&counted(north)));
        assert!((700..900).contains(&counted(
            |n| pick(n, 1, &ROLES) == Some("web") && pick(n, 2, &SITES) == Some("north")
        )));
    }

    #[test]
    fn a_rare_word_is_as_rare_among_many_as_among_few_and_spread_over_all() {
        for (first, end) in [(0, 10_000), (10_000, 1_000_000), (10_000, 20_001)] {
            let wave = Wave { first, end, rare: "word" };
            let with: Vec<u64> = (first..end).filter(|n| wave.has_rare_word(*n)).collect();
            assert!((45..=50).contains(&with.len()), "{} of {first} to {end}", with.len());
            assert!(with.last().is_some_and(|last| end - last <= (end - first) / 20));
        }
    }

    #[test]
    fn a_fleet_on_one_site_has_no_other() {
        let site = draw(Timestamp::UNIX_EPOCH);
        let fleet =
            Fleet { tenant: draw(Timestamp::UNIX_EPOCH), sites: vec![site], now: Timestamp::UNIX_EPOCH };
        assert!((0..1_000).all(|n| fleet.site(n) == site));
    }
}

//! A fleet of the agent's own state machines on a clock of its own, while the server is away for a while.
//!
//! Nothing here decides: back-off, jitter and the points of renewal are those of `agent-core`. What is counted is when
//! agents arrive once the server is back, and at which point of a certificate's life they renew.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use muster_agent_core::{Agent, Draw, Effect, Event, Fresh, Keys, Life, Standing, Timer, Verdict};
use muster_model::{SignedDuration, Timestamp};

use crate::line::Line;

const LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Agents start within this time, and the server goes away once every one of them has renewed.
const STARTS: u64 = 3_600_000;
const AWAY_AT: u64 = 30 * 3_600_000;
/// Watched for so long after the server has come back.
const WATCHED: u64 = 3_600_000;
/// Bins over 50 to 80 % of a life, and what chi-squared stays under by chance in 99 of 100 runs (29 degrees).
const BINS: usize = 30;
const CHI: f64 = 49.6;

/// Arrivals are compared over so many seconds: in a single one, chance alone is large.
const WINDOW: u64 = 10;

/// What is aimed at: how long until everybody is back, and how many times the mean the largest window may be.
const BACK_WITHIN: u64 = 600;
const PEAK: f64 = 3.0;

/// A fleet, and how long its server is away.
#[derive(Debug, Clone, Copy)]
pub struct Herd {
    /// How many agents.
    pub agents: u64,
    /// How long nobody answers.
    pub outage: Duration,
    /// What everything follows from.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned {
    /// Agents that came back.
    pub back: u64,
    /// Seconds until the last of them was.
    pub last_s: u64,
    /// The most arrivals in one second.
    pub second: u64,
    /// The most arrivals a second, over ten of them.
    pub peak: f64,
    /// The mean of arrivals a second until the last one.
    pub mean: f64,
    /// Failed attempts a second in the last minute before the return.
    pub knocking: f64,
    /// Chi-squared of the points of renewal against an even spread over 50 to 80 % of a life.
    pub chi: f64,
    /// Renewals that were counted.
    pub renewals: u64,
    /// Renewals outside 50 to 80 % of a life while the server was there.
    pub outside: u64,
}

struct World {
    herd: Herd,
    agents: Vec<One>,
    queue: BinaryHeap<Reverse<(u64, u64, usize, What)>>,
    number: u64,
    dice: u64,
    arrivals: BTreeMap<u64, u64>,
    failed: u64,
    bins: [u64; BINS],
    outside: u64,
}

struct One {
    agent: Agent,
    life: Life,
    /// The last setting of each timer counts.
    timers: BTreeMap<Timer, u64>,
    back_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Start,
    Due(Timer, u64),
    Opened,
    Lost,
    Renewed,
    RenewFailed,
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(millis).expect("days")).expect("in range")
}

impl Herd {
    /// Lets it all happen.
    pub fn run(self) -> Returned {
        let mut world = World::of(self);
        let back = AWAY_AT + self.away();
        while let Some(Reverse((now, _, who, what))) = world.queue.pop() {
            if now > back + WATCHED {
                break;
            }
            world.happen(now, who, what);
        }
        world.returned(back)
    }

    fn away(self) -> u64 {
        u64::try_from(self.outage.as_millis()).expect("an outage is short")
    }
}

impl World {
    fn of(herd: Herd) -> Self {
        let mut world = Self {
            herd,
            agents: Vec::new(),
            queue: BinaryHeap::new(),
            number: 0,
            dice: herd.seed,
            arrivals: BTreeMap::new(),
            failed: 0,
            bins: [0; BINS],
            outside: 0,
        };
        for who in 0..usize::try_from(herd.agents).expect("a fleet fits") {
            let start = world.draw() % STARTS;
            let life = Life { not_before: at(start), not_after: at(start) + LIFE };
            let keys = Keys { made_at: life.not_before, rotate_after: None, open: None, untried: false };
            let agent = Agent::enrolled(life, Standing::Active, keys);
            world.agents.push(One { agent, life, timers: BTreeMap::new(), back_at: None });
            world.plan(start, who, What::Start);
            world.plan(AWAY_AT, who, What::Lost);
        }
        world
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn plan(&mut self, when: u64, who: usize, what: What) {
        self.number += 1;
        self.queue.push(Reverse((when, self.number, who, what)));
    }

    fn is_there(&self, now: u64) -> bool {
        !(AWAY_AT..AWAY_AT + self.herd.away()).contains(&now)
    }

    fn happen(&mut self, now: u64, who: usize, what: What) {
        let event = match what {
            What::Start => Event::Started,
            What::Due(timer, set) if self.agents[who].timers.get(&timer) == Some(&set) => Event::Due(timer),
            What::Due(..) => return,
            What::Opened => Event::ChannelOpened { standing: Standing::Active },
            What::Lost => Event::ChannelClosed(Verdict::later("the server is away")),
            What::Renewed => {
                let life = Life { not_before: at(now), not_after: at(now) + LIFE };
                self.agents[who].life = life;
                Event::Renewed(life)
            }
            What::RenewFailed => Event::RenewFailed(Verdict::later("the server is away")),
        };
        let halves = self.draw();
        let fresh = Fresh { now: at(now), jitter: Draw(halves as u32), spread: Draw((halves >> 32) as u32) };
        for effect in self.agents[who].agent.step(event, &fresh) {
            self.carry_out(now, who, effect);
        }
    }

    fn carry_out(&mut self, now: u64, who: usize, effect: Effect) {
        match effect {
            Effect::OpenChannel if self.is_there(now) => {
                self.arrived(now, who);
                self.plan(now, who, What::Opened);
            }
            Effect::OpenChannel => {
                let last_minute = AWAY_AT + self.herd.away() - 60_000.min(self.herd.away());
                self.failed += u64::from(now >= last_minute);
                self.plan(now, who, What::Lost);
            }
            Effect::Renew(_) if self.is_there(now) => {
                self.renewed(now, who);
                self.plan(now, who, What::Renewed);
            }
            Effect::Renew(_) => self.plan(now, who, What::RenewFailed),
            Effect::Wake { timer, after } => {
                // Rounded up: who wakes a moment too early would go back to sleep for no time at all.
                let when = now + u64::try_from(after.as_nanos().div_ceil(1_000_000)).expect("bounded");
                self.agents[who].timers.insert(timer, self.number + 1);
                let set = self.number + 1;
                self.plan(when, who, What::Due(timer, set));
            }
            _ => {}
        }
    }

    fn arrived(&mut self, now: u64, who: usize) {
        let back = AWAY_AT + self.herd.away();
        if now >= back && self.agents[who].back_at.is_none() {
            self.agents[who].back_at = Some(now);
            *self.arrivals.entry((now - back) / 1000).or_default() += 1;
        }
    }

    /// Counts at which point of its life a certificate is renewed: of the first ones, whose point always lies before the
    /// outage. Of later ones only the early points would.
    fn renewed(&mut self, now: u64, who: usize) {
        let life = self.agents[who].life;
        if life.not_before >= at(STARTS) {
            return;
        }
        let into = at(now).duration_since(life.not_before).as_secs_f64() / LIFE.as_secs_f64();
        let bin = ((into - 0.5) / 0.3 * BINS as f64).floor();
        match bin {
            bin if (0.0..BINS as f64).contains(&bin) => self.bins[bin as usize] += 1,
            _ => self.outside += 1,
        }
    }

    fn largest_window(&self) -> u64 {
        let mut windows = BTreeMap::<u64, u64>::new();
        for (second, count) in &self.arrivals {
            *windows.entry(second / WINDOW).or_default() += count;
        }
        windows.into_values().max().unwrap_or_default()
    }

    fn returned(&self, back: u64) -> Returned {
        let back_at: Vec<u64> = self.agents.iter().filter_map(|one| one.back_at).collect();
        let last_s = back_at.iter().max().map_or(0, |last| (last - back).div_ceil(1000));
        let renewals: u64 = self.bins.iter().sum();
        let expected = renewals as f64 / BINS as f64;
        let chi = self.bins.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
        let minute = (self.herd.away() as f64 / 1000.0).clamp(0.001, 60.0);
        Returned {
            back: back_at.len() as u64,
            last_s,
            second: self.arrivals.values().copied().max().unwrap_or_default(),
            peak: self.largest_window() as f64 / WINDOW as f64,
            mean: back_at.len() as f64 / (last_s.max(1)) as f64,
            knocking: self.failed as f64 / minute,
            chi,
            renewals,
            outside: self.outside,
        }
    }
}

impl Returned {
    /// What is not as promised, of a fleet of so many.
    pub fn violations(&self, agents: u64) -> Vec<String> {
        let mut found = Vec::new();
        let mut hold = |is_so: bool, what: String| {
            if !is_so {
                found.push(what);
            }
        };
        hold(self.back == agents, format!("{} of {agents} came back", self.back));
        hold(self.last_s <= BACK_WITHIN, format!("the last one came after {} s", self.last_s));
        let ratio = self.peak / self.mean;
        hold(ratio <= PEAK, format!("{} arrivals a second, {ratio:.2} times the mean", self.peak));
        hold(self.chi < CHI, format!("renewals are not spread evenly: chi-squared {:.1}", self.chi));
        hold(self.outside == 0, format!("{} renewals outside 50 to 80 % of a life", self.outside));
        found
    }
}

/// Half an hour without a server, as it is promised; and shorter ones, as they are.
pub fn prove(agents: u64, seed: u64) -> Line {
    let herd = |seconds| Herd { agents, outage: Duration::from_secs(seconds), seed };
    let returned = herd(1800).run();
    let violations = returned.violations(agents);
    violations.iter().for_each(|what| eprintln!("herd (seed {seed}): VIOLATION: {what}"));
    let mut figures = BTreeMap::from([
        ("peak_per_second", rounded(returned.peak).into()),
        ("largest_second", returned.second.into()),
        ("mean_per_second", rounded(returned.mean).into()),
        ("peak_over_mean", rounded(returned.peak / returned.mean).into()),
        ("all_back_s", returned.last_s.into()),
        ("knocking_per_second", rounded(returned.knocking).into()),
        ("renewals", returned.renewals.into()),
        ("chi_squared", rounded(returned.chi).into()),
    ]);
    for (name, seconds) in [("outage_2s", 2), ("outage_60s", 60), ("outage_300s", 300)] {
        let short = herd(seconds).run();
        let told = serde_json::json!({"largest_second": short.second, "all_back_s": short.last_s});
        figures.insert(name, told);
    }
    Line {
        kind: "herd",
        goal: agents,
        done: returned.back,
        violations: violations.len() as u64,
        seed,
        figures,
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: u64 = 2_000;

    #[test]
    fn q_17_a_fleet_comes_back_spread_after_half_an_hour_and_renews_evenly() {
        let herd = Herd { agents: FLEET, outage: Duration::from_secs(1800), seed: 1 };
        let returned = herd.run();
        assert_eq!(returned.violations(FLEET), Vec::<String>::new(), "{returned:?}");
        assert!(returned.renewals >= FLEET, "everybody renewed once: {returned:?}");
        assert_eq!(herd.run(), returned, "it follows from its seed");
    }

    #[test]
    fn what_is_not_as_promised_is_found() {
        let good = Returned {
            back: 10,
            last_s: 5,
            second: 4,
            peak: 4.0,
            mean: 2.0,
            knocking: 2.0,
            chi: 20.0,
            renewals: 10,
            outside: 0,
        };
        assert_eq!(good.violations(10), Vec::<String>::new());
        for bad in [
            Returned { back: 9, ..good.clone() },
            Returned { last_s: 601, ..good.clone() },
            Returned { peak: 7.0, ..good.clone() },
            Returned { chi: 80.0, ..good.clone() },
            Returned { outside: 1, ..good.clone() },
        ] {
            assert_eq!(bad.violations(10).len(), 1, "{bad:?}");
        }
    }
}

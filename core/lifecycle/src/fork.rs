//! Whether two hold one key.
//!
//! Each start of an agent names a boot of its own, drawn at random, and counts what it says of itself in that life. So no boot
//! comes back once another has followed it, and nothing is counted twice, unless somebody runs a copy. Which of the two is the
//! machine, nobody can tell: it is told as an alarm, and where the policy says so the machine is paused until a person has
//! looked. Nothing is ended by it.
//!
//! Boots are kept with the key: a machine that has made its next key begins anew, and its copy is shut out.

use muster_model::{Account, KeyFingerprint, Machine, Object, SignedDuration, Timestamp};

use crate::machine::{Ends, moved};
use crate::plan::{Context, MemoryChange, Plan};

/// What an earlier life has said may arrive so late.
pub const LATE: SignedDuration = SignedDuration::from_secs(60);
/// How often one alarm is told again while it lasts.
pub const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// Earlier boots that are remembered. An agent that is started in a circle must not push the others out in a moment.
const MOST: usize = 8;

/// Random for each start of an agent.
pub type Boot = [u8; 16];

/// The lives of the agents that have shown a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boots {
    /// The newest.
    pub present: Boot,
    /// Those before it, and when each was followed by another; the oldest first.
    pub earlier: Vec<(Boot, Timestamp)>,
    /// When it was last told that there are two.
    pub alarmed_at: Option<Timestamp>,
}

/// What shows that there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// A life that another one had followed goes on.
    EarlierBoot,
    /// What was counted in this life was counted before.
    Counter,
}

impl Evidence {
    /// The name in entries and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EarlierBoot => "earlier_boot",
            Self::Counter => "counter",
        }
    }
}

/// What is done about a machine whose key two hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCopy {
    /// It is told, and nothing else.
    #[default]
    Alarm,
    /// It is told, and the machine is paused.
    Quarantine,
}

/// What a boot means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nothing new.
    Known,
    /// An agent was started.
    Began(Boots),
    /// There are two, as this shows.
    Forked(Boots, Evidence),
}

/// What an agent says beside the key that it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The key.
    pub key: KeyFingerprint,
    /// Its life.
    pub boot: Boot,
    /// Whether it counted something twice in it.
    pub repeated: bool,
}

/// What was counted in one life, as far as that is needed to tell a repetition from what arrives in another order (RFC 6479).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    highest: u64,
    /// Bit n: `highest - n` was counted.
    seen: u64,
}

impl Window {
    /// The first number that was heard.
    pub fn first(number: u64) -> Self {
        Self { highest: number, seen: 1 }
    }

    /// Takes another one. False for one that was heard before, or is too old to tell.
    pub fn take(&mut self, number: u64) -> bool {
        if let Some(ahead) = number.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            let shifted = u32::try_from(ahead).ok().and_then(|ahead| self.seen.checked_shl(ahead));
            (self.highest, self.seen) = (number, shifted.unwrap_or(0) | 1);
            return true;
        }
        let behind = u32::try_from(self.highest - number).ok();
        let Some(bit) = behind.and_then(|behind| 1_u64.checked_shl(behind)) else { return false };
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

/// What is known where this is decided.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The machine.
    pub machine: Option<Machine>,
    /// Its accounts.
    pub accounts: Vec<Account>,
    /// The lives that its key was shown in.
    pub boots: Option<Boots>,
}

impl Boots {
    /// The first one.
    pub fn first(present: Boot) -> Self {
        Self { present, earlier: Vec::new(), alarmed_at: None }
    }

    /// What it means that this boot is named now; `repeated` where it counted something twice.
    pub fn hear(&self, boot: Boot, repeated: bool, now: Timestamp) -> Heard {
        let followed_at = self.earlier.iter().find(|(earlier, _)| *earlier == boot).map(|(_, at)| *at);
        match followed_at {
            Some(at) if now.duration_since(at) > LATE => self.forked(Evidence::EarlierBoot, now),
            Some(_late) => Heard::Known,
            None if boot != self.present => Heard::Began(self.followed_by(boot, now)),
            None if repeated => self.forked(Evidence::Counter, now),
            None => Heard::Known,
        }
    }

    fn followed_by(&self, present: Boot, now: Timestamp) -> Self {
        let mut earlier = self.earlier.clone();
        earlier.push((self.present, now));
        let surplus = earlier.len().saturating_sub(MOST);
        earlier.drain(..surplus);
        Self { present, earlier, alarmed_at: self.alarmed_at }
    }

    fn forked(&self, evidence: Evidence, now: Timestamp) -> Heard {
        let was_told = self.alarmed_at.is_some_and(|at| now.duration_since(at).abs() < AGAIN);
        match was_told {
            true => Heard::Known,
            false => Heard::Forked(Self { alarmed_at: Some(now), ..self.clone() }, evidence),
        }
    }
}

/// An agent names its boot. That of a machine that is not there is nobody's.
pub fn hear(facts: Facts, said: Said, policy: OnCopy, context: &Context) -> Plan<Option<Evidence>> {
    let Facts { machine: Some(machine), accounts, boots } = facts else { return Plan::unchanged(None) };
    let Said { key, boot, repeated } = said;
    let heard = match boots {
        None => Heard::Began(Boots::first(boot)),
        Some(boots) => boots.hear(boot, repeated, context.now),
    };
    let (boots, (action, reason), evidence) = match heard {
        Heard::Known => return Plan::unchanged(None),
        Heard::Began(boots) => (boots, ("machine.boot", "started"), None),
        Heard::Forked(boots, evidence) => (boots, ("machine.forked", "alarm"), Some(evidence)),
    };
    let mut entry = context.entry(action, Object::Machine(machine.id), reason);
    entry.detail = vec![("key", key.to_string())];
    entry.detail.extend(evidence.map(|evidence| ("cause", evidence.as_str().to_owned())));
    let plan = Plan::new(evidence, vec![MemoryChange::Boots { key, boots }.into()], entry);
    match evidence {
        Some(_) => suspected(plan, machine, &accounts, policy, context),
        None => plan,
    }
}

/// A plan that shows that two hold a machine's key, with what the policy does about it.
pub fn suspected<O>(
    plan: Plan<O>,
    machine: Machine,
    accounts: &[Account],
    policy: OnCopy,
    context: &Context,
) -> Plan<O> {
    let OnCopy::Quarantine = policy else { return plan };
    // Whoever is paused already stays so, for the reason it is.
    let Ok(state) = machine.state.clone().quarantined(context.now) else { return plan };
    let machine = Machine { state, ..machine };
    let (_, changes) = moved(machine, "machine.forked", None, Ends::none(accounts), context).into_parts();
    changes.into_iter().fold(plan, Plan::and).saying("state", "suspended".to_owned())
}

#[cfg(test)]
mod tests;

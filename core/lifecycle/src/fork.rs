//! Whether two hold one key.
//!
//! Each start of an agent names a boot of its own, drawn at random, and counts what it says of itself in that life. So no boot
//! comes back once another has followed it, and nothing is counted twice, unless somebody runs a copy. Which of the two is the
//! machine, nobody can tell: it is told as an alarm, and where the policy says so the machine is paused until a person has
//! looked. Nothing is ended by it.
//!
//! Every sign of a copy, whoever finds it, is told by [`raise`] and nothing else. What an old image of a disk brings about by
//! itself is told as well, and never pauses: whoever finds one could stop a machine by it.
//!
//! Boots are kept with the key: a machine that has made its next key begins anew. The alarm is kept with the machine.

use muster_model::{
    Account, Alarm, AuditId, KeyFingerprint, Machine, MachineState, Object, SignedDuration, Timestamp,
};

pub use muster_model::Evidence;

use crate::account::{self, ends_passphrases};
use crate::plan::{Context, MachineChange, MemoryChange, Plan};

/// What an earlier life has said may arrive so late.
pub const LATE: SignedDuration = SignedDuration::from_secs(60);
/// How often one alarm is told again while it lasts.
pub const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// Earlier boots that are remembered. More than these within a day are a sign of their own: a machine may be silent as long as its
/// certificate is good, and its life must not have been pushed out meanwhile without a word.
pub const MOST: usize = 64;
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// Boots that are written within a minute: whoever begins more lives than this is heard, and costs no write.
pub const WRITTEN: usize = 6;

/// Random for each start of an agent.
pub type Boot = [u8; 16];

/// The lives of the agents that have shown a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boots {
    /// The newest.
    pub present: Boot,
    /// Those before it, and when each was followed by another; the oldest first.
    pub earlier: Vec<(Boot, Timestamp)>,
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

/// What is done about a sign of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// The policy.
    pub on_copy: OnCopy,
    /// For the entry that tells it.
    pub alarm: AuditId,
}

/// A sign of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    /// What shows it.
    pub evidence: Evidence,
    /// The key that was shown.
    pub key: KeyFingerprint,
    /// Whether that is the key that its machine works by. Who copied another one is shut out already.
    pub is_present: bool,
}

/// What a boot means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nothing new.
    Known,
    /// An agent was started.
    Began(Boots),
    /// More were started within a day than are remembered.
    Crowded(Boots),
    /// There are two, as this shows.
    Forked(Evidence),
}

/// What an agent says beside the key that it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The key.
    pub key: KeyFingerprint,
    /// Its life; `None` where it named none.
    pub boot: Option<Boot>,
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
        Self { present, earlier: Vec::new() }
    }

    /// What it means that this boot is named now, or none is; `repeated` where it counted something twice.
    pub fn hear(&self, boot: Option<Boot>, repeated: bool, now: Timestamp) -> Heard {
        let Some(boot) = boot else { return Heard::Forked(Evidence::BootMissing) };
        let followed_at = self.earlier.iter().find(|(earlier, _)| *earlier == boot).map(|(_, at)| *at);
        match followed_at {
            Some(at) if now.duration_since(at) > LATE => Heard::Forked(Evidence::EarlierBoot),
            Some(_late) => Heard::Known,
            None if boot != self.present => self.followed_by(boot, now),
            None if repeated => Heard::Forked(Evidence::Counter),
            None => Heard::Known,
        }
    }

    fn followed_by(&self, present: Boot, now: Timestamp) -> Heard {
        let within = |at: Timestamp, span: SignedDuration| now.duration_since(at).abs() < span;
        let lately = self.earlier.iter().filter(|(_, at)| within(*at, LATE)).count();
        if lately >= WRITTEN {
            return Heard::Known;
        }
        let mut earlier = self.earlier.clone();
        earlier.push((self.present, now));
        let surplus = earlier.len().saturating_sub(MOST);
        let is_crowded = earlier.drain(..surplus).any(|(_, at)| within(at, REMEMBERED));
        let boots = Self { present, earlier };
        if is_crowded { Heard::Crowded(boots) } else { Heard::Began(boots) }
    }
}

/// An agent names its boot. That of a machine that is not there is nobody's.
pub fn hear(facts: Facts, said: Said, watch: &Watch, context: &Context) -> Plan<()> {
    let Facts { machine: Some(machine), accounts, boots } = facts else { return Plan::unchanged(()) };
    let Said { key, boot, repeated } = said;
    let heard = match (boots, boot) {
        (Some(boots), boot) => boots.hear(boot, repeated, context.now),
        (None, Some(boot)) => Heard::Began(Boots::first(boot)),
        // Not every client has lives.
        (None, None) => Heard::Known,
    };
    let begun = |boots: Boots| {
        let mut entry = context.entry("machine.boot", Object::Machine(machine.id), "started");
        entry.detail = vec![("key", key.to_string())];
        Plan::new((), vec![MemoryChange::Boots { key, boots }.into()], entry)
    };
    let (plan, evidence) = match heard {
        Heard::Known => return Plan::unchanged(()),
        Heard::Began(boots) => return begun(boots),
        Heard::Crowded(boots) => (begun(boots), Evidence::ManyBoots),
        Heard::Forked(evidence) => (Plan::unchanged(()), evidence),
    };
    let sign = Sign { evidence, key, is_present: machine.key == Some(key) };
    raise(plan, sign, machine, &accounts, watch, context)
}

/// A key is shown that counts no more, because a newer one of its machine does: somebody has an old image of it, or took the
/// machine over.
pub fn outlived(
    machine: Option<Machine>,
    key: KeyFingerprint,
    evidence: Evidence,
    watch: &Watch,
    context: &Context,
) -> Plan<()> {
    let Some(machine) = machine else { return Plan::unchanged(()) };
    let sign = Sign { evidence, key, is_present: false };
    raise(Plan::unchanged(()), sign, machine, &[], watch, context)
}

/// The plan of whatever showed a sign of a copy, with what is done about it. The one way in which any is told: by an entry,
/// in the machine's record and, by policy, with a pause; once an hour as long as it lasts.
pub fn raise<O>(
    plan: Plan<O>,
    sign: Sign,
    machine: Machine,
    accounts: &[Account],
    watch: &Watch,
    context: &Context,
) -> Plan<O> {
    let Sign { evidence, key, is_present } = sign;
    let pauses = watch.on_copy == OnCopy::Quarantine && evidence.shows_two() && is_present;
    // Whoever is paused already stays so, for the reason it is.
    let paused = if pauses { machine.state.clone().quarantined(context.now).ok() } else { None };
    if paused.is_none() && was_told(machine.alarm, evidence, context.now) {
        return plan;
    }
    let mut entry = context.entry("machine.forked", Object::Machine(machine.id), "alarm");
    entry.id = watch.alarm;
    entry.detail = vec![
        ("name", machine.name.to_string()),
        ("cause", evidence.as_str().to_owned()),
        ("key", key.to_string()),
    ];
    let follow = paused.as_ref().map(|state| followed(accounts, state, context)).unwrap_or_default();
    entry.detail.extend(paused.as_ref().map(|_| ("state", "suspended".to_owned())));
    entry.detail.extend((!follow.is_empty()).then(|| ("accounts_changed", follow.len().to_string())));
    let alarm = Some(Alarm { at: context.now, evidence });
    let state = paused.unwrap_or_else(|| machine.state.clone());
    let update = MachineChange::Update(Machine { alarm, state, ..machine });
    follow.into_iter().fold(plan.also_told_by(entry), Plan::and).and(update)
}

fn followed(accounts: &[Account], state: &MachineState, context: &Context) -> Vec<crate::plan::Change> {
    account::follow(accounts, state, ends_passphrases(state), context.now)
}

/// Whether as much was told within the hour. A sign that shows two is told beside one that does not.
fn was_told(last: Option<Alarm>, evidence: Evidence, now: Timestamp) -> bool {
    last.is_some_and(|last| {
        let covers = last.evidence.shows_two() || !evidence.shows_two();
        covers && now.duration_since(last.at).abs() < AGAIN
    })
}

#[cfg(test)]
mod tests;

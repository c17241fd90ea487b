//! The server's side: rows, and the decisions that change them.

use std::net::IpAddr;

use muster_lifecycle::rotate::{self, Facts, Proposal, Right, Shown};
use muster_lifecycle::{Change, Context, KeyChange, Plan, Terms};
use muster_model::{
    Actor, Credential, CredentialKind, CredentialState, KeyFingerprint, KeyRecord, KeyStanding, Machine,
    Minted, PublicKey, SignedDuration,
};
use muster_testkit::{Kit, at, public_key};

/// A mistake in the protocol that an exploration must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The old key ends when the next one is certified, and not when it is used.
    EndsAtIssue,
    /// What the agent says of its durable slot is not heard.
    DeafToBase,
    /// A proposal counts as often as it arrives.
    TakesTwice,
    /// The key before the current one is forgotten at the first use of the next.
    ForgetsPrevious,
    /// A second proposal leaves the first one as it is.
    KeepsBoth,
}

impl Bug {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::EndsAtIssue, Self::DeafToBase, Self::TakesTwice, Self::ForgetsPrevious, Self::KeepsBoth];
}

type Rows = Vec<Option<KeyStanding>>;

pub(super) struct Server {
    machine: Machine,
    keys: Vec<PublicKey>,
    certificate: Credential,
    context: Context,
    bug: Option<Bug>,
}

impl Server {
    pub(super) fn new(keys: u8, bug: Option<Bug>) -> Self {
        let things = Kit::numbered(1);
        let machine = things.machine(&things.site());
        let context = Context { actor: Actor::System, source: None::<IpAddr>, ..things.context(0) };
        let certificate = Credential {
            not_before: at(0),
            not_after: at(0) + SignedDuration::from_hours(24),
            state: CredentialState::Issued(Minted::Certificate(Vec::new())),
            ..things.credential(&machine)
        };
        let keys = (0..keys).map(|number| public_key(1_000 + u64::from(number))).collect();
        Self { machine, keys, certificate, context, bug }
    }

    /// A proposal arrives. Whether it is answered with a certificate, and whether an operator is told.
    pub(super) fn propose(&self, rows: &mut Rows, by: u8, key: u8) -> (bool, bool) {
        let mut facts = self.facts(rows);
        facts.proposed = self.record(rows, key);
        if self.bug == Some(Bug::TakesTwice) {
            facts.proposed = facts.proposed.filter(|record| record.standing.counts());
        }
        let proposal = Proposal {
            by: self.fingerprint(by),
            key: self.keys[usize::from(key)].clone(),
            credential: self.certificate.id,
        };
        let is_dead = rows[usize::from(by)].is_some_and(|standing| !standing.counts());
        let Ok(plan) = rotate::propose(facts, &proposal, &self.context, &Terms::default()) else {
            return (false, is_dead);
        };
        let reason = plan.entries().first().map(|entry| entry.reason.0);
        let told = matches!(reason, Some("conflict" | "recovery"));
        let unused = rows.iter().position(|row| *row == Some(KeyStanding::Proposed));
        self.apply(rows, &plan);
        if let Some(unused) = unused.filter(|_| self.bug == Some(Bug::KeepsBoth)) {
            rows[unused] = Some(KeyStanding::Proposed);
        }
        if self.bug == Some(Bug::EndsAtIssue) {
            rows[usize::from(by)] = Some(KeyStanding::Superseded);
            rows[usize::from(key)] = Some(KeyStanding::Current);
        }
        (true, told)
    }

    /// A key is shown. Whether it is answered, and whether an operator is told.
    pub(super) fn used(&self, rows: &mut Rows, key: u8, base: u8) -> (bool, bool) {
        let base = if self.bug == Some(Bug::DeafToBase) { key } else { base };
        let shown = Shown { key: self.fingerprint(key), base: Some(self.fingerprint(base)) };
        match rotate::used(self.facts(rows), shown, &self.context) {
            Ok(plan) if plan.outcome().1 == Right::Rotation => (false, true),
            Ok(plan) => {
                self.apply(rows, &plan);
                if self.bug == Some(Bug::ForgetsPrevious) {
                    let previous = rows.iter_mut().filter(|row| **row == Some(KeyStanding::Previous));
                    previous.for_each(|row| *row = Some(KeyStanding::Superseded));
                }
                (true, false)
            }
            Err(_) => (false, true),
        }
    }

    fn facts(&self, rows: &Rows) -> Facts {
        let known = || (0..rows.len()).filter_map(|number| self.record(rows, number as u8));
        let counting: Vec<KeyRecord> = known().filter(|record| record.standing.counts()).collect();
        let is_current = |record: &&KeyRecord| record.standing == KeyStanding::Current;
        let key = counting.iter().find(is_current).map(|record| record.key.fingerprint());
        let certificates = counting.iter().map(|record| {
            let kind = CredentialKind::Certificate { key: record.key.fingerprint() };
            Credential { kind, ..self.certificate.clone() }
        });
        Facts {
            machine: Some(Machine { key, ..self.machine.clone() }),
            credentials: certificates.collect(),
            keys: counting,
            proposed: None,
        }
    }

    fn record(&self, rows: &Rows, number: u8) -> Option<KeyRecord> {
        let standing = rows[usize::from(number)]?;
        let key = self.keys[usize::from(number)].clone();
        Some(KeyRecord { key, machine: self.machine.id, generation: 1, standing, ordered_at: None })
    }

    fn fingerprint(&self, number: u8) -> KeyFingerprint {
        self.keys[usize::from(number)].fingerprint()
    }

    fn apply<O>(&self, rows: &mut Rows, plan: &Plan<O>) {
        for change in plan.changes() {
            let (key, standing) = match change {
                Change::Key(KeyChange::Register(record)) => (record.key.fingerprint(), record.standing),
                Change::Key(KeyChange::Standing { key, standing }) => (*key, *standing),
                _ => continue,
            };
            let number = self.keys.iter().position(|known| known.fingerprint() == key);
            rows[number.expect("a key of this exploration")] = Some(standing);
        }
    }
}

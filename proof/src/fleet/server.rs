//! The server's side: the decisions of `muster-lifecycle`, as the use cases call them, over rows of this model.

mod keys;

use muster_lifecycle::credential;
use muster_lifecycle::enroll::{self, Fresh, Outcome, Request};
use muster_lifecycle::fork::{OnCopy, Watch};
use muster_lifecycle::hold::{self, Choice, CollectFacts};
use muster_lifecycle::rotate;
use muster_lifecycle::{Context, Plan, Terms, machine};
use muster_model::{AuditId, CredentialKind, CredentialState, EndReason, KeyStanding, Minted, Refusal};

use super::bug::Bug;
use super::rows::Rows;
use super::state::{Asks, Broken, Db, Decided, Door, Epoch, Key, Standing};

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Act {
    Approve(Key, Choice),
    Reject(Key),
    Revoke(Key),
}

/// What is said to whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Said {
    Refused,
    Held,
    Admitted {
        machine: Key,
        drawn: Epoch,
    },
    Certified {
        drawn: Epoch,
    },
    Used,
    /// Another transaction comes before the answer.
    GoesOn,
}

/// What came of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) db: Db,
    pub(super) said: Said,
    /// Whether an operator is told of something that should not be.
    pub(super) told: bool,
    pub(super) broken: Broken,
}

/// What a transaction reads and where it is written: the same but for the one bug that writes over what others wrote.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    pub(super) read: Db,
    pub(super) written: Db,
    pub(super) epoch: Epoch,
}

/// Whatever is found is told, and nobody is paused.
fn watch() -> Watch {
    Watch { on_copy: OnCopy::Alarm, alarm: AuditId::from_bytes([9; 16]) }
}

pub(super) struct Server {
    rows: Rows,
    terms: Terms,
    bug: Option<Bug>,
    /// The thief's own key.
    thiefs: Key,
}

impl Server {
    pub(super) fn new(bug: Option<Bug>, thiefs: Key) -> Self {
        Self { rows: Rows::new(), terms: Terms::default(), bug, thiefs }
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// One transaction of a request.
    pub(super) fn asked(&self, tables: Tables, asks: Asks, stage: u8) -> Done {
        let done = match (asks, stage) {
            (Asks::Enroll { key, door }, 0) => self.enroll(tables, key, door),
            (Asks::Collect { key }, 0) => self.collect(tables, key),
            (Asks::Enroll { key, .. } | Asks::Collect { key }, _) => self.confirm(tables, key),
            (Asks::Propose { by, key }, 0) => self.signed(tables, by, key),
            (Asks::Propose { by, key }, 1) => self.propose(tables, by, key),
            (Asks::Propose { key, .. }, _) => self.confirm(tables, key),
            (Asks::Renew { key, machine, drawn }, 0) => {
                let done = self.shown(tables, (key, machine, drawn), key);
                Done { said: if done.said == Said::Used { Said::GoesOn } else { done.said }, ..done }
            }
            (Asks::Renew { key, .. }, 1) => self.renew(tables, key),
            (Asks::Renew { key, .. }, _) => self.confirm(tables, key),
            (Asks::Use { key, machine, drawn, base }, 0) => self.shown(tables, (key, machine, drawn), base),
            (Asks::Use { key, base, .. }, _) => match self.used(tables, key, base) {
                // Its right is to ask for a rotation, and nothing else: it is told so, and so is an operator.
                done @ Done { said: Said::GoesOn, .. } => Done { said: Said::Refused, told: true, ..done },
                done => done,
            },
        };
        judged(&tables.written, asks, done)
    }

    fn enroll(&self, tables: Tables, key: Key, door: Door) -> Done {
        let Tables { read, epoch, .. } = tables;
        let request = Request {
            claimant: self.rows.claimant(key),
            claim: self.rows.claim(door),
            site: None,
            vouched_by: None,
            credential: CredentialKind::Certificate { key: self.rows.print(key) },
            shown: None,
        };
        let mut facts = enroll::Facts {
            grant: Some(self.rows.grant(&read, door)),
            site: Some(self.rows.site.clone()),
            by_key: self.rows.known_by_key(&read, key),
            by_hardware: self.rows.with_hardware(&read).and_then(|machine| self.rows.known(&read, machine)),
            holds: self.rows.hold(&read, key).into_iter().collect(),
            ..enroll::Facts::default()
        };
        if let Some(known) = &facts.by_hardware {
            facts.about = self.rows.holds_about(&read, known.machine.id);
        }
        if self.has(Bug::TokenBurnt) && door == Door::Token && read.spent_by.is_some() {
            return refused(tables.written, false);
        }
        let fresh = Fresh {
            context: self.rows.context(epoch),
            machine: self.rows.machine_id(key),
            hold: self.rows.hold_id(key),
            credential: self.rows.credential_id(key, epoch),
            terms: self.terms,
            accounts: Vec::new(),
        };
        match enroll::decide(&request, facts, &fresh) {
            Ok(plan) => {
                let mut done = self.outcome(tables, &plan);
                if self.has(Bug::TokenUnbound) {
                    done.db.spent_by = tables.written.spent_by;
                }
                self.held_wrongly(tables, key, done)
            }
            // A token that another key spent is told to an operator.
            Err(refusal) => refused(tables.written, matches!(refusal, Refusal::NotEntitled { .. })),
        }
    }

    fn held_wrongly(&self, tables: Tables, key: Key, mut done: Done) -> Done {
        if done.said != Said::Held {
            return done;
        }
        let existing = done.db.holds[usize::from(key)].and_then(|hold| hold.existing);
        if self.has(Bug::HoldTouches) {
            let owner = |row: &super::state::CertificateRow| Some(row.machine) == existing;
            for row in done.db.certificates.iter_mut().flatten().filter(|row| owner(row)) {
                row.state = Standing::Ended(EndReason::Superseded);
            }
        }
        let asked_before = tables.read.holds[usize::from(key)].is_some();
        if self.has(Bug::HoldApprovesItself) && asked_before {
            return self.acted(
                Tables { read: done.db, written: done.db, ..tables },
                Act::Approve(key, Choice::Same),
            );
        }
        done
    }

    fn collect(&self, tables: Tables, key: Key) -> Done {
        let facts = CollectFacts {
            hold: self.rows.hold(&tables.read, key),
            by_key: self.rows.known_by_key(&tables.read, key),
        };
        let id = self.rows.credential_id(key, tables.epoch);
        match hold::collect(facts, id, &self.rows.context(tables.epoch), &self.terms) {
            Ok(plan) => self.outcome(tables, &plan),
            Err(_) => refused(tables.written, false),
        }
    }

    fn outcome(&self, tables: Tables, plan: &Plan<Outcome>) -> Done {
        let said = match plan.outcome() {
            Outcome::Held(_) => Said::Held,
            Outcome::Enrolled { credential, machine, .. } => match credential.state {
                CredentialState::Issued(_) => {
                    let machine = self.rows.machine_number(machine.id);
                    Said::Admitted { machine, drawn: self.rows.drawn(credential.id).1 }
                }
                _ => Said::GoesOn,
            },
        };
        self.written(tables, plan, said)
    }

    /// What was signed becomes durable.
    fn confirm(&self, tables: Tables, key: Key) -> Done {
        let Tables { read, epoch, .. } = tables;
        let Some(row) = read.certificates[usize::from(key)] else { return refused(tables.written, false) };
        let mut known = self.rows.credential(&read, key);
        if let (true, Some(known)) = (self.has(Bug::ConfirmsEnded), &mut known) {
            known.state = CredentialState::Reserved;
        }
        let machine = self.rows.machine(&read, row.machine);
        let minted = Minted::Certificate(Vec::new());
        match credential::confirm(known, machine.as_ref(), minted, &self.rows.context(epoch)) {
            Ok(plan) => {
                self.written(tables, &plan, Said::Admitted { machine: row.machine, drawn: row.drawn })
            }
            Err(_) => refused(tables.written, false),
        }
    }

    /// An operator acts.
    pub(super) fn acted(&self, tables: Tables, act: Act) -> Done {
        let Tables { read, epoch, .. } = tables;
        let context = self.rows.operator(epoch);
        let done = match act {
            Act::Approve(key, choice) => {
                let Some(row) = read.holds[usize::from(key)] else { return refused(tables.written, false) };
                let facts = hold::Facts {
                    hold: self.rows.hold(&read, key),
                    site: Some(self.rows.site.clone()),
                    grant: Some(self.rows.grant(&read, row.door)),
                    pending: None,
                    by_key: self.rows.known_by_key(&read, key),
                    existing: row.existing.and_then(|machine| self.rows.known(&read, machine)),
                    by_hardware: self
                        .rows
                        .with_hardware(&read)
                        .and_then(|number| self.rows.machine(&read, number)),
                };
                let id = self.rows.machine_id(key);
                hold::approve(facts, Some(choice), id, &[], &context)
                    .map(|plan| self.approved(tables, &plan, key))
            }
            Act::Reject(key) => hold::reject(self.rows.hold(&read, key), None, &context)
                .map(|plan| self.written(tables, &plan, Said::Held)),
            Act::Revoke(number) => self.revoke(tables, number, &context),
        };
        done.map_or_else(|_| refused(tables.written, false), |done| judged_act(&tables.written, done))
    }

    fn approved<O>(&self, tables: Tables, plan: &Plan<O>, key: Key) -> Done {
        let mut done = self.written(tables, plan, Said::Held);
        let Some(Decided::Approved(machine)) = done.db.holds[usize::from(key)].map(|hold| hold.state) else {
            return done;
        };
        if let Some(row) = &mut done.db.machines[usize::from(machine)] {
            row.is_ended = false;
        }
        done.db.merged |= 1 << machine;
        if self.has(Bug::MergeKeepsKeys) {
            for (row, before) in done.db.keys.iter_mut().zip(&tables.written.keys) {
                *row = before.or(*row);
            }
        }
        done
    }

    fn revoke(&self, tables: Tables, number: Key, context: &Context) -> Result<Done, Refusal> {
        let read = tables.read;
        let rotate::Facts { machine, keys, credentials, .. } = self.rows.facts(&read, number);
        let holds = self.rows.holds_of_keys(&read, &keys);
        let facts = machine::Facts { machine, keys, credentials, holds, ..machine::Facts::default() };
        let plan = machine::revoke(facts, None, None, context)?;
        let mut done = self.written(tables, &plan, Said::Held);
        if self.has(Bug::RevokeMissesNext) {
            for (row, before) in done.db.keys.iter_mut().zip(&tables.written.keys) {
                if before.is_some_and(|before| before.standing == KeyStanding::Proposed) {
                    *row = *before;
                }
            }
            done.db.certificates = tables.written.certificates;
        }
        if let Some(row) = &mut done.db.machines[usize::from(number)] {
            row.is_ended = true;
            row.is_revoked &= !self.has(Bug::RevokeMissesNext);
        }
        Ok(done)
    }

    fn written<O>(&self, tables: Tables, plan: &Plan<O>, said: Said) -> Done {
        let (db, mut broken) = self.rows.applied(tables.written, plan.changes());
        if !plan.changes().is_empty() && plan.entries().is_empty() {
            broken = broken.and(Broken::UNTOLD_CHANGE);
        }
        Done { db, said, told: false, broken }
    }
}

fn refused(db: Db, told: bool) -> Done {
    Done { db, said: Said::Refused, told, broken: Broken::default() }
}

/// What a transaction of a request must not have done.
fn judged(before: &Db, asks: Asks, done: Done) -> Done {
    let mut broken = done.broken.and(fallen(before, &done.db));
    let is_entry = matches!(asks, Asks::Enroll { .. });
    let changed = before.machines.iter().zip(&done.db.machines).any(|(before, after)| {
        before.is_some_and(|before| {
            after.is_none_or(|after| after.key != before.key || after.generation != before.generation)
        })
    });
    if is_entry && changed {
        broken = broken.and(Broken::TAKEN_BY_STRANGER);
    }
    let touched = before.machines != done.db.machines
        || before.keys != done.db.keys
        || before.certificates != done.db.certificates;
    if is_entry && done.said == Said::Held && touched {
        broken = broken.and(Broken::HOLD_TOUCHED);
    }
    let served = match (asks, done.said) {
        (_, Said::Refused | Said::Held | Said::GoesOn) => None,
        (Asks::Propose { key, .. } | Asks::Enroll { key, .. } | Asks::Collect { key }, _) => Some(key),
        (Asks::Use { key, .. } | Asks::Renew { key, .. }, _) => Some(key),
    };
    if served.is_some_and(|key| !may_be_served(&done.db, key)) {
        broken = broken.and(Broken::DEAD_KEY_SERVED);
    }
    Done { broken, ..done }
}

fn judged_act(before: &Db, done: Done) -> Done {
    Done { broken: done.broken.and(fallen(before, &done.db)), ..done }
}

fn fallen(before: &Db, after: &Db) -> Broken {
    let fell = before.machines.iter().zip(&after.machines).any(|(before, after)| {
        before.zip(*after).is_some_and(|(before, after)| after.generation < before.generation)
    });
    if fell { Broken::GENERATION_FELL } else { Broken::default() }
}

/// Whether it is told that a machine may have been copied.
fn is_told<O>(plan: &Plan<O>) -> bool {
    plan.entries().iter().any(|entry| entry.action == "machine.forked")
}

/// Whether what was just said to this key may be said to it.
fn may_be_served(db: &Db, key: Key) -> bool {
    db.keys[usize::from(key)].is_some_and(|row| {
        let is_ended = db.machines[usize::from(row.machine)].is_none_or(|machine| machine.is_ended);
        row.standing.counts() && !is_ended
    })
}

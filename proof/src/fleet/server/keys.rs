//! What is asked about a key: to be the next one, to be certified again, to be served, to be remembered.

use muster_lifecycle::credential::{self, RenewFacts};
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::rotate::{self, Facts, Forgotten, Proposal, Right, Shown};
use muster_model::{CredentialState, KeyStanding};

use super::{Done, Said, Server, Tables, is_told, refused, watch};
use crate::fleet::bug::Bug;
use crate::fleet::state::{Asks, Epoch, Key, KeyRow, Standing};

impl Server {
    /// Another certificate for the key that was shown.
    pub(super) fn renew(&self, tables: Tables, key: Key) -> Done {
        let Tables { read, epoch, .. } = tables;
        let Some(owner) = read.keys[usize::from(key)] else { return refused(tables.written, true) };
        let rotate::Facts { machine, credentials, .. } = self.rows.facts(&read, owner.machine);
        let facts = RenewFacts { machine, key: self.rows.record(&read, key), credentials };
        // Two certificates of one key and one stretch are one here.
        match read.certificates[usize::from(key)].filter(|row| row.drawn == epoch).map(|row| row.state) {
            Some(Standing::Issued) => {
                return Done { said: Said::Certified { drawn: epoch }, ..refused(tables.written, false) };
            }
            Some(Standing::Reserved) => {
                return Done { said: Said::GoesOn, ..refused(tables.written, false) };
            }
            Some(Standing::Ended(_)) | None => {}
        }
        let id = self.rows.credential_id(key, epoch);
        let Ok(plan) = credential::renew(facts, id, &self.rows.context(epoch), &self.terms) else {
            return refused(tables.written, false);
        };
        let issued = &plan.outcome().1;
        let said = match issued.state {
            CredentialState::Issued(_) => Said::Certified { drawn: self.rows.drawn(issued.id).1 },
            _ => Said::GoesOn,
        };
        self.written(tables, &plan, said)
    }

    /// A proposal is authenticated by the key that vouches, and its nonce is used.
    pub(super) fn signed(&self, tables: Tables, by: Key, key: Key) -> Done {
        let Some(owner) = tables.read.keys[usize::from(by)] else { return refused(tables.written, true) };
        // Of the keys of one agent, the later one's nonces are later.
        let is_later = |last| last > key && last != self.thiefs;
        if !self.has(Bug::Unordered) && owner.signed.is_some_and(is_later) {
            return refused(tables.written, false);
        }
        let mut done = self.used(tables, by, by);
        if let Some(row) = done.db.keys[usize::from(by)].as_mut().filter(|_| done.said != Said::Refused) {
            row.signed = Some(key);
        }
        let said = if done.said == Said::Refused { Said::Refused } else { Said::GoesOn };
        // What may only ask for a rotation asks for one.
        Done { said, ..done }
    }

    pub(super) fn propose(&self, tables: Tables, by: Key, key: Key) -> Done {
        let Tables { read, epoch, .. } = tables;
        let Some(owner) = read.keys[usize::from(by)] else { return refused(tables.written, false) };
        let nonce = u64::from(key);
        let last = match self.has(Bug::Unordered) || self.has(Bug::OrderedOnce) {
            true => Some(nonce),
            false => owner.signed.map(u64::from),
        };
        let mut facts = self.rows.facts(&read, owner.machine);
        facts.proposed = self.rows.record(&read, key);
        facts.used = last.map(UsedNonces::first);
        if self.has(Bug::TakesTwice) {
            facts.proposed = facts.proposed.filter(|record| record.standing.counts());
        }
        let proposal = Proposal {
            by: self.rows.print(by),
            key: self.rows.key(key),
            nonce,
            credential: self.rows.credential_id(key, epoch),
        };
        let Ok(plan) = rotate::propose(facts, &proposal, &self.rows.context(epoch), &self.terms, &watch())
        else {
            return refused(tables.written, !owner.standing.counts());
        };
        let reason = plan.entries().first().map(|entry| entry.reason.0);
        let said = match plan.outcome().1.state {
            CredentialState::Issued(_) => Said::Certified { drawn: self.rows.drawn(plan.outcome().1.id).1 },
            _ => Said::GoesOn,
        };
        let unused = read.keys.iter().position(|row| {
            row.is_some_and(|row| row.machine == owner.machine && row.standing == KeyStanding::Proposed)
        });
        let mut done = self.written(tables, &plan, said);
        done.told = matches!(reason, Some("conflict" | "recovery")) || is_told(&plan);
        let mut stand = |key: usize, standing| {
            done.db.keys[key] = done.db.keys[key].map(|row| KeyRow { standing, ..row });
        };
        if let Some(unused) = unused.filter(|_| self.has(Bug::KeepsBoth)) {
            stand(unused, KeyStanding::Proposed);
        }
        if self.has(Bug::EndsAtIssue) {
            stand(usize::from(by), KeyStanding::Superseded);
            stand(usize::from(key), KeyStanding::Current);
        }
        done
    }

    /// A certificate is shown. One that is in no row may be one that a restored database has forgotten.
    pub(super) fn shown(&self, tables: Tables, (key, machine, drawn): (Key, Key, Epoch), base: Key) -> Done {
        let again = Asks::Use { key, machine, drawn, base };
        let read = tables.read;
        let row = read.certificates[usize::from(key)].filter(|row| row.drawn == drawn);
        let owner = read.keys[usize::from(key)];
        match (row, owner) {
            (Some(row), _) if matches!(row.state, Standing::Ended(_)) => {
                refused(tables.written, owner.is_none_or(|owner| !owner.standing.counts()))
            }
            (Some(_), _) => self.asked(tables, again, 1),
            (None, _) => match self.adopt(tables, (key, machine, drawn), base) {
                Some(done) => done,
                // A key that counts gets another certificate by its signature.
                None if owner.is_some_and(|owner| owner.standing.counts()) => self.asked(tables, again, 1),
                None => refused(tables.written, true),
            },
        }
    }

    /// What a forgotten certificate leads to, where it counts.
    pub(in crate::fleet) fn adopt(
        &self,
        tables: Tables,
        (key, machine, drawn): (Key, Key, Epoch),
        base: Key,
    ) -> Option<Done> {
        let read = tables.read;
        if self.has(Bug::NeverAdopts) {
            return None;
        }
        let mut facts = self.rows.facts(&read, machine);
        facts.proposed = self.rows.record(&read, key).filter(|_| !self.has(Bug::AdoptsDead));
        let template = self.rows.certificate(key, drawn);
        let forgotten = Forgotten {
            credential: template.id,
            der: Vec::new(),
            key: self.rows.key(key),
            base: Some(self.rows.print(base)).filter(|_| !self.has(Bug::AdoptsDeaf)),
            not_before: template.not_before,
            not_after: template.not_after,
        };
        let deployment = self.rows.deployment(&read);
        let plan =
            rotate::adopt(facts, &forgotten, Some(&deployment), &self.rows.context(tables.epoch)).ok()?;
        Some(self.written(tables, &plan, Said::GoesOn))
    }

    /// A key is shown and proved.
    pub(super) fn used(&self, tables: Tables, key: Key, base: Key) -> Done {
        let read = tables.read;
        let Some(owner) = read.keys[usize::from(key)] else { return refused(tables.written, true) };
        let base = if self.has(Bug::DeafToBase) { key } else { base };
        let shown = Shown { key: self.rows.print(key), base: Some(self.rows.print(base)) };
        let facts: Facts = self.rows.facts(&read, owner.machine);
        match rotate::used(facts, shown, &watch(), &self.rows.context(tables.epoch)) {
            Ok(plan) if plan.outcome().1 == Right::Rotation => {
                Done { said: Said::GoesOn, ..refused(tables.written, false) }
            }
            Ok(plan) => {
                let mut done = self.written(tables, &plan, Said::Used);
                done.told |= is_told(&plan);
                if self.has(Bug::ForgetsPrevious) && !plan.is_unchanged() {
                    let its = done.db.keys.iter_mut().flatten().filter(|row| row.machine == owner.machine);
                    its.filter(|row| row.standing == KeyStanding::Previous)
                        .for_each(|row| row.standing = KeyStanding::Superseded);
                }
                done
            }
            Err(_) => refused(tables.written, true),
        }
    }
}

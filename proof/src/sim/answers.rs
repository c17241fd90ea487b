//! Answers, held against what is written as they are given.

use muster_issuer::MachineIdentity;
use muster_model::{CredentialState, KeyStanding, Machine, MachineState, Minted, Secret, Uses};
use muster_store::AuditRecord;
use muster_testkit::world::leaf;
use muster_wire::enroll::{EnrollAnswer, IssuedCredential};

use super::call::{Call, Reply, Wish};
use super::world::World;

impl World {
    /// An answer says nothing that is not so.
    pub(super) fn check_reply(&mut self, request: u64, reply: &Reply) {
        let asked = &self.requests[&request];
        let is_replay = asked.host == Some((0, u64::MAX));
        let call = asked.call.clone();
        match reply {
            Reply::Failed(failure) => {
                if let Some(broken) = &failure.broken {
                    self.wrong(format!("a server fails by itself: {broken}"));
                }
                if let Call::Enroll(request) = &call {
                    self.check_refusal(&failure.problem.code, request);
                }
            }
            Reply::Renewed(_) | Reply::Rotated(_) if is_replay => {
                self.wrong("a copied request is answered again (Q-06)".to_owned());
            }
            Reply::Enroll(EnrollAnswer::Held(held)) => {
                let moment = self.store.snapshot();
                if !moment.holds().any(|hold| hold.id.to_string() == held.hold) {
                    self.wrong(format!("{} was answered and is not written (I-3)", held.hold));
                }
            }
            Reply::Enroll(EnrollAnswer::Enrolled(enrolled) | EnrollAnswer::Same(enrolled)) => {
                self.check_issued(&enrolled.credential);
            }
            Reply::Renewed(renewed) | Reply::Rotated(renewed) => self.check_issued(&renewed.credential),
            Reply::Channel(..) => self.check_shown(&call),
            Reply::Confirmed => {
                self.check_shown(&call);
                self.check_settled(request, &call);
            }
            Reply::Done => self.check_done(&call),
            Reply::Opened(..) | Reply::Refused | Reply::Hour(_) => {}
        }
    }

    /// I-2, I-3: what leaves the house is what its row says.
    fn check_issued(&mut self, issued: &IssuedCredential) {
        let moment = self.store.snapshot();
        let row = moment.credentials().find(|credential| credential.id.to_string() == issued.id);
        let der = issued.certificate.as_deref().map(leaf);
        let fits = row.is_some_and(|row| match &row.state {
            CredentialState::Issued(Minted::Certificate(kept)) => Some(kept) == der.as_ref(),
            // It ended between its commit and its answer.
            CredentialState::Ended { .. } => true,
            _ => false,
        });
        if !fits {
            self.wrong(format!("{} left the house and its row does not say so (I-2)", issued.id));
        }
        let is_told =
            row.is_some_and(|row| moment.audit_after(0).any(|entry| tells_of(entry, &row.id.to_string())));
        if fits && !is_told {
            self.wrong(format!("{} is told by no entry (I-9)", issued.id));
        }
    }

    /// I-6: whoever is served shows the present key, by a certificate that is in a row.
    fn check_shown(&mut self, call: &Call) {
        let Some(identity) = self.identity_in(call) else { return };
        let moment = self.store.snapshot();
        let key = identity.key.fingerprint();
        let record = moment.key(identity.tenant, key);
        if record.is_none_or(|record| record.standing != KeyStanding::Current) {
            self.wrong(format!("{key:?} was served and is not a present key (I-6)"));
        }
        if !moment.credentials().any(|credential| credential.id == identity.credential) {
            self.wrong(format!("{} was served and is in no row (I-2)", identity.credential));
        }
    }

    fn identity_in(&self, call: &Call) -> Option<MachineIdentity> {
        let (Call::Channel { certificate, .. } | Call::Confirm { certificate, .. }) = call else {
            return None;
        };
        MachineIdentity::from_certificate(certificate, &self.trust_domain).ok()
    }

    /// A base that has arrived at the present key ends the one before, unless the store was in the way, or is an older one,
    /// or the keys rest, or this was the first use: one that names itself keeps the key that vouched (0041).
    fn check_settled(&mut self, request: u64, call: &Call) {
        let Some(identity) = self.identity_in(call) else { return };
        let in_the_way = {
            let inside = self.hub.lock();
            inside.troubled.contains(&request) || inside.lost_at.is_some()
        };
        if in_the_way {
            return;
        }
        let moment = self.store.snapshot();
        if moment.machine_by_id(identity.machine).is_some_and(Machine::keys_rest) {
            return;
        }
        let (since, id) = (self.requests[&request].since, identity.machine.to_string());
        let is_first = |entry: &AuditRecord| entry.action == "key.activate" && entry.object == id;
        if moment.audit_after(since).any(is_first) {
            return;
        }
        let before = moment.keys().find(|(_, record)| {
            record.machine == identity.machine && record.standing == KeyStanding::Previous
        });
        if let Some((key, _)) = before {
            self.wrong(format!("{key:?} keeps its right although its successor is durable (I-6)"));
        }
    }

    /// What an operator was told is done is so at that moment.
    fn check_done(&mut self, call: &Call) {
        let Call::Operator(wish) = call else { return };
        let moment = self.store.snapshot();
        let state = |id| moment.machine_by_id(id).map(|machine| &machine.state);
        let is_so = match wish {
            Wish::Suspend(id) => {
                matches!(state(*id), Some(MachineState::Suspended(_) | MachineState::Retired(_)))
            }
            Wish::Retire(id) => matches!(state(*id), Some(MachineState::Retired(_))),
            Wish::Revoke(id) => {
                let revoked = |key: &KeyStanding| *key == KeyStanding::Revoked;
                moment
                    .keys()
                    .filter(|(_, record)| record.machine == *id)
                    .any(|(_, record)| revoked(&record.standing))
            }
            _ => true,
        };
        if !is_so {
            self.wrong(format!("{wish:?} was answered and is not so (I-3)"));
        }
    }

    /// A good token is not refused because of the weather.
    fn check_refusal(&mut self, code: &str, request: &muster_wire::enroll::EnrollRequest) {
        let token = request.evidence.get("token").and_then(|token| token.as_str());
        let Some(secret) = token.and_then(|token| token.parse::<Secret>().ok()) else { return };
        if code != "not_entitled" || self.hub.lock().seats.iter().any(|seat| seat.offset != 0) {
            return;
        }
        let moment = self.store.snapshot();
        let grant = moment.grants().find(|grant| grant.secret == secret.id());
        let key = request.csr.as_ref().and_then(|csr| data_encoding::BASE64.decode(csr.as_bytes()).ok());
        let key = key.and_then(|csr| muster_issuer::csr::read(&csr).ok()).map(|key| key.fingerprint());
        let is_free = grant.is_some_and(|grant| match grant.uses {
            Uses::Once(binding) => binding.is_none_or(|binding| binding.key == key),
            _ => true,
        });
        if is_free {
            self.wrong("a good token was refused as one that opens nothing".to_owned());
        }
    }
}

/// By its object, or by what it says beside it.
fn tells_of(entry: &AuditRecord, what: &str) -> bool {
    entry.object == what || entry.detail.values().any(|said| said == what)
}

//! Machines at the doors.

use muster_app::Error;
use muster_model::HoldId;
use muster_store::Store;
use muster_testkit::world::Device;
use muster_wire::enroll::{EnrollAnswer, EnrollRequest, IssuedCredential};

use super::{KEYS, Player, pick};
use crate::op::Kind;
use crate::plain::{Answer, der};

impl<S: Store> Player<S> {
    pub(super) async fn enrolling(&mut self, kind: Kind, [a, b, c]: [u8; 3]) -> Answer {
        let (key, device) = self.who(a);
        let request = match kind {
            Kind::EnrollByToken => pick(&self.memory.grants, b).map(|(_, token)| device.by_token(token)),
            Kind::EnrollBySiteKey => pick(&self.memory.site_keys, b).map(|token| device.by_token(token)),
            Kind::EnrollByInvite => pick(&self.memory.invites, b).map(|token| device.by_token(token)),
            Kind::EnrollKeyless => {
                return match pick(&self.memory.grants, b) {
                    Some((_, token)) => self.ask(device.keyless(token), None, c).await,
                    None => Answer::Nothing,
                };
            }
            Kind::EnrollByRequest => Some(by_request(&device, b)),
            Kind::Rekey => self.vouched(&device, b, c),
            Kind::EnrollWrongly => Some(self.wrong(&device, b)),
            Kind::EnrollAgain => return self.again(b, c).await,
            _ => return self.collect(b, c).await,
        };
        match request {
            Some(request) => self.ask(varied(request, c), Some(key), c).await,
            None => Answer::Nothing,
        }
    }

    async fn again(&mut self, number: u8, from: u8) -> Answer {
        let Some(request) = pick(&self.memory.asked, number).cloned() else { return Answer::Nothing };
        let key = (0..KEYS).find(|key| {
            let csr = self.device(*key, None, 0).by_request().csr;
            csr.is_some() && csr == request.csr
        });
        self.ask(request, key, from).await
    }

    async fn ask(&mut self, request: EnrollRequest, key: Option<u8>, from: u8) -> Answer {
        self.memory.asked.push(request.clone());
        let result = self.app.enroll(request, &self.stranger(from)).await;
        self.learn(&result, key);
        Answer::of(&result)
    }

    fn learn(&mut self, result: &Result<EnrollAnswer, Error>, key: Option<u8>) {
        match result {
            Ok(EnrollAnswer::Enrolled(enrolled) | EnrollAnswer::Same(enrolled)) => {
                let machine = enrolled.machine.id.parse().expect("the identifier of a machine");
                if !self.memory.machines.contains(&machine) {
                    self.memory.machines.push(machine);
                }
                self.learn_credential(machine, &enrolled.credential);
                self.memory.keys.extend(key);
            }
            Ok(EnrollAnswer::Held(held)) => {
                let hold: HoldId = held.hold.parse().expect("the identifier of a hold");
                if self.memory.holds.iter().all(|(known, _)| *known != hold) {
                    self.memory.holds.push((hold, key));
                }
            }
            Err(_) => {}
        }
    }

    pub(super) fn learn_credential(
        &mut self,
        machine: muster_model::MachineId,
        credential: &IssuedCredential,
    ) {
        let id = credential.id.parse().expect("the identifier of a credential");
        self.memory.credentials.push((machine, id));
        self.memory.certificates.extend(der(credential.certificate.as_deref()));
        self.memory.bearers.extend(credential.bearer.clone());
    }

    /// The present key, whichever machine has it, signs for this device's.
    fn vouched(&self, device: &Device, old: u8, grant: u8) -> Option<EnrollRequest> {
        let (_, token) = pick(&self.memory.grants, grant)?;
        let present = self.device(old % KEYS, None, 0);
        let previous = Some(present.vouches_for(&device.csr()));
        Some(EnrollRequest { previous, ..device.by_token(token) })
    }

    /// What is wrong, unknown or malformed, each in its own way.
    fn wrong(&self, device: &Device, how: u8) -> EnrollRequest {
        let plain = device.by_request();
        match how % 6 {
            0 => device.by_token("mst_enr_nothing"),
            1 => EnrollRequest { method: "prayer".to_owned(), ..plain },
            2 => EnrollRequest { csr: Some("AAAA".to_owned()), ..plain },
            3 => EnrollRequest { kind: "toaster".to_owned(), hostname: Some(String::new()), ..plain },
            4 => device.asks("request", serde_json::json!({ "site": "nowhere" })),
            // Nobody here has this key, whatever it signed.
            _ => EnrollRequest { previous: Some(device.vouches_for(b"another request")), ..plain },
        }
    }

    /// By the key that waits, by another one, or by the same with a nonce that was used.
    async fn collect(&mut self, number: u8, how: u8) -> Answer {
        let Some((hold, Some(key))) = pick(&self.memory.holds, number).copied() else {
            return Answer::Nothing;
        };
        let key = if how.is_multiple_of(8) { (key + 1) % KEYS } else { key };
        let device = self.device(key, None, 0);
        let path = format!("/v1/enroll/{hold}");
        let signed = device.signs(&self.app.nonce().nonce, "GET", &path, b"");
        let source = self.stranger(how).source;
        let result = self.app.collect(hold, &signed.call(), source).await;
        self.learn(&result, Some(key));
        Answer::of(&result)
    }
}

/// At one of the sites, or at the only one.
fn by_request(device: &Device, site: u8) -> EnrollRequest {
    match site % 5 {
        0 => device.by_request(),
        1 => device.asks("request", serde_json::json!({ "site": "small" })),
        2 => device.asks("request", serde_json::json!({ "site": "site-1" })),
        _ => device.asks("request", serde_json::json!({ "site": "default" })),
    }
}

fn varied(mut request: EnrollRequest, how: u8) -> EnrollRequest {
    if how.is_multiple_of(11) {
        request.kind = "worker".to_owned();
    }
    if how.is_multiple_of(3) {
        request.attributes.insert("os".to_owned(), format!("linux-{}", how % 2));
    }
    request
}

//! Signed requests: how the machine proves its key where no certificate can. And what it says of its own store with
//! either: which key is in its durable slot, and which life of the agent this is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use muster_agent_core::Verdict;
use muster_model::KeyFingerprint;
use muster_wire::rotate::{SLOT_HEADER, Slot};
use muster_wire::signature::{HEADER, SignedHeader, SignedRequest, Statement};
use muster_wire::trust::Nonce;
use sha2::{Digest, Sha256};

use crate::key::MachineKey;
use crate::net::client::{Call, Client, Reply};
use crate::net::fault::judge;
use crate::ports::Clock;

/// Signs requests. One for the life of the process: the counter must not start again under one boot id.
#[derive(Debug)]
pub(crate) struct Signer {
    boot: [u8; 16],
    counter: AtomicU64,
}

impl Signer {
    pub(crate) fn new() -> Result<Self, crate::AgentError> {
        let mut boot = [0; 16];
        aws_lc_rs::rand::fill(&mut boot).map_err(|error| {
            crate::AgentError::config(format!("this machine gives no random numbers: {error}"))
        })?;
        Ok(Self { boot, counter: AtomicU64::new(0) })
    }

    /// Fetches a nonce, signs, sends. `base` is the key in the durable slot.
    pub(crate) async fn send(
        &self,
        client: &mut Client,
        mut call: Call<'_>,
        key: &MachineKey,
        base: KeyFingerprint,
        clock: &Arc<Clock>,
    ) -> Result<Reply, Verdict> {
        let nonce: Nonce = client.send(Call::get("/v1/nonce")).await?.json()?;
        clock.learn(nonce.server_time);
        let path = client.path(call.path);
        let slot = self.slot(base);
        let header = header(&call, &path, &nonce.nonce, key, slot, clock.now().as_second());
        let header = header.map_err(|error| judge("signing the request", &error))?;
        let value = HeaderValue::try_from(header).map_err(|error| judge("signing the request", &error))?;
        call.headers.insert(HEADER, value);
        client.send(call).await
    }

    /// Says the same beside a certificate.
    pub(crate) fn tell_slot(&self, call: &mut Call<'_>, base: KeyFingerprint) -> Result<(), Verdict> {
        let value = HeaderValue::try_from(self.slot(base).to_string());
        call.headers.insert(SLOT_HEADER, value.map_err(|error| judge("making the request", &error))?);
        Ok(())
    }

    fn slot(&self, base: KeyFingerprint) -> Slot {
        Slot { base, boot: self.boot, counter: self.counter.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

fn header(
    call: &Call<'_>,
    path: &str,
    nonce: &str,
    key: &MachineKey,
    slot: Slot,
    time: i64,
) -> Result<String, rcgen::Error> {
    let Slot { base, boot, counter } = slot;
    let statement = Statement { key: key.fingerprint(), nonce: nonce.to_owned(), time, base, boot, counter };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let body_sha256 = Sha256::digest(call.body.as_deref().unwrap_or_default()).into();
    let request = SignedRequest { method: call.method.as_str(), path, query, body_sha256 };
    let signature = key.sign(&statement.signing_input(&request))?;
    Ok(SignedHeader { statement, signature }.to_string())
}

#[cfg(test)]
mod tests {
    use muster_model::KeyAlgorithm;

    use super::*;

    #[test]
    fn a_signature_verifies_over_the_request_and_the_counter_rises() {
        let key = MachineKey::generate(KeyAlgorithm::P256).expect("a key");
        let signer = Signer::new().expect("randomness");
        let call = Call::post("/v1/machines/self/renew", Some(b"{}".to_vec()));
        let mut counters = Vec::new();
        for _ in 0..2 {
            let slot = signer.slot(key.fingerprint());
            let header = header(&call, call.path, "n", &key, slot, 7).expect("signed");
            let header: SignedHeader = header.parse().expect("its own form");
            let request = SignedRequest {
                method: "POST",
                path: call.path,
                query: "",
                body_sha256: Sha256::digest(b"{}").into(),
            };
            let input = header.statement.signing_input(&request);
            let spki = rcgen::KeyPair::from_pem(&key.to_pem()).expect("a key");
            aws_lc_rs::signature::UnparsedPublicKey::new(
                &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1,
                spki.public_key_raw(),
            )
            .verify(&input, &header.signature)
            .expect("the signature holds");
            counters.push(header.statement.counter);
        }
        assert_eq!(counters, [1, 2]);
    }

    #[test]
    fn both_kinds_of_requests_name_the_durable_key_and_count_together() {
        let (signer, base) = (Signer::new().expect("randomness"), KeyFingerprint([7; 32]));
        let signed = signer.slot(base);
        let mut call = Call::get("/v1/machines/self");
        signer.tell_slot(&mut call, base).expect("said");
        let said = call.headers[SLOT_HEADER].to_str().expect("ascii");
        assert_eq!(said.parse(), Ok(Slot { counter: signed.counter + 1, ..signed }));
    }
}

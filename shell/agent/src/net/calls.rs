//! The requests of the protocol, each from its first byte to the value or the verdict.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::BASE64;
use muster_agent_core::{Proof, Verdict};
use muster_model::{KeyFingerprint, MachineKind};
use muster_wire::enroll::{CredentialForm, EnrollAnswer, EnrollRequest, Renewed};
use muster_wire::rotate::{self, RotateRequest};
use muster_wire::trust::Nonce;

use crate::key::MachineKey;
use crate::net::client::{Call, Client, Reply};
use crate::net::endpoint::Endpoint;
use crate::net::sign::Signer;
use crate::net::tls;
use crate::ports::Ports;
use crate::store::Enrolled;

const SELF: &str = "/v1/machines/self";
const RENEW: &str = "/v1/machines/self/renew";
const LEAVE: &str = "/v1/machines/self/leave";

/// What every request needs.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) ports: Ports,
    pub(crate) endpoint: Endpoint,
    pub(crate) signer: Arc<Signer>,
}

impl Line {
    /// Asks to enroll.
    pub(crate) async fn enroll(&self, root: &str, request: &EnrollRequest) -> Result<EnrollAnswer, Verdict> {
        let body = serde_json::to_vec(request).map_err(|error| Verdict::later(error.to_string()))?;
        let mut client = self.verified(&[root.to_owned()])?;
        let reply = client.send(Call::post("/v1/enroll", Some(body))).await;
        self.learn(self.ports.clock.doubt(reply)?.json()?)
    }

    /// Asks how a hold stands.
    pub(crate) async fn poll(
        &self,
        root: &str,
        hold: &str,
        key: &MachineKey,
    ) -> Result<EnrollAnswer, Verdict> {
        let mut client = self.verified(&[root.to_owned()])?;
        let path = format!("/v1/enroll/{}", safe_segment(hold)?);
        let reply = self.signed(&mut client, Call::get(&path), key, key.fingerprint()).await;
        self.learn(self.ports.clock.doubt(reply)?.json()?)
    }

    /// Asks for a new certificate for the same key.
    pub(crate) async fn renew(&self, enrolled: &Enrolled, proof: Proof) -> Result<Renewed, Verdict> {
        match proof {
            Proof::Certificate | Proof::Signature => {
                self.issued(enrolled, proof, Call::post(RENEW, None)).await
            }
            Proof::Enrollment => match self.enroll_again(enrolled).await {
                Ok(renewed) => Ok(renewed),
                Err(verdict) => Err(self.with_the_hour(verdict, enrolled).await),
            },
        }
    }

    /// Enrolls once more under the same key: the server finds the machine by it, whatever became of its certificates.
    async fn enroll_again(&self, enrolled: &Enrolled) -> Result<Renewed, Verdict> {
        let identity = &enrolled.identity;
        let request = again(enrolled)?;
        let body = serde_json::to_vec(&request).map_err(|error| Verdict::later(error.to_string()))?;
        let mut client = self.verified(&identity.trust.roots)?;
        match client.send(Call::post("/v1/enroll", Some(body))).await?.json()? {
            EnrollAnswer::Same(found) | EnrollAnswer::Enrolled(found)
                if found.machine.id == identity.machine.id =>
            {
                self.ports.clock.learn(found.server_time);
                let (credential, trust) = (found.credential, found.trust);
                Ok(Renewed { credential, trust, server_time: found.server_time })
            }
            EnrollAnswer::Same(_) | EnrollAnswer::Enrolled(_) => {
                Err(Verdict::later("the server takes us for another machine"))
            }
            // The same request finds the same hold: asking again is all the polling that it needs.
            EnrollAnswer::Held(held) => Err(Verdict::Later {
                what: format!("a person must decide ({})", held.reason),
                retry_after: Some(held.poll_after),
            }),
        }
    }

    /// Asks for a certificate for the next key. The present one vouches for it, always by a signature.
    pub(crate) async fn rotate(
        &self,
        enrolled: &Enrolled,
        request: &RotateRequest,
    ) -> Result<Renewed, Verdict> {
        let body = serde_json::to_vec(request).map_err(|error| Verdict::later(error.to_string()))?;
        self.issued(enrolled, Proof::Signature, Call::post(rotate::PATH, Some(body))).await
    }

    /// Tells the server which key is in the durable slot, by asking how this machine stands.
    pub(crate) async fn confirm(&self, enrolled: &Enrolled) -> Result<(), Verdict> {
        match self.call(enrolled, Proof::Certificate, Call::get(SELF)).await {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => Err(reply.verdict()),
            Err(verdict) => Err(self.with_the_hour(verdict, enrolled).await),
        }
    }

    async fn issued(&self, enrolled: &Enrolled, proof: Proof, call: Call<'_>) -> Result<Renewed, Verdict> {
        let renewed: Renewed = match self.call(enrolled, proof, call).await {
            Ok(reply) => reply.json()?,
            Err(verdict) => return Err(self.with_the_hour(verdict, enrolled).await),
        };
        self.ports.clock.learn(renewed.server_time);
        Ok(renewed)
    }

    /// Signs the machine off.
    pub(crate) async fn leave(&self, enrolled: &Enrolled, proof: Proof) -> Result<(), Verdict> {
        let reply = self.call(enrolled, proof, Call::post(LEAVE, None)).await?;
        if reply.status.is_success() { Ok(()) } else { Err(reply.verdict()) }
    }

    async fn call(&self, enrolled: &Enrolled, proof: Proof, mut call: Call<'_>) -> Result<Reply, Verdict> {
        match proof {
            Proof::Certificate => {
                self.signer.tell_slot(&mut call, enrolled.base)?;
                let config = tls::mutual(enrolled, &self.ports.clock)?;
                Client::verified(&self.ports, &self.endpoint, config).send(call).await
            }
            Proof::Signature | Proof::Enrollment => {
                let mut client = self.verified(&enrolled.identity.trust.roots)?;
                self.signed(&mut client, call, &enrolled.key, enrolled.base).await
            }
        }
    }

    async fn signed(
        &self,
        client: &mut Client,
        call: Call<'_>,
        key: &MachineKey,
        base: KeyFingerprint,
    ) -> Result<Reply, Verdict> {
        self.signer.send(client, call, key, base, &self.ports.clock).await
    }

    /// Where the server's certificate is not valid at our hour, asks the server for the hour.
    pub(crate) async fn with_the_hour(&self, verdict: Verdict, enrolled: &Enrolled) -> Verdict {
        let Verdict::ClockOff { .. } = verdict else { return verdict };
        match self.ask_the_hour(enrolled).await {
            Ok(server_time) => Verdict::ClockSkew { server_time },
            Err(error) => {
                tracing::debug!(%error, "the server's clock cannot be read either");
                verdict
            }
        }
    }

    async fn ask_the_hour(&self, enrolled: &Enrolled) -> Result<jiff::Timestamp, Verdict> {
        let (identity, clock) = (&enrolled.identity, &self.ports.clock);
        let config = tls::any_hour(&identity.trust.roots, identity.life.not_before, clock)?;
        let mut client = Client::unverified(&self.ports, &self.endpoint, config);
        let nonce: Nonce = client.send(Call::get("/v1/nonce")).await?.json()?;
        if nonce.server_time < identity.life.not_before {
            return Err(Verdict::ClockOff {
                what: "the server's clock is behind our own certificate".into(),
            });
        }
        Ok(nonce.server_time)
    }

    fn verified(&self, roots: &[String]) -> Result<Client, Verdict> {
        let config = tls::verified(roots, &self.ports.clock)?;
        Ok(Client::verified(&self.ports, &self.endpoint, config))
    }

    fn learn(&self, answer: EnrollAnswer) -> Result<EnrollAnswer, Verdict> {
        if let EnrollAnswer::Enrolled(enrolled) | EnrollAnswer::Same(enrolled) = &answer {
            self.ports.clock.learn(enrolled.server_time);
        }
        Ok(answer)
    }
}

/// The request to enroll once more: without a secret, by the key alone, at the machine's own site.
fn again(enrolled: &Enrolled) -> Result<EnrollRequest, Verdict> {
    let csr = enrolled.key.csr().map_err(|error| Verdict::later(format!("the key cannot sign: {error}")))?;
    Ok(EnrollRequest {
        method: "request".to_owned(),
        evidence: serde_json::json!({ "site": enrolled.identity.machine.site }),
        csr: Some(BASE64.encode(&csr)),
        secret_hash: None,
        credential: CredentialForm::Certificate,
        hardware_id: None,
        hostname: None,
        kind: MachineKind::Host.as_str().to_owned(),
        attributes: BTreeMap::new(),
        previous: None,
    })
}

/// An id from a server goes into a path only where it is one.
fn safe_segment(id: &str) -> Result<&str, Verdict> {
    let fits = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits { Ok(id) } else { Err(Verdict::later("the hold has an odd identifier")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_11_ids_of_another_form_never_reach_a_path() {
        assert!(safe_segment("hld_01H").is_ok());
        for odd in ["", "../x", "a/b", "a%2f", "a?b", "a\r\n", &"a".repeat(65)] {
            assert!(safe_segment(odd).is_err(), "{odd}");
        }
    }
}

//! Machines that come to enroll: their keys and certificate requests, made before anything is measured.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use data_encoding::{BASE64, HEXLOWER};
use muster_app::{Caller, Origin};
use muster_wire::enroll::EnrollAnswer;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::kept::Kept;
use crate::tls;
use crate::world::World;

/// Where machines ask to enroll.
pub(crate) const ENROLL: &str = "/v1/enroll";

/// A machine that has made its key.
pub(crate) struct Machine {
    name: String,
    hardware_id: String,
    key: KeyPair,
    /// Its certificate request, DER.
    pub(crate) csr: Vec<u8>,
}

/// A machine that is in: all that its end of a connection needs, as it can be handed to another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Enrolled {
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

impl Machine {
    fn new() -> Result<Self> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random)?;
        let random = HEXLOWER.encode(&random);
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key)?.der().to_vec();
        Ok(Self { name: format!("host-{}", &random[..8]), hardware_id: format!("hw_{random}"), key, csr })
    }

    /// What it sends to get a certificate.
    pub(crate) fn asks(&self, token: &str) -> String {
        let (name, hardware_id) = (&self.name, &self.hardware_id);
        let csr = BASE64.encode(&self.csr);
        json!({"method": "token", "evidence": {"token": token}, "csr": csr, "hardware_id": hardware_id,
            "hostname": name, "kind": "host"})
        .to_string()
    }

    /// Brings it in without a network.
    pub(crate) async fn enroll<S: Kept>(&self, world: &World<S>, token: &str) -> Result<Enrolled> {
        let origin = Origin { caller: Caller::Anonymous, source: None };
        let answer = world.app.enroll(serde_json::from_str(&self.asks(token))?, &origin).await?;
        let EnrollAnswer::Enrolled(enrolled) = answer else { anyhow::bail!("it was not let in") };
        let pem = enrolled.credential.certificate.context("it asked for a certificate")?;
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
        let chain = chain.map(|der| Ok(der?.to_vec())).collect::<Result<_>>()?;
        Ok(Enrolled { chain, key: self.key.serialize_der() })
    }
}

impl Enrolled {
    /// How it connects.
    pub(crate) fn tls(&self, roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>> {
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        tls::machine(roots, chain, PrivatePkcs8KeyDer::from(self.key.clone()).into())
    }
}

/// So many machines, made on every processor.
pub(crate) fn make(count: usize) -> Result<Vec<Machine>> {
    let share = count.div_ceil(crate::host::cores());
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..crate::host::cores())
            .map(|_| scope.spawn(move || (0..share).map(|_| Machine::new()).collect::<Result<Vec<_>>>()))
            .collect();
        let mut made = Vec::with_capacity(count);
        for maker in makers {
            made.extend(maker.join().expect("making a key does not panic")?);
        }
        made.truncate(count);
        Ok(made)
    })
}

/// Makes so many machines and brings them in.
pub(crate) async fn enrolled<S: Kept>(world: &World<S>, count: usize) -> Result<Vec<Enrolled>> {
    let (token, machines) = (world.token().await?, make(count)?);
    let mut came = Vec::with_capacity(count);
    for some in machines.chunks(64) {
        let asked: Vec<_> = some.iter().map(|machine| machine.enroll(world, &token)).collect();
        came.extend(all(asked).await?);
    }
    Ok(came)
}

/// Waits for all of them together, on this task.
async fn all<T>(futures: Vec<impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, result) in futures.iter_mut().filter(|(_, result)| result.is_none()) {
            if let std::task::Poll::Ready(ready) = future.as_mut().poll(cx) {
                *result = Some(ready);
            }
        }
        match futures.iter().all(|(_, result)| result.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, result)| result).collect()
}

/// What machines without a key send to get a bearer key.
pub(crate) fn keyless(count: usize, token: &str) -> Vec<String> {
    let ask = |n| {
        json!({"method": "token", "evidence": {"token": token}, "credential": "bearer",
            "hostname": format!("worker-{n}"), "kind": "worker"})
        .to_string()
    };
    (0..count).map(ask).collect()
}

//! A machine as it stands at the door: a key pair of its own, hardware, a name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::{BASE64, HEXLOWER};
use muster_app::SignedCall;
use muster_issuer::parse_spki;
use muster_model::{KeyFingerprint, PublicKey};
use muster_wire::enroll::{CredentialForm, EnrollRequest, PreviousKey, REKEY_CONTEXT};
use muster_wire::rotate::{self, RotateRequest, Slot};
use muster_wire::signature::{SignedHeader, SignedRequest, Statement};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SigningKey};
use sha2::{Digest, Sha256};

/// DER of an Ed25519 private key up to its seed (RFC 8410 §7).
const ED25519_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A machine at the door.
pub struct Device {
    /// Its key pair.
    pub key: KeyPair,
    /// What it says of its hardware.
    pub hardware_id: Option<String>,
    /// What it calls itself.
    pub hostname: String,
}

/// A signed request, with everything that it was made over.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What the header carries.
    pub header: SignedHeader,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Device {
    /// A machine with a new key and this name, which is that of its hardware too.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key pair");
        Self { key, hardware_id: Some(format!("hw_{name}")), hostname: name.to_owned() }
    }

    /// The same with the key that this seed gives: it signs the same each time.
    pub fn seeded(seed: [u8; 32], name: &str) -> Self {
        let der = [&ED25519_HEAD[..], &seed].concat();
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der.as_slice().into(), &PKCS_ED25519);
        let key = key.expect("any 32 bytes are a key");
        Self { key, hardware_id: Some(format!("hw_{name}")), hostname: name.to_owned() }
    }

    /// Another key on the same hardware under the same name.
    pub fn reinstalled(&self) -> Self {
        Self {
            hardware_id: self.hardware_id.clone(),
            hostname: self.hostname.clone(),
            ..Self::new("reinstalled")
        }
    }

    /// The public half of its key.
    pub fn public(&self) -> PublicKey {
        parse_spki(&self.key.subject_public_key_info()).expect("a P-256 key")
    }

    /// The short name of its key.
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.public().fingerprint()
    }

    /// A certificate signing request, DER.
    pub fn csr(&self) -> Vec<u8> {
        let params = CertificateParams::new(Vec::new()).expect("no names");
        params.serialize_request(&self.key).expect("a request").der().to_vec()
    }

    /// A request to enroll by a token.
    pub fn by_token(&self, token: &str) -> EnrollRequest {
        self.asks("token", serde_json::json!({ "token": token }))
    }

    /// A request to enroll without any secret.
    pub fn by_request(&self) -> EnrollRequest {
        self.asks("request", serde_json::json!({}))
    }

    /// A request to enroll by this evidence.
    pub fn asks(&self, method: &str, evidence: serde_json::Value) -> EnrollRequest {
        EnrollRequest {
            method: method.to_owned(),
            evidence,
            csr: Some(BASE64.encode(&self.csr())),
            secret_hash: None,
            credential: CredentialForm::Certificate,
            hardware_id: self.hardware_id.clone(),
            hostname: Some(self.hostname.clone()),
            kind: "host".to_owned(),
            attributes: BTreeMap::new(),
            previous: None,
        }
    }

    /// A request of a client without keys.
    pub fn keyless(&self, token: &str) -> EnrollRequest {
        EnrollRequest { csr: None, credential: CredentialForm::Bearer, ..self.by_token(token) }
    }

    /// A request of a client without keys that shows nothing, and can show this secret later.
    pub fn keyless_request(&self, secret: &str) -> EnrollRequest {
        let secret_hash = Some(HEXLOWER.encode(&Sha256::digest(secret.as_bytes())));
        let (csr, credential) = (None, CredentialForm::Bearer);
        EnrollRequest { csr, credential, secret_hash, kind: "worker".to_owned(), ..self.by_request() }
    }

    /// The proof that this device wants the key of a CSR in place of its own.
    pub fn vouches_for(&self, csr: &[u8]) -> PreviousKey {
        let signature = self.sign(&[REKEY_CONTEXT, csr].concat());
        PreviousKey { key: self.fingerprint().to_string(), signature: BASE64.encode(&signature) }
    }

    /// Asks for a certificate for its next key.
    pub fn rotates_to(&self, next: &Device, rotation: [u8; 16]) -> RotateRequest {
        let csr = next.csr();
        let signature = next.sign(&rotate::statement(self.fingerprint(), &rotation, &csr));
        RotateRequest {
            rotation: HEXLOWER.encode(&rotation),
            csr: BASE64.encode(&csr),
            signature: BASE64.encode(&signature),
        }
    }

    /// What it says of its own store, in its one life: each time it counts on.
    pub fn slot(&self) -> Slot {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let counter = COUNTER.fetch_add(1, Ordering::Relaxed) + 1;
        Slot { base: self.fingerprint(), boot: [1; 16], counter }
    }

    /// Its signature.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.key.sign(text).expect("signed")
    }

    /// Signs a request with a nonce that the server gave out.
    pub fn signs(&self, nonce: &str, method: &str, path: &str, body: &[u8]) -> Signed {
        self.signs_from(&self.slot(), nonce, method, path, body)
    }

    /// The same, with this to say of its durable slot.
    pub fn signs_from(&self, slot: &Slot, nonce: &str, method: &str, path: &str, body: &[u8]) -> Signed {
        let Slot { base, boot, counter } = *slot;
        let (key, nonce) = (self.fingerprint(), nonce.to_owned());
        let statement = Statement { key, nonce, time: 0, base, boot, counter };
        let header = SignedHeader { statement, signature: Vec::new() };
        let mut signed = Signed {
            header,
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            body: body.to_vec(),
        };
        signed.header.signature = self.sign(&signed.input());
        signed
    }
}

impl Signed {
    /// As the use cases take it.
    pub fn call(&self) -> SignedCall<'_> {
        SignedCall { header: &self.header, request: self.request() }
    }

    fn request(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            body_sha256: Sha256::digest(&self.body).into(),
        }
    }

    fn input(&self) -> Vec<u8> {
        self.header.statement.signing_input(&self.request())
    }
}

//! A machine that speaks the protocol by itself, for what an agent would never do.

use data_encoding::BASE64;
use muster_model::KeyFingerprint;
use muster_wire::signature::{HEADER, SignedHeader, SignedRequest, Statement};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Answer, Http, text};

/// A key, and whoever has it.
pub(crate) struct Device {
    pair: KeyPair,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self { pair: KeyPair::generate().expect("the generator works") }
    }

    /// Whoever has this private key (PKCS #8, PEM).
    pub(crate) fn with_key(pem: &str) -> Self {
        Self { pair: KeyPair::from_pem(pem).expect("a key") }
    }

    pub(crate) fn fingerprint(&self) -> KeyFingerprint {
        KeyFingerprint(Sha256::digest(self.pair.subject_public_key_info()).into())
    }

    pub(crate) fn key_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// Base64 of a request for nothing but this key.
    pub(crate) fn csr(&self) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        BASE64.encode(params.serialize_request(&self.pair).expect("signed").der())
    }

    /// A request to enroll with a token.
    pub(crate) fn enrollment(&self, token: &str) -> Value {
        json!({"method": "token", "evidence": {"token": token}, "csr": self.csr(), "hostname": "device"})
    }

    /// The same on known hardware.
    pub(crate) fn enrollment_on(&self, token: &str, hardware: &str) -> Value {
        let mut request = self.enrollment(token);
        request["hardware_id"] = hardware.into();
        request
    }

    pub(crate) fn enroll(&self, http: &Http, token: &str) -> Answer {
        http.post("/v1/enroll", &self.enrollment(token))
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).expect("signed")
    }

    /// The header that signs a request, with a nonce fetched for it.
    pub(crate) fn signature(&self, http: &Http, method: &str, path: &str, body: &[u8]) -> String {
        self.signature_over(&http.get("/v1/nonce").json(), method, path, body)
    }

    /// The header that signs a request with a nonce that was fetched for it.
    pub(crate) fn signature_over(&self, nonce: &Value, method: &str, path: &str, body: &[u8]) -> String {
        let time: jiff::Timestamp = text(&nonce["server_time"]).parse().expect("RFC 3339");
        let (key, nonce) = (self.fingerprint(), text(&nonce["nonce"]));
        let statement =
            Statement { key, nonce, time: time.as_second(), base: key, boot: [7; 16], counter: 1 };
        let request = SignedRequest { method, path, query: "", body_sha256: Sha256::digest(body).into() };
        let signature = self.sign(&statement.signing_input(&request));
        SignedHeader { statement, signature }.to_string()
    }

    /// A request signed by this key.
    pub(crate) fn signed(&self, http: &Http, method: &str, path: &str, body: &[u8]) -> Answer {
        let header = self.signature(http, method, path, body);
        http.send(method, path, &[(HEADER, &header), ("content-type", "application/json")], body)
    }
}

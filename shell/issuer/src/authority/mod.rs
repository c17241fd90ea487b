//! The certificate authority: two roots, one issuing authority under the active one, the key of tokens; for a while those
//! of the next one beside them; and apart from them the authority of whoever may call machines.
//!
//! Owns their lives and their place on disk. The authority of callers stands for itself: a machine's certificate must not
//! open another machine's port. Root keys are in memory only while they are made or checked; the issuing
//! key stays, prepared. No name constraints: the TLS library refuses every URI name below them, so the trust domain
//! is checked where an identity is read.
//!
//! Invariant: an open authority is whole: every key fits its certificate, the issuing one chains to the active root,
//! that of callers to none, and all name the same trust domain. What it is does not change: a step makes another one.

mod create;
mod generation;
mod open;
mod rollover;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use jiff::{SignedDuration, Timestamp};
use muster_model::{Ca, CaPhase, KeyFingerprint, MachineId, PublicKey, TenantId};
use rustls_pki_types::{CertificateDer, ServerName};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::certificate::caller::CallerTemplate;
use crate::certificate::server::ServerCertificate;
use crate::certificate::serving::{MadeKey, ServingTemplate};
use crate::certificate::{IssueError, IssuingKey, MachineTemplate};
use crate::files::FileError;
use crate::seal::{self, SealKey, Sealer};
use crate::spiffe::{SpiffeId, TrustDomain};
use crate::token::TokenSigner;

/// Life of a root.
pub const ROOT_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// Life of an issuing authority.
pub const ISSUING_LIFE: SignedDuration = SignedDuration::from_hours(3 * 365 * 24);
/// How far before now an authority's or server's certificate begins, for clients whose clock is behind.
pub(crate) const BACKDATE: SignedDuration = SignedDuration::from_hours(24);

const CERTIFICATE: &str = "CERTIFICATE";
const ROOTS: [&str; 2] = ["root-a", "root-b"];
const ISSUING: &str = "issuing";
const CALLERS: &str = "callers";
const TOKEN_KEY: &str = "jwt.key";

/// What a new authority is made of.
#[derive(Debug, Clone)]
pub struct NewAuthority {
    /// The name under which all its machines stand.
    pub trust_domain: TrustDomain,
    /// The time.
    pub now: Timestamp,
}

/// Why an authority was not made or not opened.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A file of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The operating system's generator or the cryptographic library failed.
    #[error("the cryptographic library failed")]
    Crypto(#[from] Unspecified),
}

/// A root, without its key.
#[derive(Debug, Clone)]
struct Root {
    der: CertificateDer<'static>,
    fingerprint: KeyFingerprint,
}

/// What is handed out with every credential, written once.
#[derive(Clone)]
struct Texts {
    roots: Vec<String>,
    pins: Vec<String>,
    chain: String,
    /// The same of the authority beside the signing one.
    beside: String,
}

impl Texts {
    fn new(
        roots: &[Root],
        issuing: &CertificateDer<'static>,
        beside: Option<&CertificateDer<'static>>,
    ) -> Self {
        Self {
            roots: roots.iter().map(|root| to_text(&root.der)).collect(),
            pins: roots.iter().map(pin).collect(),
            chain: to_text(issuing),
            beside: beside.map(to_text).unwrap_or_default(),
        }
    }
}

/// What stays the same whichever authority signs.
struct Keep {
    dir: PathBuf,
    sealer: Sealer,
    trust_domain: TrustDomain,
    callers: IssuingKey,
    callers_key: Vec<u8>,
    callers_text: String,
    tokens: TokenSigner,
}

/// An authority that can issue. Copies share its keys.
#[derive(Clone)]
pub struct Authority {
    keep: Arc<Keep>,
    /// What it is made for.
    ca: Ca,
    /// The bundle: those of the signing one first, the active one of these before the other.
    roots: Vec<Root>,
    issuing: CertificateDer<'static>,
    /// What issues, or issued, under the other roots of the bundle.
    beside: Option<CertificateDer<'static>>,
    /// The root over what issues.
    above: CertificateDer<'static>,
    /// The same root, signed by the one before.
    cross: Option<CertificateDer<'static>>,
    texts: Texts,
    signer: Arc<IssuingKey>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({}, {})", self.keep.trust_domain, self.pin())
    }
}

impl Authority {
    /// The name under which all machines stand.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.keep.trust_domain
    }

    /// The roots that others shall trust, DER, the active one first.
    pub fn roots_der(&self) -> Vec<&CertificateDer<'static>> {
        self.roots.iter().map(|root| &root.der).collect()
    }

    /// The roots that others shall trust, PEM, the active one first.
    pub fn roots_pem(&self) -> Vec<String> {
        self.texts.roots.clone()
    }

    /// What a first contact compares: `sha256:` and the hash of the active root's `SubjectPublicKeyInfo`.
    pub fn pin(&self) -> String {
        self.texts.pins[0].clone()
    }

    /// The pins of all roots, in the same order.
    pub fn pins(&self) -> Vec<String> {
        self.texts.pins.clone()
    }

    /// The issuing authority's certificate: what stands between a leaf and its root.
    pub fn chain_der(&self) -> &CertificateDer<'static> {
        &self.issuing
    }

    /// [`Self::chain_der`] as PEM.
    pub fn chain_pem(&self) -> String {
        self.texts.chain.clone()
    }

    /// PEM of a machine's certificate followed by that of the authority which signed it, as TLS wants to see them: during a
    /// change that may be the one before, or the next one where another server is further.
    pub fn leaf_chain_pem(&self, leaf: &[u8]) -> String {
        let is_by_other = |other| open::is_issued_by(leaf, other) && !open::is_issued_by(leaf, &self.issuing);
        let chain = match self.beside.as_ref().is_some_and(is_by_other) {
            true => &self.texts.beside,
            false => &self.texts.chain,
        };
        format!("{}{chain}", *seal::to_pem(CERTIFICATE, leaf.to_vec()))
    }

    /// The SPIFFE id of a machine of this deployment.
    pub fn spiffe_id(&self, tenant: TenantId, machine: MachineId) -> String {
        SpiffeId { trust_domain: self.keep.trust_domain.clone(), tenant, machine }.to_string()
    }

    /// End of the issuing authority. No certificate of it may live longer.
    pub fn issuing_not_after(&self) -> Timestamp {
        self.signer.not_after
    }

    /// Signs a machine's certificate, DER.
    pub fn issue(&self, key: &PublicKey, template: &MachineTemplate) -> Result<Vec<u8>, IssueError> {
        self.signer.machine(self.trust_domain(), key, template)
    }

    /// The authority of callers, PEM: what a machine holds against whoever calls it. No certificate of a machine is of it.
    pub fn callers_pem(&self) -> String {
        self.keep.callers_text.clone()
    }

    /// Signs the certificate of whoever may call machines, PEM. It chains to [`Self::callers_pem`] directly.
    pub fn certify_caller(&self, key: &PublicKey, template: &CallerTemplate) -> Result<String, IssueError> {
        let leaf = self.keep.callers.caller(self.trust_domain(), key, template)?;
        Ok(seal::to_pem(CERTIFICATE, leaf).to_string())
    }

    /// Makes a key for a client that insists on being given one, and a certificate to serve others by.
    pub fn make_key(&self, template: &ServingTemplate) -> Result<MadeKey, IssueError> {
        let (leaf, key) = self.signer.serving(self.trust_domain(), template)?;
        Ok(MadeKey { chain: self.leaf_chain_pem(&leaf), key })
    }

    /// Makes a key and a certificate for our own TLS port under these names.
    pub fn server_certificate(
        &self,
        names: &[ServerName<'_>],
        now: Timestamp,
    ) -> Result<ServerCertificate, IssueError> {
        // Never both: a library that meets the root that signed itself looks no further.
        let root = self.cross.as_ref().unwrap_or(&self.above);
        let above = vec![self.issuing.clone(), root.clone()];
        self.signer.server(names, now, above)
    }

    /// The signer of machine tokens.
    pub fn tokens(&self) -> &TokenSigner {
        &self.keep.tokens
    }
}

fn to_text(der: &CertificateDer<'static>) -> String {
    seal::to_pem(CERTIFICATE, der.to_vec()).to_string()
}

fn pin(root: &Root) -> String {
    format!("sha256:{}", root.fingerprint)
}

fn certificate_file(name: &str) -> String {
    format!("{name}.crt")
}

fn key_file(name: &str) -> String {
    format!("{name}.key")
}

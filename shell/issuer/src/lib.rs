//! Credential kinds and signing keys: what a machine's certificate and token look like, and who signs them.
//!
//! Owns the certificate authority, its files, the one template of a machine's certificate, machine tokens, and the
//! reading of keys, certificate requests and certificates. It never decides who may have what, reads no clock and
//! draws no identifier: those enter as values. Only keys and signatures use the operating system's generator.
//!
//! Invariant: nothing in a certificate comes from its request but the public key (RFC 2986 §3 leaves that to us).
//! Adding a credential kind: a folder here (`certificate`, `token`), a variant in `muster_model::CredentialKind`.

pub mod authority;
pub mod certificate;
pub mod csr;
pub mod engagement;
pub mod files;
pub mod key;
pub mod seal;
mod signing;
pub mod spiffe;
pub mod token;

pub use authority::{Authority, AuthorityError, NewAuthority};
pub use certificate::caller::CallerTemplate;
pub use certificate::identity::{IdentityError, MachineIdentity};
pub use certificate::server::ServerCertificate;
pub use certificate::serving::{MadeKey, ServingTemplate, serving_name};
pub use certificate::{IssueError, MachineTemplate};
pub use csr::{CsrError, OwnKey};
pub use engagement::{EngagementClaims, ExpectedEngagement, verify_engagement};
pub use files::{FileError, FileProblem};
pub use key::{KeyError, parse_spki, verify_signature};
pub use rustls_pki_types::ServerName;
pub use seal::SealKey;
pub use spiffe::{SpiffeError, SpiffeId, TrustDomain};
pub use token::{MachineClaims, SessionClaims, TokenError, TokenSigner};

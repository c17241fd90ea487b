//! Bearer keys of callers without a key of their own.
//!
//! A key is derived, not drawn: from the pepper, the credential it is for, and what its caller says of itself (grant,
//! hardware, hostname) and from which network. So an answer that was lost can be given again without anything secret being kept, and it is given to
//! nobody who says anything else. What is stored is the hash, as of every secret.

use muster_model::{
    Claim, Claimant, Credential, CredentialId, CredentialKind, Entitlement, Pepper, Secret, SecretForm,
    SecretKind, network,
};

/// Derives the bearer keys of one caller.
#[derive(Clone)]
pub(crate) struct Bearer {
    pepper: Pepper,
    form: SecretForm,
    /// A MAC over what the caller shows and says.
    caller: [u8; 32],
}

impl Bearer {
    pub(crate) fn new(pepper: Pepper, form: SecretForm, claim: &Claim, claimant: &Claimant) -> Self {
        let grant = match &claim.entitlement {
            Entitlement::Grant { id, .. } => id.to_string(),
            Entitlement::Credential { id, .. } => id.to_string(),
            Entitlement::Nothing { .. } => String::new(),
        };
        let hardware = claimant.hardware_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let hostname = claimant.hostname.as_ref().map(|name| name.as_str().to_ascii_lowercase());
        let source = claimant.source.map(|source| network(source).to_string()).unwrap_or_default();
        let said = [grant, hardware, hostname.unwrap_or_default(), source];
        let mut parts: Vec<&[u8]> = vec![b"keyless caller"];
        parts.extend(said.iter().map(String::as_bytes));
        let caller = pepper.mac(&parts).0;
        Self { pepper, form, caller }
    }

    /// The key of this credential, were it this caller's.
    pub(crate) fn of(&self, credential: CredentialId) -> Secret {
        let derive = |part: &[u8]| self.pepper.mac(&[b"bearer", part, &self.caller, credential.as_bytes()]).0;
        let id = derive(b"id");
        let id = std::array::from_fn(|i| id[i]);
        Secret::formed(self.form, SecretKind::Bearer, id, derive(b"bytes"))
    }

    /// What is kept of it.
    pub(crate) fn kind(&self, credential: CredentialId) -> CredentialKind {
        let secret = self.of(credential);
        CredentialKind::Bearer { secret: secret.id(), hash: self.pepper.hash(&secret) }
    }

    /// Whether a credential was derived for this caller.
    pub(crate) fn is(&self, credential: &Credential) -> bool {
        matches!(credential.kind, CredentialKind::Bearer { .. })
            && credential.kind == self.kind(credential.id)
    }
}

//! From one authority to the next: what signs and who is trusted at each step, and the keys of the next one.
//!
//! An [`Authority`] does not change: a step makes another one.

use super::generation::{Generation, Material, lacking, other_history};
use super::*;

impl Authority {
    /// The authority as it is where the change stands so. Nothing of this one is touched.
    ///
    /// # Errors
    /// [`AuthorityError::File`] for what is sealed for another row, by another key, or does not fit.
    pub fn as_of(&self, ca: &Ca) -> Result<Self, AuthorityError> {
        Self::of(Arc::clone(&self.keep), ca.clone())
    }

    /// What is sealed for a step, where this authority stands one step before: makes the next one, or lets go of one.
    ///
    /// # Errors
    /// As [`Self::as_of`].
    pub fn sealed_for(&self, next: &Ca) -> Result<Vec<u8>, AuthorityError> {
        let keep = &*self.keep;
        let Material { current, next: other } = Material::open(&keep.sealer, &self.ca)?;
        let material = match (self.ca.phase, next.phase) {
            (CaPhase::Settled, CaPhase::Prepared) => {
                let new = NewAuthority { trust_domain: keep.trust_domain.clone(), now: next.since };
                let founding = || Generation::read(&keep.dir, &keep.sealer);
                let made = match &current {
                    Some(present) => present.succeed(&new)?,
                    None => founding()?.succeed(&new)?,
                };
                Material { current, next: Some(made) }
            }
            (CaPhase::Prepared, CaPhase::Settled) => Material { current, next: None },
            (CaPhase::Activated | CaPhase::Tainted { .. }, CaPhase::Settled) => {
                let stays = other.ok_or_else(lacking)?;
                Material { current: Some(Generation { cross: None, ..stays }), next: None }
            }
            (
                CaPhase::Settled
                | CaPhase::Prepared
                | CaPhase::Published
                | CaPhase::Activated
                | CaPhase::Tainted { .. },
                CaPhase::Settled
                | CaPhase::Prepared
                | CaPhase::Published
                | CaPhase::Activated
                | CaPhase::Tainted { .. },
            ) => Material { current, next: other },
        };
        material.seal(&keep.sealer, next)
    }

    pub(super) fn of(keep: Arc<Keep>, ca: Ca) -> Result<Self, AuthorityError> {
        let Material { current, next } = Material::open(&keep.sealer, &ca)?;
        let current = current.map_or_else(|| Generation::read(&keep.dir, &keep.sealer), Ok)?;
        for generation in [Some(&current), next.as_ref()].into_iter().flatten() {
            open::check_apart(&keep.dir, &keep.callers_key, generation)?;
            open::check_domain(&keep.dir, generation, &keep.trust_domain)?;
        }
        let (signing, beside) = match ca.phase {
            CaPhase::Settled | CaPhase::Prepared => (current, None),
            CaPhase::Published => (current, Some(next.ok_or_else(lacking)?)),
            CaPhase::Activated | CaPhase::Tainted { .. } => (next.ok_or_else(lacking)?, Some(current)),
        };
        let Generation { active, standby, issuing, cross } = signing;
        let (chain, above) = (issuing.der.clone(), active.der.clone());
        let other = beside.as_ref().map(|beside| beside.issuing.der.clone());
        let beside = beside.map(|beside| [beside.active, beside.standby]).into_iter().flatten();
        let roots: Vec<Root> = [active, standby].into_iter().chain(beside).map(open::root_of).collect();
        let texts = Texts::new(&roots, &chain, other.as_ref());
        let signer = Arc::new(open::signer(&keep.dir, issuing)?);
        Ok(Self { keep, ca, roots, issuing: chain, beside: other, above, cross, texts, signer })
    }

    /// Whether a row is the one that this authority is made for. Two rows of one revision are two histories: a database that
    /// was put back and went on, or another deployment's.
    ///
    /// # Errors
    /// [`AuthorityError::File`] where it is another.
    pub fn is_as_of(&self, ca: &Ca) -> Result<(), AuthorityError> {
        if ca.context() == self.ca.context() && ca.sealed == self.ca.sealed {
            return Ok(());
        }
        Err(other_history())
    }

    /// Where the change stands that this authority is made for.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// Whether a certificate may be forged: the one that signed before was declared tainted, and not the present one has
    /// signed this. The chain to a root alone says nothing then, for a thief has those keys.
    pub fn is_doubtful(&self, leaf: &[u8]) -> bool {
        self.ca.tainted_at().is_some() && !open::is_issued_by(leaf, &self.issuing)
    }
}

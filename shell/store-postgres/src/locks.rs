//! What a decision holds while it decides: the owner of each row that it read, and of each row that was not there.
//!
//! A row is guarded by the lock of its owner, by a number that every replica computes alike. The server's advisory locks
//! are let go of with the transaction. In a transaction of several decisions the server cannot tell these from each other,
//! so that what one of them holds is noted here as its claim.

use std::collections::HashMap;

use muster_model::{
    AccessTokenId, GrantId, HardwareId, HoldId, KeyFingerprint, MachineId, Nick, SiteCode, SiteId, TenantId,
    Verifier,
};
use sha2::{Digest, Sha256};

/// A lock, as the server knows it.
pub(crate) type Number = i64;

/// Held by every transaction that may wait for locks; alone, by one that lost by waiting.
pub(crate) const WAITING: Number = i64::from_be_bytes(*b"waiting!");

/// How many may hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    Shared,
    Exclusive,
}

/// What a lock guards, within a tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'o> {
    /// A machine, its keys, credentials, grants and the holds about it.
    Machine(MachineId),
    /// A key, whether anybody has it, and what it asked for.
    Key(KeyFingerprint),
    /// Hardware, whether anybody has it, and what it asked for without a key.
    Hardware(&'o HardwareId),
    /// A secret that a client drew for itself, and what it asked for.
    Verifier(&'o Verifier),
    /// A grant.
    Grant(GrantId),
    /// A nick, whether anybody holds it.
    Nick(&'o Nick),
    /// A hold.
    Hold(HoldId),
    /// How full a site is, near its limits.
    Site(SiteId),
    /// The newest generation of a site's key.
    SiteKey(SiteId),
    /// Who the operators are.
    Operators,
    /// Whether a site has this code.
    SiteCode(&'o SiteCode),
    /// A token, session or login link.
    Access(AccessTokenId),
    /// A request that may be a repetition.
    Request(&'o [u8; 32]),
    /// The nonces of a key.
    Nonce(KeyFingerprint),
    /// A counter of failures.
    Failures(&'o [u8; 32]),
    /// The lives of a key.
    Boots(KeyFingerprint),
    /// The change of the certificate authority.
    Authority,
}

impl Owner<'_> {
    /// The number of its lock. Two owners with one number wait for each other needlessly, and nothing else.
    pub(crate) fn number(self, tenant: TenantId) -> Number {
        let mut hash = Sha256::new();
        let mut add = |class: &[u8], name: &[u8]| {
            hash.update(class);
            hash.update(tenant.as_bytes());
            hash.update(name);
        };
        match self {
            Self::Machine(id) => add(b"machine", id.as_bytes()),
            Self::Key(key) => add(b"key", &key.0),
            Self::Hardware(id) => add(b"hardware", id.as_str().as_bytes()),
            Self::Verifier(verifier) => add(b"verifier", verifier.as_bytes()),
            Self::Grant(id) => add(b"grant", id.as_bytes()),
            Self::Nick(nick) => add(b"nick", nick.folded().as_bytes()),
            Self::Hold(id) => add(b"hold", id.as_bytes()),
            Self::Site(id) => add(b"site", id.as_bytes()),
            Self::SiteKey(id) => add(b"site key", id.as_bytes()),
            Self::Operators => add(b"operators", b""),
            Self::SiteCode(code) => add(b"site code", code.as_str().as_bytes()),
            Self::Access(id) => add(b"access", id.as_bytes()),
            Self::Request(key) => add(b"request", key),
            Self::Nonce(key) => add(b"nonce", &key.0),
            Self::Failures(key) => add(b"failures", key),
            Self::Boots(key) => add(b"boots", &key.0),
            Self::Authority => add(b"authority", b""),
        }
        let digest = hash.finalize();
        Number::from_be_bytes(std::array::from_fn(|i| digest[i]))
    }
}

/// Who holds what in a transaction.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// What the transaction holds, as far as the server is concerned.
    held: HashMap<Number, Strength>,
    /// Which of the decisions that are at work may rely on it.
    by: HashMap<Number, Vec<(usize, Strength)>>,
}

/// What becomes of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is held already.
    Held,
    /// It may be asked of the server.
    Ask,
    /// Another decision of this transaction has it.
    Taken,
}

impl Claims {
    /// Claims a lock for a decision, where nobody else at work stands in the way.
    pub(crate) fn claim(&mut self, who: usize, number: Number, strength: Strength) -> Claim {
        let by = self.by.entry(number).or_default();
        let others = by.iter().any(|(other, theirs)| {
            *other != who && (strength == Strength::Exclusive || *theirs == Strength::Exclusive)
        });
        if others {
            return Claim::Taken;
        }
        by.push((who, strength));
        let held = self.held.get(&number).is_some_and(|held| *held >= strength);
        if held { Claim::Held } else { Claim::Ask }
    }

    /// The server granted it.
    pub(crate) fn granted(&mut self, number: Number, strength: Strength) {
        let held = self.held.entry(number).or_insert(strength);
        *held = (*held).max(strength);
    }

    /// Whether a decision has a lock.
    pub(crate) fn has(&self, who: usize, number: Number, strength: Strength) -> bool {
        let mine = |by: &Vec<(usize, Strength)>| by.iter().any(|(one, had)| *one == who && *had >= strength);
        self.held.get(&number).is_some_and(|held| *held >= strength) && self.by.get(&number).is_some_and(mine)
    }

    /// A decision gave up: what it claimed is free for the others.
    pub(crate) fn give_up(&mut self, who: usize) {
        self.by.values_mut().for_each(|by| by.retain(|(one, _)| *one != who));
    }

    /// All decisions at work are done: those that follow may rely on what they wrote.
    pub(crate) fn settle(&mut self) {
        self.by.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Strength::{Exclusive, Shared};

    #[test]
    fn one_decision_at_a_time_has_a_lock_of_a_transaction() {
        let mut claims = Claims::default();
        assert_eq!(claims.claim(1, 7, Exclusive), Claim::Ask);
        assert!(!claims.has(1, 7, Exclusive), "the server has not answered");
        claims.granted(7, Exclusive);
        assert!(claims.has(1, 7, Exclusive));
        assert_eq!(claims.claim(1, 7, Shared), Claim::Held);
        assert_eq!(claims.claim(2, 7, Shared), Claim::Taken);
        claims.give_up(1);
        assert_eq!(claims.claim(2, 7, Exclusive), Claim::Held);
        claims.settle();
        assert_eq!(claims.claim(3, 7, Shared), Claim::Held);
    }

    #[test]
    fn many_share_what_nobody_has_alone() {
        let mut claims = Claims::default();
        assert_eq!(claims.claim(1, 7, Shared), Claim::Ask);
        assert_eq!(claims.claim(2, 7, Shared), Claim::Ask);
        claims.granted(7, Shared);
        assert_eq!(claims.claim(2, 7, Exclusive), Claim::Taken);
        claims.give_up(1);
        assert_eq!(claims.claim(2, 7, Exclusive), Claim::Ask, "what is shared is not held alone");
    }

    #[test]
    fn every_replica_computes_the_same_number() {
        let (tenant, key) = (TenantId::from_bytes([1; 16]), KeyFingerprint([2; 32]));
        assert_eq!(Owner::Key(key).number(tenant), Owner::Key(key).number(tenant));
        assert_ne!(Owner::Key(key).number(tenant), Owner::Nonce(key).number(tenant));
        assert_ne!(Owner::Key(key).number(tenant), Owner::Key(key).number(TenantId::from_bytes([3; 16])));
        // What a release computes, the next one computes: replicas of both work together.
        assert_eq!(Owner::Key(key).number(tenant), 7_685_808_915_966_862_460);
    }
}

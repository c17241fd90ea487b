//! Operators with passwords, what they have, and what is counted of them.

use muster_model::second_factor::{FactorSalt, SecondFactor};
use muster_model::{
    AccessKind, AccessToken, AccessTokenId, ImportedHash, Operator, OperatorId, OperatorRole, PasswordHash,
    SecretHash,
};

use super::fixtures::{HOUR, ago, now, operator_token, tenant_id, text};
use crate::lockout::{Counted, Counter, Failures};

pub(crate) fn password_hash(n: u8) -> PasswordHash {
    let other = format!("AAA{}", char::from(b'A' + n));
    ImportedHash::stand_in().as_str().replace("AAAA", &other).parse().expect("a hash")
}

pub(crate) fn holder(password: Option<PasswordHash>) -> Operator {
    Operator {
        id: OperatorId::from_bytes([1; 16]),
        tenant: tenant_id(),
        name: text("ada"),
        role: OperatorRole::Operator,
        created_at: ago(HOUR),
        disabled_at: None,
        password,
        second: None,
    }
}

pub(crate) fn token(n: u8, kind: AccessKind) -> AccessToken {
    AccessToken { id: AccessTokenId::from_bytes([n; 16]), ..operator_token(OperatorRole::Operator, kind) }
}

/// So many failures, just now; the key begins with their number.
pub(crate) fn counter(counted: Counted, count: u32) -> Counter {
    Counter { counted, key: [count.to_be_bytes()[3]; 32], failures: Some(Failures { count, at: now() }) }
}

pub(crate) const SALT: FactorSalt = FactorSalt([7; 16]);

/// One whose newest code was that of step 100, with two recovery codes left.
pub(crate) fn asked_for_codes() -> SecondFactor {
    let recovery = vec![SecretHash([1; 32]), SecretHash([2; 32])];
    SecondFactor::Confirmed { salt: SALT, since: ago(HOUR), step: 100, recovery }
}

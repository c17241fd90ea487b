//! Accounts that machines have in other systems: an IRC server, or whatever a webhook makes.
//!
//! The record says what is wanted downstream, under a version that rises with every change of it, and how far the other
//! system has come. So the record is the order itself: what is [`Delivery::Due`] is to be done, and nothing else is kept.
//! The passphrase is derived from the pepper, the account and a number that rises when the passphrase ends: it is nowhere
//! stored, and a lost answer can be given again.
//!
//! Invariant: an account whose [`Provenance`] is unknown was never changed downstream, but for being made.

use std::fmt;

use jiff::Timestamp;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::agent::folded;
use crate::id::CROCKFORD;
use crate::{AccountId, AccountName, MachineId, MishapText, Pepper, ProvisionerName, TenantId};

/// An account of a machine in another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// Whose it is.
    pub machine: MachineId,
    /// Who makes it: the name of a configured provisioner.
    pub provisioner: ProvisionerName,
    /// What it is called there. Unique for its provisioner, whatever the letter case, until it is removed.
    pub name: AccountName,
    /// What is to be there.
    pub wanted: Wanted,
    /// Rises by one with every change of what is wanted, the passphrase included.
    pub version: u32,
    /// The number of the passphrase: rises by one when the passphrase before it ends.
    pub secret: u32,
    /// What is known of who made the account there.
    pub provenance: Provenance,
    /// How far the other system has come.
    pub delivery: Delivery,
    /// When the record was made.
    pub created_at: Timestamp,
}

/// What is to be downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// An account whose passphrase works.
    Live,
    /// An account that nobody gets into, and no session of it.
    Locked,
    /// No account; where the other system cannot forget one, a locked one.
    Removed,
}

/// What is known of who made the account downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provenance {
    /// Nothing: it may not be there, or be somebody else's.
    Unknown,
    /// Muster made it.
    Made,
    /// It was there, and an operator said that it is this machine's.
    Adopted,
}

/// How far the other system has come with what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It is behind.
    Due {
        /// Not before.
        at: Timestamp,
        /// How often it was tried in vain.
        attempts: u32,
        /// What came of the last try.
        last: Option<Mishap>,
    },
    /// It is as it should be.
    Done {
        /// Since when.
        at: Timestamp,
    },
    /// There is an account of that name which Muster did not make. Nothing is done about it until an operator adopts it.
    Conflict {
        /// When that was found.
        at: Timestamp,
    },
    /// It was tried too often, or refused for good. An operator can have it tried again.
    Dead {
        /// Since when.
        at: Timestamp,
        /// How often it was tried in vain.
        attempts: u32,
        /// What came of the last try.
        last: Mishap,
    },
}

/// Why the other system is still behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mishap {
    /// Its kind.
    pub kind: MishapKind,
    /// What was said, as far as it can be shown.
    pub text: Option<MishapText>,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MishapKind {
    /// The other system was not reached, or did not answer in time: what it did is unknown.
    Unreachable,
    /// It answered that it cannot, now.
    Failed,
    /// It does not let Muster in.
    Unauthorized,
    /// It will never take this.
    Refused,
    /// There is no provisioner of that name in the configuration.
    NotConfigured,
}

/// A passphrase in the clear. Wiped when dropped, and never shown by accident.
#[derive(Clone, Zeroize, ZeroizeOnDrop, PartialEq, Eq)]
pub struct Passphrase(String);

impl Account {
    /// Its passphrase, under this pepper.
    pub fn passphrase(&self, pepper: &Pepper) -> Passphrase {
        self.passphrase_numbered(pepper, self.secret)
    }

    /// The passphrase it had, or would have, under a number.
    pub fn passphrase_numbered(&self, pepper: &Pepper, number: u32) -> Passphrase {
        let mac = pepper.mac(&[b"account", self.id.as_bytes(), &number.to_be_bytes()]);
        Passphrase(CROCKFORD.encode(&mac.0))
    }

    /// The passphrase that nobody is ever told: whoever sets it locks the account. It is always the same, so that an account
    /// which was made locked is recognised when the answer to that was lost.
    pub fn nobodys_passphrase(&self, pepper: &Pepper) -> Passphrase {
        Passphrase(CROCKFORD.encode(&pepper.mac(&[b"account of nobody", self.id.as_bytes()]).0))
    }

    /// Whether the other system is to be asked now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        matches!(self.delivery, Delivery::Due { at, .. } if at <= now)
    }

    /// Whether both are one account there.
    pub fn is_called_alike(&self, other: &Self) -> bool {
        self.provisioner == other.provisioner && self.name.folded() == other.name.folded()
    }

    /// How it stands, in one word.
    pub fn standing(&self) -> &'static str {
        match &self.delivery {
            Delivery::Due { .. } => "pending",
            Delivery::Done { .. } => self.wanted.as_str(),
            Delivery::Conflict { .. } => "conflict",
            Delivery::Dead { .. } => "dead",
        }
    }
}

impl AccountName {
    /// The same for every name that the other system may hold to be this one. IRC's own folding folds
    /// most, so that two names which differ here differ everywhere.
    pub fn folded(&self) -> String {
        folded(self.as_str())
    }
}

impl Passphrase {
    /// The text, in the clear. Call it only where it is handed to its owner or to the other system.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

impl Wanted {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Live, Self::Locked, Self::Removed];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Locked => "locked",
            Self::Removed => "removed",
        }
    }
}

impl Provenance {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Made, Self::Adopted];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Made => "made",
            Self::Adopted => "adopted",
        }
    }

    /// Whether the account downstream may be changed.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Made | Self::Adopted)
    }
}

impl MishapKind {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Unreachable, Self::Failed, Self::Unauthorized, Self::Refused, Self::NotConfigured];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::Unauthorized => "unauthorized",
            Self::Refused => "refused",
            Self::NotConfigured => "not_configured",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            id: AccountId::new(1, [1; 10]),
            tenant: TenantId::new(1, [2; 10]),
            machine: MachineId::new(1, [3; 10]),
            provisioner: "irc".parse().expect("a name"),
            name: "w-two".parse().expect("a name"),
            wanted: Wanted::Live,
            version: 1,
            secret: 1,
            provenance: Provenance::Unknown,
            delivery: Delivery::Due { at: Timestamp::UNIX_EPOCH, attempts: 0, last: None },
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_passphrase_is_the_same_whenever_it_is_asked_for_and_another_under_each_number() {
        let (pepper, account) = (Pepper::new([7; 32]), account());
        assert_eq!(account.passphrase(&pepper), account.passphrase(&pepper));
        assert_ne!(account.passphrase(&pepper), account.passphrase_numbered(&pepper, 2));
        assert_ne!(account.passphrase(&pepper), account.passphrase(&Pepper::new([8; 32])));
        for number in 0..20 {
            let given = account.passphrase_numbered(&pepper, number);
            assert_ne!(given, account.nobodys_passphrase(&pepper), "nobody is ever told what locks");
        }
        let other = Account { id: AccountId::new(1, [9; 10]), ..account.clone() };
        assert_ne!(account.passphrase(&pepper), other.passphrase(&pepper));
        assert_eq!(account.passphrase(&pepper).reveal().len(), 52, "256 bits");
    }

    #[test]
    fn i_10_a_passphrase_is_not_shown_by_accident() {
        assert_eq!(format!("{:?}", account().passphrase(&Pepper::new([7; 32]))), "Passphrase(…)");
    }

    #[test]
    fn names_that_irc_holds_to_be_one_fold_to_one() {
        let folded = |name: &str| name.parse::<AccountName>().expect("a name").folded();
        assert_eq!(folded("W-TWO"), folded("w-two"));
        assert_eq!(folded(r"a[b]\~"), folded("A{B}|^"));
        assert_ne!(folded("a-b"), folded("a_b"));
    }

    #[test]
    fn a_name_holds_nothing_that_could_be_a_second_argument() {
        for bad in ["evil +o evil", "a\r\nKILL b", "a,b", ":a", "a!b@c", "*", "a?", "@me", "", "#chan", "a/b"]
        {
            assert!(bad.parse::<AccountName>().is_err(), "{bad:?}");
        }
    }
}

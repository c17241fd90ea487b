//! What a decision answers: changes that are applied together or not at all, each with its audit entry.
//!
//! Invariant: a plan with changes has at least one entry; there is no other way to build one.

use crate::fork::Boots;
use crate::lockout::Failures;
use crate::nonce::UsedNonces;
use crate::reap::Stop;
use muster_model::{
    AccessKind, AccessToken, AccessTokenId, Account, Ca, Credential, CredentialId, CredentialState,
    DeploymentId, EngagementVersion, Entry, Gap, Grant, GrantId, GrantState, Hold, HoldId, HoldState,
    IncarnationId, KeyFingerprint, KeyRecord, KeyStanding, Machine, MachineId, Operator, OperatorId,
    SecretHash, SecretId, Site, SoftwareAgent, Tenant, TenantId, Timestamp, Uses,
};

/// What a decision answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<O> {
    outcome: O,
    changes: Vec<Change>,
    entries: Vec<Entry>,
}

/// One change of one row. The closed list of everything that can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Of the deployment.
    Deployment(DeploymentChange),
    /// Of tenants.
    Tenant(TenantChange),
    /// Of sites.
    Site(SiteChange),
    /// Of grants.
    Grant(GrantChange),
    /// Of machines.
    Machine(MachineChange),
    /// Of keys.
    Key(KeyChange),
    /// Of holds.
    Hold(HoldChange),
    /// Of credentials.
    Credential(CredentialChange),
    /// Of software agents and their engagements.
    Agent(AgentChange),
    /// Of operators and their tokens.
    Access(AccessChange),
    /// Of accounts in other systems.
    Account(AccountChange),
    /// Of what is remembered to recognise a repeated request.
    Memory(MemoryChange),
}

/// A change of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeploymentChange {
    /// Its beginning.
    Found {
        /// Its identifier.
        id: DeploymentId,
        /// MAC over the identifier by the pepper.
        proof: [u8; 32],
        /// Its first incarnation.
        incarnation: IncarnationId,
        /// When.
        at: Timestamp,
    },
    /// A server has seen what the database does not know. There is no other gap of the present incarnation.
    Doubt {
        /// What is missing.
        gap: Gap,
    },
    /// The change of the certificate authority stands so from now on. Its revision only rises.
    Authority(Ca),
    /// A restored database was accepted: a new incarnation begins.
    Accept {
        /// The new one.
        incarnation: IncarnationId,
        /// When.
        at: Timestamp,
    },
}

/// A change of tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantChange {
    /// A new one.
    Create(Tenant),
    /// The reaper takes nobody of the tenant from now on; `None`: it goes on.
    Reaper(Option<Stop>),
}

/// A change of sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteChange {
    /// A new one.
    Create(Site),
}

/// A change of grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantChange {
    /// A new one.
    Create(Grant),
    /// It was drawn on.
    Draw {
        /// Which.
        grant: GrantId,
        /// Its uses from now on.
        uses: Uses,
    },
    /// The key that was brought from another server was shown: from now on it is kept like every other.
    Prove {
        /// Which.
        grant: GrantId,
        /// Selects the row from now on.
        secret: SecretId,
        /// Proves the key from now on.
        hash: SecretHash,
        /// What people tell the key by.
        fingerprint: [u8; 2],
    },
    /// It ended. What another server knew of its key goes with it.
    End {
        /// Which.
        grant: GrantId,
        /// How it stands from now on.
        state: GrantState,
    },
}

/// A change of machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineChange {
    /// A new one.
    Create(Machine),
    /// The whole record as it is from now on; tenant and identifier stay.
    Update(Machine),
    /// Nothing of the record: the machine is told to do something, whichever replica holds its channel.
    Order {
        /// Which.
        machine: MachineId,
        /// What.
        order: MachineOrder,
    },
}

/// What a machine can be told to do. What follows from its record needs no order: it is told by its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineOrder {
    /// Ask for its next certificate now.
    Renew,
    /// Make its next key now.
    Rotate,
}

impl MachineOrder {
    /// Every order.
    pub const ALL: [Self; 2] = [Self::Renew, Self::Rotate];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::Rotate => "rotate",
        }
    }
}

/// A change of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// A key that was never seen in this tenant.
    Register(KeyRecord),
    /// How a known key stands from now on.
    Standing {
        /// Which.
        key: KeyFingerprint,
        /// How it stands.
        standing: KeyStanding,
    },
    /// An operator asked for its replacement.
    Order {
        /// Which.
        key: KeyFingerprint,
        /// When.
        at: Timestamp,
    },
    /// Every key of a machine that counts is superseded: another one takes their place.
    SupersedeAll(MachineId),
}

/// A change of holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldChange {
    /// A new one.
    Open(Hold),
    /// A person decided.
    Decide {
        /// Which.
        hold: HoldId,
        /// How it stands from now on: approved or rejected.
        state: HoldState,
    },
}

/// A change of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialChange {
    /// A new one: a certificate decided and not yet minted, a bearer key, which needs no minting, or a certificate that a
    /// restored database had forgotten.
    Reserve(Credential),
    /// How a known one stands from now on.
    State {
        /// Which.
        credential: CredentialId,
        /// How it stands.
        state: CredentialState,
    },
}

/// A change of software agents and their engagements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentChange {
    /// A new one. Nobody else of its tenant holds its nick.
    Register(SoftwareAgent),
    /// The whole record as it is from now on; machine and nick stay. What was freed stays as it is.
    Update(SoftwareAgent),
    /// A new version of an engagement.
    Engage(EngagementVersion),
    /// An agent goes by this version of its engagement, which nobody said before.
    Acknowledge {
        /// Its tenant.
        tenant: TenantId,
        /// Its machine.
        machine: MachineId,
        /// The version.
        version: u32,
        /// When it said so.
        at: Timestamp,
    },
}

/// A change of operators and their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessChange {
    /// A new operator.
    CreateOperator(Operator),
    /// The whole record as it is from now on; tenant, identifier and the time of its making stay.
    UpdateOperator(Operator),
    /// A new token, session or login link.
    CreateToken(AccessToken),
    /// Another secret in the place of a token's. One that has ended gets none.
    RotateToken {
        /// Which.
        token: AccessTokenId,
        /// Selects the row from now on.
        secret: SecretId,
        /// Proves it from now on.
        hash: SecretHash,
    },
    /// A token, session or login link ended.
    EndToken {
        /// Which.
        token: AccessTokenId,
        /// When.
        at: Timestamp,
    },
    /// Whatever of these kinds an operator has ended, however many there are.
    EndAllOf {
        /// Whose.
        operator: OperatorId,
        /// Which kinds.
        kinds: &'static [AccessKind],
        /// When.
        at: Timestamp,
    },
}

/// A change of accounts in other systems. The record is the order to whoever carries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountChange {
    /// A new one.
    Create(Account),
    /// The whole record as it is from now on; tenant, identifier, provisioner and name stay, and the version never falls.
    Update(Account),
}

impl AccountChange {
    /// The record as it is from now on.
    pub fn account(&self) -> &Account {
        match self {
            Self::Create(account) | Self::Update(account) => account,
        }
    }
}

/// A change of what is remembered to recognise a repeated request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryChange {
    /// A management request was carried out.
    Request(Remembered),
    /// A machine used a nonce.
    Nonce {
        /// Whose.
        key: KeyFingerprint,
        /// Which it has used by now.
        used: UsedNonces,
    },
    /// Something that is counted failed, or is counted from the beginning again.
    Failures {
        /// MAC over what is counted.
        key: [u8; 32],
        /// How often, from now on.
        failures: Failures,
    },
    /// An agent was started, or two hold its key.
    Boots {
        /// Which key.
        key: KeyFingerprint,
        /// The lives it was shown in.
        boots: Boots,
    },
}

/// A management request that was carried out, so that its repetition gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// MAC over the caller and its idempotency key.
    pub key: [u8; 32],
    /// MAC over what was asked.
    pub request: [u8; 32],
    /// The identifier of what was made, in text form.
    pub object: String,
    /// When.
    pub at: Timestamp,
}

impl<O> Plan<O> {
    /// Nothing is to be written.
    pub fn unchanged(outcome: O) -> Self {
        Self { outcome, changes: Vec::new(), entries: Vec::new() }
    }

    /// These changes, told by this entry.
    pub fn new(outcome: O, changes: Vec<Change>, entry: Entry) -> Self {
        Self { outcome, changes, entries: vec![entry] }
    }

    /// The same plan with one more change told by its entries.
    pub fn and(mut self, change: impl Into<Change>) -> Self {
        assert!(!self.entries.is_empty(), "a plan that is told by no entry takes no change");
        self.changes.push(change.into());
        self
    }

    /// The same plan with one more entry.
    pub fn also_told_by(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// The same plan, whose first entry says this too.
    pub fn saying(mut self, name: &'static str, value: String) -> Self {
        if let Some(entry) = self.entries.first_mut() {
            entry.detail.push((name, value));
        }
        self
    }

    /// What the caller is told.
    pub fn outcome(&self) -> &O {
        &self.outcome
    }

    /// What is written, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What is told in the audit log, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there is nothing to write.
    pub fn is_unchanged(&self) -> bool {
        self.changes.is_empty() && self.entries.is_empty()
    }

    /// Takes the outcome out, with the changes for whoever acts on them after the commit.
    pub fn into_parts(self) -> (O, Vec<Change>) {
        (self.outcome, self.changes)
    }

    /// The same plan with another outcome.
    pub fn map<P>(self, f: impl FnOnce(O) -> P) -> Plan<P> {
        Plan { outcome: f(self.outcome), changes: self.changes, entries: self.entries }
    }
}

macro_rules! into_change {
    ($($variant:ident($part:ty)),+ $(,)?) => {$(
        impl From<$part> for Change {
            fn from(change: $part) -> Self {
                Self::$variant(change)
            }
        }
    )+};
}

into_change! {
    Deployment(DeploymentChange), Tenant(TenantChange), Site(SiteChange), Grant(GrantChange), Machine(MachineChange), Key(KeyChange),
    Hold(HoldChange), Credential(CredentialChange), Agent(AgentChange),
    Access(AccessChange), Account(AccountChange), Memory(MemoryChange),
}

/// Who asks for a management act, and what identifiers were drawn for it.
#[derive(Debug, Clone)]
pub struct Context {
    /// The tenant it happens in.
    pub tenant: TenantId,
    /// Who asks.
    pub actor: muster_model::Actor,
    /// From where.
    pub source: Option<std::net::IpAddr>,
    /// When.
    pub now: Timestamp,
    /// For its audit entry.
    pub entry: muster_model::AuditId,
}

impl Context {
    /// Tells an act.
    pub fn entry(&self, action: &'static str, object: muster_model::Object, reason: &'static str) -> Entry {
        Entry {
            id: self.entry,
            tenant: self.tenant,
            at: self.now,
            actor: self.actor,
            action,
            object,
            reason: muster_model::Reason(reason),
            source: self.source,
            detail: Vec::new(),
        }
    }
}

//! The nouns of Muster: typed identifiers, names, secrets, keys, and the states things can be in.
//!
//! Owns what a value may look like and which states exist. It never reads a clock, draws a random number,
//! talks to anything or knows how a value is written on a wire or in a table: those enter as values from outside.
//!
//! Invariant: a value of one of these types is well formed; whoever holds one need not check it again.

pub mod access;
pub mod account;
pub mod agent;
mod alarm;
pub mod audit;
pub mod ca;
pub mod cidr;
pub mod claim;
pub mod credential;
pub mod deployment;
pub mod engagement;
pub mod grant;
pub mod hold;
pub mod id;
pub mod imported;
pub mod key;
pub mod machine;
pub mod password;
pub mod payload_key;
pub mod pulse;
pub mod refusal;
pub mod search;
pub mod second_factor;
pub mod secret;
pub mod site;
pub mod text;

pub use access::{
    AccessKind, AccessToken, Entrance, Operator, OperatorRole, Scope, Scopes, TokenScope, folded,
};
pub use account::{Account, Delivery, Mishap, MishapKind, Passphrase, Provenance, Wanted};
pub use agent::{AgentRole, EngagementVersion, Nick, SoftwareAgent};
pub use alarm::{Alarm, Evidence};
pub use audit::{Actor, Entry, Object, Reason};
pub use ca::{Ca, CaPhase};
pub use cidr::{Cidr, CidrError, masked};
pub use claim::{Claim, Entitlement, network};
pub use credential::{Credential, CredentialKind, CredentialState, EndReason, Minted};
pub use deployment::{Deployment, EntryPlace, Gap, Replica};
pub use engagement::Engagement;
pub use grant::{Binding, Grant, GrantKind, GrantState, Uses};
pub use hold::{Claimant, Hold, HoldReason, HoldState};
pub use id::{
    AccessTokenId, AccountId, AuditId, CredentialId, DeploymentId, GrantId, HoldId, IncarnationId, MachineId,
    OperatorId, ReplicaId, SiteId, TenantId,
};
pub use imported::{ImportedHash, ImportedHashError};
pub use jiff::{SignedDuration, Timestamp};
pub use key::{KeyAlgorithm, KeyFingerprint, KeyRecord, KeyStanding, PublicKey};
pub use machine::{
    Active, Lineage, Machine, MachineKind, MachineState, Pending, Presence, RetireCause, Retired,
    SuspendCause, Suspended, UNDONE_FOR,
};
pub use password::{Password, PasswordError, PasswordHash};
pub use payload_key::PayloadKey;
pub use pulse::{Counted, Expiring, Expiry, Present, Pulse, VersionUse};
pub use refusal::Refusal;
pub use search::{Search, SearchError};
pub use secret::{Pepper, Secret, SecretForm, SecretHash, SecretId, SecretKind, Verifier};
pub use site::{EnrollmentKey, ReimagePolicy, Site, SiteUse, Tenant};
pub use text::{
    AccountName, Attributes, HardwareId, Hostname, Labels, MachineName, MethodName, MishapText,
    ProvisionerName, ReasonText, Role, SiteCode, Skill, Team, TextError,
};

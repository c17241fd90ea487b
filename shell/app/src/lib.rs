//! The use cases of Muster: a whole enrollment runs here without HTTP and without SQL.
//!
//! Each use case fetches for a door, settles a decision, mints outside any transaction, settles the confirmation, and
//! then acts on what was committed: persist first, then speak. It knows ports only: the store, the clock and the
//! generator enter from outside. It decides nothing that `lifecycle` could decide.

mod access;
mod act;
mod agent;
mod alarm;
mod api_key;
mod around;
mod audit;
mod authenticate;
mod bearer;
mod beats;
mod ca;
mod caller;
mod certify;
mod channel;
mod collect;
mod contest;
mod cursor;
mod effects;
mod ending;
mod enroll;
mod error;
mod fork;
mod found;
mod grant;
mod hold;
mod imported;
mod introspect;
mod kdf;
mod keyless;
mod machine;
mod mark;
mod mint;
mod mode;
mod nonce;
mod operator;
mod order;
mod overview;
mod password;
mod ports;
mod presence;
mod provision;
mod pulse;
mod readmit;
mod reaper;
mod refusals;
mod renew;
mod replica;
mod restore;
mod rotate;
mod search;
mod second_factor;
mod session;
mod settings;
mod site;
mod status;
mod token;
mod views;

use std::sync::{Arc, Mutex, OnceLock};

use muster_issuer::Authority;
use muster_model::{Ca, PayloadKey, Pepper, ReplicaId, TenantId, Timestamp};
pub use muster_store::{Store, StoreError};

pub use agent::{AgentSeen, RegisteredAgent, WishedAgent};
pub use api_key::ConfinedToken;
pub use authenticate::{SignedCall, Verified};
pub use caller::{Action, Caller, MachineCaller, OperatorCaller, Origin, Proof};
pub use error::Error;
pub use found::{FoundError, Founded, found};
pub use introspect::Introspected;
pub use keyless::KeylessClaim;
pub use mark::{Mark, MarkError};
pub use mode::{Acceptance, Mode};
/// What becomes of an order, as a connector tells it.
pub use muster_lifecycle::account::Outcome as Delivered;
/// Which machines have accounts in other systems without anybody ordering them.
pub use muster_lifecycle::account::Rule as AccountRule;
pub use muster_lifecycle::ca::Step as CaStep;
/// How long silence may last.
pub use muster_lifecycle::reap::Patience;
pub use muster_lifecycle::rotate::Right;
pub use nonce::Nonces;
pub use ports::Ports;
pub use presence::{Channel, ChannelOrder, Registry};
pub use provision::{Doing, Found, Order, Provisioner, Provisioners, Round};
pub use reaper::Reaped;
pub use session::{Registered, Session};
pub use settings::{AgentSettings, Settings};
pub use site::{SiteGeneration, SiteRef};

/// The use cases over one store and one authority. Cheap to clone.
pub struct App<S> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    store: S,
    authority: ca::Present,
    pepper: Pepper,
    /// Signs engagements for verifiers of an older kind.
    payload_key: PayloadKey,
    ports: Box<dyn Ports>,
    settings: Settings,
    tenant: TenantId,
    started_at: Timestamp,
    /// This server among those on the same store.
    replica: ReplicaId,
    watch: mode::Watch,
    /// Machines with a channel here that are still to be told to change their key.
    urged: Mutex<std::collections::BTreeMap<muster_model::MachineId, muster_model::TenantId>>,
    registry: Registry,
    refusals: refusals::RefusalLog,
    pulses: pulse::PulseLog,
    walks: overview::Walks,
    nonces: Nonces,
    kdf: kdf::Kdf,
    /// For passwords: whoever floods the door of keys holds up nobody who logs in.
    passwords: kdf::Kdf,
    contests: contest::Contests,
    reaper: reaper::Reaper,
    /// The connectors to other systems, once they are given.
    provisioners: OnceLock<Provisioners>,
}

/// What an [`App`] is made of.
pub struct Parts<S> {
    /// Where everything is kept.
    pub store: S,
    /// Who certifies.
    pub authority: Authority,
    /// Hashes secrets.
    pub pepper: Pepper,
    /// The clock and the generator.
    pub ports: Box<dyn Ports>,
    /// What the operator configured.
    pub settings: Settings,
    /// The tenant whose operators reach this deployment.
    pub tenant: TenantId,
}

impl<S> Clone for App<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: Store> App<S> {
    /// Puts the parts together.
    pub fn new(parts: Parts<S>) -> Self {
        let Parts { store, authority, pepper, ports, settings, tenant } = parts;
        let started_at = ports.now();
        let nonces = Nonces::new(pepper.clone());
        let payload_key = settings.agents.payload_key.clone().unwrap_or_else(|| PayloadKey::of(&pepper));
        let replica = ports::draw!(&*ports);
        let inner = Inner {
            store,
            authority: ca::Present::new(authority),
            urged: Mutex::default(),
            pepper,
            payload_key,
            ports,
            settings,
            tenant,
            started_at,
            replica,
            watch: mode::Watch::default(),
            registry: Registry::default(),
            refusals: refusals::RefusalLog::default(),
            pulses: pulse::PulseLog::default(),
            walks: overview::Walks::default(),
            nonces,
            kdf: kdf::Kdf::new("muster_imported_key_checks_total"),
            passwords: kdf::Kdf::new("muster_password_hashes_total"),
            contests: contest::Contests::default(),
            reaper: reaper::Reaper::default(),
            provisioners: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The store beneath.
    pub fn store(&self) -> &S {
        &self.inner.store
    }

    /// Who certifies.
    pub fn authority(&self) -> Arc<Authority> {
        self.inner.authority.load()
    }

    /// Where the change of the authority stands, as far as this server has heard.
    pub fn ca(&self) -> Ca {
        self.authority().ca().clone()
    }

    /// Who holds a channel.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// What the operator configured.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// When this server started.
    pub fn started_at(&self) -> Timestamp {
        self.inner.started_at
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.inner.ports.now()
    }
}

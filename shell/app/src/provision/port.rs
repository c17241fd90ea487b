//! What the use cases ask of a connector to another system.
//!
//! An [`Order`] says what is wanted, whole: carrying it out twice is the same as once, and a connector keeps nothing between
//! two orders. A connector never changes an account that is not ours: one that an order does not call
//! [`ours`](Order::ours) it may make, and otherwise recognises by a passphrase that Muster gave it, or leaves alone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use muster_lifecycle::account::{Outcome, Rule};
use muster_model::{
    AccountId, AccountName, MachineId, Mishap, Passphrase, ProvisionerName, Timestamp, Wanted,
};
use tokio::sync::Mutex;

/// Something that a connector does.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connector to another system.
pub trait Provisioner: Send + Sync + 'static {
    /// Brings the account there to what is wanted.
    fn deliver<'a>(&'a self, order: &'a Order) -> Doing<'a, Outcome>;

    /// Looks whether it is as it is wanted. Changes nothing.
    fn look<'a>(&'a self, order: &'a Order) -> Doing<'a, Result<Found, Mishap>>;
}

/// What is wanted of one account.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which.
    pub account: AccountId,
    /// Whose.
    pub machine: MachineId,
    /// What it is called there.
    pub name: AccountName,
    /// What is to be there.
    pub wanted: Wanted,
    /// The version of the wish.
    pub version: u32,
    /// Whether the account there is known to be ours.
    pub ours: bool,
    /// Its passphrase.
    pub passphrase: Passphrase,
    /// Passphrases it may have from orders whose answers were lost, the newest first.
    pub earlier: Vec<Passphrase>,
    /// A passphrase that nobody has: whoever sets it locks the account.
    pub nobodys: Passphrase,
    /// When it was given.
    pub at: Timestamp,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is as it is wanted.
    AsWanted,
    /// It is not: this, in a word.
    Otherwise(&'static str),
    /// The other system does not tell.
    Untold,
}

/// The connectors, by the names that they have in the configuration. Of several accounts, the passphrase of the first
/// one here is what a software agent is told.
#[derive(Clone, Default)]
pub struct Provisioners(Vec<Served>);

#[derive(Clone)]
struct Served {
    name: ProvisionerName,
    connector: Arc<dyn Provisioner>,
    attempts: u32,
    rule: Option<Rule>,
    turn: Arc<Mutex<()>>,
}

impl Provisioners {
    /// One more. After `attempts` tries in vain an account of it waits for an operator.
    #[must_use]
    pub fn with(mut self, name: ProvisionerName, connector: Arc<dyn Provisioner>, attempts: u32) -> Self {
        self.0.push(Served { name, connector, attempts, rule: None, turn: Arc::default() });
        self
    }

    /// Gives machines accounts without anybody ordering them.
    #[must_use]
    pub fn ruled(mut self, rule: Rule) -> Self {
        for served in self.0.iter_mut().filter(|served| served.name == rule.provisioner) {
            served.rule = Some(rule.clone());
        }
        self
    }

    /// The connector of that name.
    pub fn get(&self, name: &ProvisionerName) -> Option<&Arc<dyn Provisioner>> {
        self.served(name).map(|served| &served.connector)
    }

    /// Held by whoever asks the connector of that name for something: it is asked for one thing at a time.
    pub(crate) fn turn(&self, name: &ProvisionerName) -> Arc<Mutex<()>> {
        self.served(name).map(|served| Arc::clone(&served.turn)).unwrap_or_default()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &ProvisionerName> {
        self.0.iter().map(|served| &served.name)
    }

    /// Which machines have accounts without anybody ordering them.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter().filter_map(|served| served.rule.as_ref())
    }

    /// After how many tries in vain an account of it waits for an operator.
    pub(crate) fn attempts(&self, name: &ProvisionerName) -> u32 {
        self.served(name).map_or(u32::MAX, |served| served.attempts)
    }

    fn served(&self, name: &ProvisionerName) -> Option<&Served> {
        self.0.iter().find(|served| served.name == *name)
    }
}

impl std::fmt::Debug for Provisioners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

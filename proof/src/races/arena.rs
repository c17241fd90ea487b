//! Three replicas on one store, and clients that start at the same moment.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use muster_app::{App, Caller, Error, Founded, Origin, Parts, Ports, Settings};
use muster_model::{MachineState, Pepper, TenantId};
use muster_store::{AuditFilter, AuditRecord, Lists, MachineFilter, MachineRow, PageRequest, Store};
use muster_testkit::world::{Device, FixedPorts};
use muster_testkit::{FixedClock, Ids};
use muster_wire::enroll::{EnrollAnswer, EnrollRequest, Enrolled, Held};
use muster_wire::grant::{CreateGrant, CreatedGrant};
use sha2::{Digest, Sha256};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::ground::{Ground, settle};

/// What did not hold.
pub(crate) type Fault = String;

/// Fails the round where this does not hold.
macro_rules! ensure {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(format!($($said)+));
        }
    };
}
pub(crate) use ensure;

/// Three replicas on one store, with a tenant of their own.
pub(crate) struct Arena<S> {
    apps: Vec<App<S>>,
    founded: Founded,
    pub(crate) clock: FixedClock,
    run: u64,
}

/// What became of a request to enroll.
pub(crate) enum Asked {
    In(Box<Enrolled>),
    Held(Held),
    Refused(&'static str),
}

impl<S: Store> Arena<S> {
    /// A new tenant on a store that may hold others. No two runs share a number.
    pub(crate) async fn new(stores: &[S], ground: &Ground, run: u64) -> Result<Self, Fault> {
        let clock = FixedClock::default();
        let ids = Arc::new(Ids::after(run << 24));
        let ports: &dyn Ports = &FixedPorts::new(clock.clone(), Arc::clone(&ids));
        let founded =
            settle(&stores[0], ports, &format!("run-{run}")).await.map_err(|error| format!("{error:?}"))?;
        let app = |store: &S| {
            App::new(Parts {
                store: store.clone(),
                authority: ground.authority(),
                pepper: Pepper::new([7; 32]),
                ports: Box::new(FixedPorts::new(clock.clone(), Arc::clone(&ids))),
                settings: Settings { hold_cap: 1_000_000, ..Settings::at("https://muster.test:8443") },
                tenant: founded.tenant,
            })
        };
        let apps = stores.iter().map(app).collect();
        Ok(Self { apps, founded, clock, run })
    }

    /// Whose machines these are.
    pub(crate) fn tenant(&self) -> TenantId {
        self.founded.tenant
    }

    /// The replica that a client reaches.
    pub(crate) fn replica(&self, client: usize) -> &App<S> {
        &self.apps[client % self.apps.len()]
    }

    /// Lets so many clients act at the same moment, each at a replica, and gives what they got.
    pub(crate) async fn all<T, F>(&self, clients: usize, act: impl Fn(App<S>, usize) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let start = Arc::new(Barrier::new(clients));
        let mut set = JoinSet::new();
        for client in 0..clients {
            let (start, acting) = (Arc::clone(&start), act(self.replica(client).clone(), client));
            set.spawn(async move {
                start.wait().await;
                (client, acting.await)
            });
        }
        let mut got = BTreeMap::new();
        while let Some(done) = set.join_next().await {
            let (client, value) = done.expect("a client does not panic");
            got.insert(client, value);
        }
        got.into_values().collect()
    }

    /// The admin at the local socket of any replica.
    pub(crate) fn admin(&self) -> Origin {
        Origin { caller: self.apps[0].local_admin(self.founded.admin), source: None }
    }

    /// A machine of that number: a key and hardware of its own.
    pub(crate) fn device(&self, number: usize) -> Device {
        let mut hash = Sha256::new_with_prefix(b"race");
        hash.update(self.run.to_be_bytes());
        hash.update(number.to_be_bytes());
        let name = format!("race-{}-{number:05}", self.run);
        Device::seeded(hash.finalize().into(), &name)
    }

    /// A new grant of the first site, with these uses.
    pub(crate) async fn grant(&self, uses: u32, approval: bool) -> Result<CreatedGrant, Fault> {
        self.grant_at("default", uses, approval).await
    }

    pub(crate) async fn grant_at(
        &self,
        site: &str,
        uses: u32,
        approval: bool,
    ) -> Result<CreatedGrant, Fault> {
        let new =
            CreateGrant { site: Some(site.to_owned()), uses: Some(uses), approval, ..CreateGrant::default() };
        self.apps[0]
            .create_grant(new, None, &self.admin())
            .await
            .map_err(|error| fault("make a grant", &error))
    }

    /// Lets clients ask to enroll at the same moment, each by a request of its own.
    pub(crate) async fn enroll(
        &self,
        clients: usize,
        request: impl Fn(usize) -> EnrollRequest,
    ) -> Result<Vec<Asked>, Fault> {
        let results = self.all(clients, |app, client| ask(app, request(client))).await;
        results.into_iter().collect()
    }

    /// Every machine.
    pub(crate) async fn machines(&self) -> Result<Vec<MachineRow>, Fault> {
        let page = PageRequest { after: None, limit: 10_000 };
        let mut reads = self.reader().await?;
        let listed = reads.machines(self.founded.tenant, &MachineFilter::default(), page).await;
        listed.map(|listed| listed.items).map_err(|error| format!("list machines: {error:?}"))
    }

    /// Entries of what was done, the oldest first: refusals left out.
    pub(crate) async fn done(&self) -> Result<Vec<AuditRecord>, Fault> {
        let filter = AuditFilter { after: Some(0), limit: 100_000, ..AuditFilter::default() };
        let mut reads = self.reader().await?;
        let told = reads.audit(self.founded.tenant, &filter).await;
        let mut told = told.map_err(|error| format!("read the log: {error:?}"))?;
        told.retain(|entry| entry.detail.get("outcome").is_none_or(|outcome| outcome != "refused"));
        Ok(told)
    }

    async fn reader(&self) -> Result<S::Reader, Fault> {
        self.apps[0].store().reader().await.map_err(|error| format!("read: {error:?}"))
    }

    /// What must hold after any race: no two live machines share hardware, no two machines a key, and whatever happens
    /// once is told once.
    pub(crate) async fn sound(&self) -> Result<(), Fault> {
        let machines = self.machines().await?;
        let live = machines.iter().filter(|row| !matches!(row.machine.state, MachineState::Retired(_)));
        once(live.filter_map(|row| row.machine.hardware_id.clone()), "live machines of the same hardware")?;
        once(machines.iter().filter_map(|row| row.machine.key), "machines of the same key")?;
        let done = self.done().await?;
        let told = done.iter().filter(|entry| ONCE.contains(&entry.action.as_str()));
        once(told.map(|entry| (entry.action.clone(), entry.object.clone())), "entries of the same act")?;
        let named = |row: &&MachineRow| {
            let id = row.machine.id.to_string();
            done.iter().any(|entry| entry.object == id || entry.detail.get("machine") == Some(&id))
        };
        let untold = machines.iter().find(|row| !named(row));
        ensure!(untold.is_none(), "a machine that no entry tells of: {untold:?}");
        Ok(())
    }
}

/// Acts that happen to an object once.
const ONCE: [&str; 8] = [
    "machine.enroll",
    "machine.create",
    "credential.issue",
    "hold.open",
    "hold.approve",
    "hold.reject",
    "grant.create",
    "site.create",
];

fn once<T: Ord + std::fmt::Debug>(all: impl Iterator<Item = T>, what: &str) -> Result<(), Fault> {
    let mut counts = BTreeMap::new();
    all.for_each(|one| *counts.entry(one).or_insert(0_u32) += 1);
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    ensure!(twice.is_empty(), "{what}: {twice:?}");
    Ok(())
}

/// Tells an error that has no place in a race.
pub(crate) fn fault(what: &str, error: &Error) -> Fault {
    format!("{what}: {error:?}")
}

/// Asks to enroll. An answer or a refusal is fine; anything else is not.
pub(crate) async fn ask<S: Store>(app: App<S>, request: EnrollRequest) -> Result<Asked, Fault> {
    let stranger = Origin { caller: Caller::Anonymous, source: Some([192, 0, 2, 7].into()) };
    match app.enroll(request, &stranger).await {
        Ok(EnrollAnswer::Enrolled(enrolled) | EnrollAnswer::Same(enrolled)) => Ok(Asked::In(enrolled)),
        Ok(EnrollAnswer::Held(held)) => Ok(Asked::Held(held)),
        Err(Error::Refused(refusal)) => Ok(Asked::Refused(refusal.code())),
        Err(error) => Err(fault("enroll", &error)),
    }
}

/// How many were let in, held, and refused; and the one reason for which they were held or refused.
pub(crate) struct Tally {
    pub(crate) inside: Vec<Enrolled>,
    pub(crate) held: usize,
    pub(crate) refused: usize,
    pub(crate) reasons: Vec<String>,
}

pub(crate) fn tally(asked: Vec<Asked>) -> Tally {
    let mut tally = Tally { inside: Vec::new(), held: 0, refused: 0, reasons: Vec::new() };
    for asked in asked {
        match asked {
            Asked::In(enrolled) => tally.inside.push(*enrolled),
            Asked::Held(held) => {
                tally.held += 1;
                tally.reasons.push(held.reason);
            }
            Asked::Refused(code) => {
                tally.refused += 1;
                tally.reasons.push(code.to_owned());
            }
        }
    }
    tally.reasons.sort_unstable();
    tally.reasons.dedup();
    tally
}

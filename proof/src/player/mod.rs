//! One who carries out operations over a store, by the use cases, with a clock and a generator of its own.
//!
//! Two players with the same number of a run draw the same identifiers in the same order and see the same time, as long as
//! their stores answer the same. What an operation works on is picked from what earlier ones were answered.

mod access;
mod enroll;
mod look;
mod machine;
mod manage;

use std::net::IpAddr;
use std::sync::Arc;

use muster_app::{App, Channel, Error, Founded, MachineCaller, Origin, Parts, Ports, Settings};
use muster_model::{
    AccessTokenId, CredentialId, GrantId, HoldId, MachineId, Pepper, ReplicaId, SignedDuration, Timestamp,
};
use muster_store::{Joining, Prune, SettleError, Store, StoreError};
use muster_testkit::world::{Device, FixedPorts};
use muster_testkit::{FixedClock, Ids};
use muster_wire::enroll::EnrollRequest;
use sha2::{Digest, Sha256};

use crate::ground::{Ground, settle};
use crate::op::{Kind, Op};
use crate::plain::Answer;
use crate::spy::Spied;
use look::Cursor;
use manage::Marked;

/// So many machines stand at the doors, and so many pieces of hardware.
const KEYS: u8 = 6;
const HARDWARE: u8 = 4;
/// Where machines reach the deployment.
const URL: &str = "https://muster.test:8443";
/// More identifiers than any sequence draws.
const DRAWS: u64 = 1 << 24;

/// One who carries out operations.
pub(crate) struct Player<S: Store> {
    app: App<Spied<S>>,
    store: Spied<S>,
    clock: FixedClock,
    ids: Arc<Ids>,
    founded: Founded,
    ground: Arc<Ground>,
    run: u64,
    memory: Memory,
}

/// What earlier operations were answered.
#[derive(Default)]
struct Memory {
    grants: Vec<(GrantId, String)>,
    site_keys: Vec<String>,
    invites: Vec<String>,
    asked: Vec<EnrollRequest>,
    /// With the number of the key that waits.
    holds: Vec<(HoldId, Option<u8>)>,
    machines: Vec<MachineId>,
    credentials: Vec<(MachineId, CredentialId)>,
    certificates: Vec<Vec<u8>>,
    /// Keys that were let in.
    keys: Vec<u8>,
    bearers: Vec<String>,
    tokens: Vec<AccessTokenId>,
    secrets: Vec<String>,
    links: Vec<String>,
    marked: Vec<(String, Marked)>,
    cursors: Vec<Cursor>,
    channels: Vec<Channel>,
    /// Places and objects that the audit log told of.
    places: Vec<u64>,
    objects: Vec<String>,
}

/// The element at a place that counts round.
fn pick<T>(list: &[T], at: u8) -> Option<&T> {
    list.get(usize::from(at).checked_rem(list.len())?)
}

/// Makes a store ready for players: it is joined once, however many use it.
///
/// # Errors
/// What the store says.
pub(crate) async fn join<S: Store>(store: &S, replica: u8) -> Result<(), StoreError> {
    let replica = ReplicaId::new(1, [replica; 10]);
    let now = FixedClock::default().now();
    store.join(Joining { replica, version: "proof".to_owned(), now }).await
}

/// Deletes requests and tokens that are older than this. What replicas say of themselves goes by the clock of the store,
/// which is not the one here: nothing of that is old.
async fn prune<S: Store>(store: &S, requests: Timestamp, access: Timestamp) -> Result<u64, StoreError> {
    let fence = store.lease("expiry", SignedDuration::from_secs(30)).await?;
    let prune = Prune {
        remembered_before: requests,
        access_before: access,
        replicas_before: Timestamp::UNIX_EPOCH,
        pulses_before: Timestamp::UNIX_EPOCH,
        limit: 1_000_000,
    };
    match fence {
        Some(fence) => store.prune(fence, prune).await,
        None => Ok(0),
    }
}

impl<S: Store> Player<S> {
    /// One with a tenant of its own on a store that may hold anything. Runs are numbered from 1; no two on a store share
    /// a number.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn new(store: S, ground: &Arc<Ground>, run: u64) -> Result<Self, SettleError> {
        // Where several share a store, the presence of those counts who said a moment ago that they are alive.
        store.alive(0).await?;
        // What runs before this one left behind would be counted among what is old.
        prune(&store, Timestamp::MAX, Timestamp::MAX).await?;
        let store = Spied::new(store);
        let clock = FixedClock::default();
        let ids = Arc::new(Ids::after(run * DRAWS));
        let ports: &dyn Ports = &FixedPorts::new(clock.clone(), Arc::clone(&ids));
        let founded = settle(&store, ports, &format!("run-{run}")).await?;
        let app = assemble(&store, ground, &clock, &ids, founded);
        let ground = Arc::clone(ground);
        let mut player = Self { app, store, clock, ids, founded, ground, run, memory: Memory::default() };
        player.begin().await;
        Ok(player)
    }

    /// Something to begin with: tokens, a machine with its channel, a client without a key, one who waits.
    async fn begin(&mut self) {
        let steps = [
            (Kind::CreateGrant, [0, 1, 1]),
            (Kind::CreateGrant, [0, 5, 2]),
            (Kind::CreateGrant, [0, 44, 1]),
            (Kind::RotateKey, [0; 3]),
            (Kind::CreateMachine, [0, 5, 1]),
            (Kind::CreateToken, [1; 3]),
            (Kind::LoginLink, [0; 3]),
            (Kind::EnrollByToken, [0, 0, 1]),
            (Kind::EnrollByToken, [1 + KEYS, 2, 1]),
            (Kind::EnrollKeyless, [2 + 2 * KEYS, 0, 1]),
            (Kind::Connect, [0; 3]),
            (Kind::ListAudit, [1, 0, 0]),
        ];
        for (kind, with) in steps {
            self.perform(Op { kind, with }).await;
        }
    }

    /// Carries out an operation.
    pub(crate) async fn perform(&mut self, op: Op) -> Answer {
        let Op { kind, with } = op;
        let [a, _, _] = with;
        match kind {
            Kind::EnrollByToken
            | Kind::EnrollBySiteKey
            | Kind::EnrollByRequest
            | Kind::EnrollByInvite
            | Kind::EnrollKeyless
            | Kind::EnrollAgain
            | Kind::Rekey
            | Kind::EnrollWrongly
            | Kind::Collect => self.enrolling(kind, with).await,
            Kind::CreateGrant
            | Kind::RevokeGrant
            | Kind::RotateKey
            | Kind::CreateSite
            | Kind::CreateMachine
            | Kind::Approve
            | Kind::Reject
            | Kind::Repeat
            | Kind::Mismatch
            | Kind::CreateToken => self.managing(kind, with).await,
            Kind::Renew
            | Kind::RenewSigned
            | Kind::Leave
            | Kind::MachineToken
            | Kind::UseBearer
            | Kind::Connect
            | Kind::Disconnect => self.as_machine(kind, with).await,
            Kind::Suspend
            | Kind::Resume
            | Kind::Retire
            | Kind::Revoke
            | Kind::RevokeOne
            | Kind::RevokeDry
            | Kind::OrderRenewal => self.on_machine(kind, with).await,
            Kind::RevokeToken | Kind::UseToken | Kind::LoginLink | Kind::Login | Kind::Logout => {
                self.accessing(kind, with).await
            }
            Kind::ListMachines
            | Kind::ListSites
            | Kind::ListGrants
            | Kind::ListHolds
            | Kind::ListTokens
            | Kind::ListAudit
            | Kind::NextPage
            | Kind::ShowMachine
            | Kind::ShowHold
            | Kind::Status => self.looking(kind, with).await,
            Kind::Pass => self.pass(a),
            Kind::Restart => self.restart(),
            Kind::Flush => self.flush().await,
            Kind::Prune => self.prune(a).await,
        }
    }

    /// The store, and what went through it.
    pub(crate) fn store(&self) -> &Spied<S> {
        &self.store
    }

    /// What was founded for it.
    pub(crate) fn founded(&self) -> Founded {
        self.founded
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A machine at the door: its key, its hardware if it tells any, and by what name.
    fn device(&self, key: u8, hardware: Option<u8>, name: u8) -> Device {
        let mut hash = Sha256::new_with_prefix(b"proof");
        hash.update(self.run.to_be_bytes());
        hash.update([key]);
        let hostname = match hardware {
            Some(hardware) if name == 0 => format!("host{hardware}.example"),
            Some(_) | None => format!("other-{key}"),
        };
        let hardware_id = hardware.map(|hardware| format!("hw_{}_{hardware:04}", self.run));
        Device { hardware_id, hostname, ..Device::seeded(hash.finalize().into(), "proof") }
    }

    /// The machine that a number stands for, and the number of its key.
    fn who(&self, number: u8) -> (u8, Device) {
        let (key, rest) = (number % KEYS, number / KEYS);
        let hardware = Some(rest % (HARDWARE + 1)).filter(|hardware| *hardware < HARDWARE);
        (key, self.device(key, hardware, rest / (HARDWARE + 1) % 3 / 2))
    }

    fn admin(&self) -> Origin {
        Origin { caller: self.app.local_admin(self.founded.admin), source: None }
    }

    /// Somebody at one of a few addresses of the documentation (RFC 5737).
    fn stranger(&self, number: u8) -> Origin {
        Origin { caller: muster_app::Caller::Anonymous, source: Some(address(number)) }
    }

    fn machine_origin(&self, caller: MachineCaller) -> Origin {
        Origin { caller: muster_app::Caller::Machine(caller), source: Some(address(0)) }
    }

    fn pass(&self, number: u8) -> Answer {
        let steps = [
            SignedDuration::from_secs(1),
            SignedDuration::from_secs(61),
            SignedDuration::from_mins(31),
            SignedDuration::from_mins(61),
            SignedDuration::from_hours(13),
            SignedDuration::from_hours(25),
            SignedDuration::from_hours(8 * 24),
            SignedDuration::from_hours(31 * 24),
        ];
        self.clock.advance(steps[usize::from(number) % steps.len()]);
        Answer::done(&self.clock.now().to_string())
    }

    fn restart(&mut self) -> Answer {
        self.memory.channels.clear();
        self.app = assemble(&self.store, &self.ground, &self.clock, &self.ids, self.founded);
        Answer::done(&"restarted")
    }

    async fn flush(&self) -> Answer {
        self.app.flush_presence().await;
        self.app.flush_refusals().await;
        Answer::of(&self.app.note_pulse().await)
    }

    /// As a server does it every minute, or all that there is: then a request that is repeated is not recognised any more.
    async fn prune(&self, number: u8) -> Answer {
        let now = self.clock.now();
        let days = |days: i64| now - SignedDuration::from_hours(24 * days);
        let pruned = match number % 3 {
            0 => prune(&self.store, now, now).await,
            _ => prune(&self.store, days(7), days(30)).await,
        };
        Answer::of(&pruned.map_err(Error::from))
    }
}

fn address(number: u8) -> IpAddr {
    [192, 0, 2, number % 3].into()
}

fn assemble<S: Store>(
    store: &Spied<S>,
    ground: &Ground,
    clock: &FixedClock,
    ids: &Arc<Ids>,
    founded: Founded,
) -> App<Spied<S>> {
    App::new(Parts {
        store: store.clone(),
        authority: ground.authority(),
        pepper: Pepper::new([7; 32]),
        ports: Box::new(FixedPorts::new(clock.clone(), Arc::clone(ids))),
        settings: Settings { hold_cap: 3, ..Settings::at(URL) },
        tenant: founded.tenant,
    })
}

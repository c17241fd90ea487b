//! A whole deployment in one process: SQLite, an authority in a temporary directory, the use cases over both, and a
//! clock that stands still. Machines are [`Device`]s that made their keys themselves.
//!
//! A world may be started again over the same data, as a server is, its store can be told to fail, and further replicas
//! may work on it. [`World::over`] makes one over any other store.

mod board;
mod chain;
mod device;
mod faults;
mod ports;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use muster_app::{
    App, Caller, Error, Founded, MachineCaller, OperatorCaller, Origin, Parts, Settings, found,
};
use muster_issuer::{Authority, NewAuthority, SealKey};
use muster_model::{MachineId, OperatorRole, Pepper, Secret, SignedDuration};
use muster_store::Store;
use muster_wire::audit::{AuditEntry, AuditQuery};
use muster_wire::enroll::{EnrollAnswer, EnrollRequest, Enrolled, Held, IssuedCredential};
use muster_wire::grant::CreateGrant;
use muster_wire::machine::Machine;
use muster_wire::site::CreateSite;
use muster_wire::{ListQuery, machine};

pub use board::Seat;
pub use chain::leaf;
pub use device::{Device, Signed};
pub use faults::{Faults, FaultyStore, Gate};
pub use ports::FixedPorts;

use crate::{FixedClock, Ids};

/// Where machines reach a world.
pub const URL: &str = "https://muster.test:8443";

/// A whole deployment in one process.
pub struct World<S: Store = FaultyStore> {
    /// The use cases.
    pub app: App<S>,
    /// The clock that they see.
    pub clock: FixedClock,
    /// The first tenant and its admin.
    pub founded: Founded,
    store: S,
    ids: Arc<Ids>,
    settings: Settings,
    home: tempfile::TempDir,
}

impl World {
    /// A deployment with one site that asks nobody, at noon of 1 November 2026.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(FixedClock::default(), change).await
    }

    /// The same by a clock that the test chose: TLS libraries go by the real one.
    pub async fn on(clock: FixedClock, change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(FaultyStore::in_memory(), clock, change).await
    }

    /// Another replica on the same store: it joined, and hears of what the others commit.
    pub async fn replica(&self) -> App<FaultyStore> {
        self.replica_on(self.store.replica()).await
    }

    /// What the store is told to do wrong.
    pub fn faults(&self) -> &Faults {
        self.store.faults()
    }

    /// How many transactions that wrote something were committed.
    pub fn writes(&self) -> u64 {
        self.store.writes()
    }
}

impl<S: Store> World<S> {
    /// A deployment over a store that nothing was founded on yet.
    pub async fn over(store: S, clock: FixedClock, change: impl FnOnce(&mut Settings)) -> Self {
        let private = std::fs::Permissions::from_mode(0o700);
        let home = tempfile::Builder::new().permissions(private).tempdir().expect("a temporary directory");
        let ids = Arc::new(Ids::default());
        let new =
            NewAuthority { trust_domain: "fleet.test".parse().expect("a trust domain"), now: clock.now() };
        let authority =
            Authority::create(&home.path().join("ca"), &SealKey::Beside, &new).expect("an authority");
        let mut settings = Settings::at(URL);
        change(&mut settings);
        let ports = FixedPorts::new(clock.clone(), Arc::clone(&ids));
        let founded =
            found(&store, &ports, &pepper(), settings.hold_cap).await.expect("a founded deployment");
        let app = assemble(store.clone(), authority, ports, settings.clone(), founded);
        app.join().await.expect("joined");
        Self { app, clock, founded, store, ids, settings, home }
    }

    /// The server stops without a word and starts again over the same data.
    pub async fn restart(&mut self) {
        self.app = self.another();
        self.app.join().await.expect("joined");
    }

    /// Another server over the same data, with nothing in memory, that has not joined.
    pub fn another(&self) -> App<S> {
        self.assembled(self.store.clone())
    }

    /// Another replica, on the same database by a store of its own. It joined.
    pub async fn replica_on(&self, store: S) -> App<S> {
        let app = self.assembled(store);
        app.join().await.expect("joined");
        app
    }

    /// Another server of the same data directory over another store, on which the deployment is founded first.
    pub async fn replica_over(&self, store: S) -> App<S> {
        let ports = FixedPorts::new(self.clock.clone(), Arc::clone(&self.ids));
        let founded = found(&store, &ports, &pepper(), self.settings.hold_cap).await.expect("founded");
        let authority = Authority::open(&self.ca_dir(), &SealKey::Beside).expect("the same authority");
        let app = assemble(store, authority, ports, self.settings.clone(), founded);
        app.join().await.expect("joined");
        app
    }

    fn assembled(&self, store: S) -> App<S> {
        let authority = Authority::open(&self.ca_dir(), &SealKey::Beside).expect("the same authority");
        let ports = FixedPorts::new(self.clock.clone(), Arc::clone(&self.ids));
        assemble(store, authority, ports, self.settings.clone(), self.founded)
    }

    /// Where the authority is.
    pub fn ca_dir(&self) -> PathBuf {
        self.home.path().join("ca")
    }

    /// The admin at the local socket.
    pub fn admin(&self) -> Origin {
        Origin { caller: self.app.local_admin(self.founded.admin), source: None }
    }

    /// The admin's account, with what a token of this role may do.
    pub fn operator(&self, role: OperatorRole) -> Origin {
        let Founded { tenant, admin, .. } = self.founded;
        let caller = OperatorCaller { tenant, operator: admin, token: None, role, local: false, scope: None };
        Origin { caller: Caller::Operator(caller), source: None }
    }

    /// Somebody who has shown nothing, at an address of the documentation (RFC 5737).
    pub fn stranger(&self) -> Origin {
        Origin { caller: Caller::Anonymous, source: Some([192, 0, 2, 7].into()) }
    }

    /// A new enrollment token.
    pub async fn token(&self, grant: CreateGrant) -> String {
        self.app.create_grant(grant, None, &self.admin()).await.expect("a grant").token
    }

    /// A new token for one machine.
    pub async fn one_time(&self) -> String {
        self.token(CreateGrant { site: Some("default".to_owned()), ..CreateGrant::default() }).await
    }

    /// A new site.
    pub async fn site(&self, code: &str, change: impl FnOnce(&mut CreateSite)) {
        let mut site =
            CreateSite { code: code.into(), approval: false, requests: true, reimage: None, seats: None };
        change(&mut site);
        self.app.create_site(site, None, &self.admin()).await.expect("a site");
    }

    /// Asks to enroll.
    ///
    /// # Errors
    /// Those of the use case.
    pub async fn ask(&self, request: EnrollRequest) -> Result<EnrollAnswer, Error> {
        self.app.enroll(request, &self.stranger()).await
    }

    /// Enrolls a device by a token of its own.
    pub async fn enroll(&self, device: &Device) -> Enrolled {
        let token = self.one_time().await;
        enrolled(self.ask(device.by_token(&token)).await.expect("let in"))
    }

    /// Tokens that open nothing, each for the cause that it is named by. A minute passes.
    pub async fn lapsed_tokens(&self) -> Vec<(&'static str, String)> {
        let admin = self.admin();
        let code = "default".parse().expect("a code");
        let brief = CreateGrant { expires_in: Some(60), uses: Some(0), ..CreateGrant::default() };
        let expired = self.token(brief).await;
        self.clock.advance(SignedDuration::from_secs(60));
        let spent = self.one_time().await;
        enrolled(self.ask(Device::new("spender").by_token(&spent)).await.expect("let in"));
        let revoked = self.app.create_grant(CreateGrant::default(), None, &admin).await.expect("a grant");
        let id = revoked.grant.id.parse().expect("a grant's identifier");
        self.app.revoke_grant(id, None, &admin).await.expect("revoked");
        let rotated = self.app.rotate_key(&code, None, &admin).await.expect("a key").key;
        self.app.rotate_key(&code, None, &admin).await.expect("the next key");
        let known: Secret = rotated.parse().expect("a secret");
        let wrong = Secret::new(known.kind(), known.id().0, [9; 32]).reveal();
        let unknown = Secret::new(known.kind(), [9; 10], [9; 32]).reveal();
        vec![
            ("grant_expired", expired),
            ("grant_spent", spent),
            ("grant_revoked", revoked.token),
            ("grant_rotated_out", rotated),
            ("secret_wrong", wrong),
            ("secret_unknown", unknown),
        ]
    }

    /// How the server sees an enrolled device that shows its certificate.
    ///
    /// # Errors
    /// Those of authenticating.
    pub async fn caller(&self, enrolled: &Enrolled) -> Result<MachineCaller, Error> {
        self.caller_by(&enrolled.credential, None).await
    }

    /// The same for one that shows this certificate and says that this key is in its durable slot.
    ///
    /// # Errors
    /// Those of authenticating.
    ///
    /// # Panics
    /// Where what came with it leads from the certificate to none of our roots: TLS lets nobody in with that.
    pub async fn caller_by(
        &self,
        credential: &IssuedCredential,
        base: Option<&Device>,
    ) -> Result<MachineCaller, Error> {
        let pem = credential.certificate.as_deref().expect("a certificate");
        assert!(chain::leads_to(pem, &self.app.trust().roots), "TLS refuses what the machine was given");
        let leaf = leaf(pem);
        let slot = base.map(Device::slot);
        Ok(*self.app.by_certificate(&leaf, slot.as_ref()).await?.machine()?)
    }

    /// Every machine.
    pub async fn machines(&self) -> Vec<Machine> {
        let query = ListQuery { limit: Some(1000), ..ListQuery::default() };
        self.app.machines(&query, &self.admin()).await.expect("a list").items
    }

    /// One machine with its credentials.
    pub async fn machine(&self, id: &str) -> machine::MachineDetail {
        self.app.machine(machine_id(id), &self.admin()).await.expect("a machine")
    }

    /// Every audit entry, the oldest first; a thousand at most.
    pub async fn audit(&self) -> Vec<AuditEntry> {
        self.audit_since(0).await
    }

    /// The entries after a place in the log.
    pub async fn audit_since(&self, seq: u64) -> Vec<AuditEntry> {
        let query = AuditQuery { after: Some(seq), limit: Some(1000), ..AuditQuery::default() };
        self.app.audit(&query, &self.admin()).await.expect("a log").items
    }

    /// The place of the newest entry.
    pub async fn audit_end(&self) -> u64 {
        let query = AuditQuery { limit: Some(1), ..AuditQuery::default() };
        let newest = self.app.audit(&query, &self.admin()).await.expect("a log").items;
        newest.first().map_or(0, |entry| entry.seq)
    }
}

fn assemble<S: Store>(
    store: S,
    authority: Authority,
    ports: FixedPorts,
    settings: Settings,
    founded: Founded,
) -> App<S> {
    let (ports, tenant) = (Box::new(ports), founded.tenant);
    App::new(Parts { store, authority, pepper: pepper(), ports, settings, tenant })
}

/// The pepper of every world.
pub fn pepper() -> Pepper {
    Pepper::new([7; 32])
}

/// The machine that was let in.
///
/// # Panics
/// Where it was held.
pub fn enrolled(answer: EnrollAnswer) -> Enrolled {
    match answer {
        EnrollAnswer::Enrolled(enrolled) | EnrollAnswer::Same(enrolled) => *enrolled,
        EnrollAnswer::Held(held) => panic!("held: {held:?}"),
    }
}

/// The hold that was opened or found.
///
/// # Panics
/// Where the machine was let in.
pub fn held(answer: EnrollAnswer) -> Held {
    match answer {
        EnrollAnswer::Held(held) => held,
        EnrollAnswer::Enrolled(enrolled) | EnrollAnswer::Same(enrolled) => {
            panic!("let in as {}", enrolled.machine.id)
        }
    }
}

/// The identifier of a machine.
///
/// # Panics
/// Where it is none.
pub fn machine_id(text: &str) -> MachineId {
    text.parse().expect("the identifier of a machine")
}

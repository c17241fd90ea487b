//! Many callers on several replicas. Whatever the order, it is as if one came after the other.

use muster_lifecycle::{Change, GrantChange, MachineChange, Plan, SiteChange};
use muster_model::{Entry, Grant, HardwareId, KeyFingerprint, Machine, Refusal, Site, TenantId, Uses};
use muster_store::{AuditFilter, Decision, Lists, Reads, SettleError, Store, StoreError, Unscoped};
use muster_store_postgres::{PostgresStore, Settings};
use muster_testkit::{Kit, at, public_key};

use crate::support::{database, founded, replica, settings, write};

const CALLERS: u64 = 48;

/// Draws on a grant that admits, and makes a machine of a site that has room, unless there is one of its hardware.
struct Arrive {
    tenant: TenantId,
    grant: Option<Grant>,
    site: Site,
    key: KeyFingerprint,
    machine: Machine,
    entry: Entry,
}

#[derive(Default)]
struct Facts {
    grant: Option<Grant>,
    machines: u64,
    known: Option<Machine>,
}

impl Decision for Arrive {
    const NAME: &'static str = "test.arrive";
    type Facts = Facts;
    type Outcome = Machine;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        let mut facts = Facts::default();
        if let Some(grant) = &self.grant {
            facts.grant = reads.grant(self.tenant, grant.id).await?;
        }
        let site = reads.site(self.tenant, self.site.id).await?;
        facts.machines =
            reads.site_use(self.tenant, site.map_or(self.site.id, |site| site.id), at(0)).await?.machines;
        reads.key(self.tenant, self.key).await?;
        if let Some(hardware) = &self.machine.hardware_id {
            facts.known = reads.machine_by_hardware(self.tenant, hardware).await?;
        }
        Ok(facts)
    }

    fn decide(&self, facts: Facts) -> Result<Plan<Machine>, Refusal> {
        if let Some(known) = facts.known {
            return Ok(Plan::unchanged(known));
        }
        let mut changes: Vec<Change> = vec![MachineChange::Create(self.machine.clone()).into()];
        if self.grant.is_some() {
            let grant = facts.grant.filter(|grant| grant.admits(at(1)));
            let grant = grant.ok_or(Refusal::NotEntitled { cause: "spent" })?;
            if let Some(uses) = grant.drawn(Some(self.key), at(1)) {
                changes.push(GrantChange::Draw { grant: grant.id, uses }.into());
            }
        }
        if self.site.seats.is_some_and(|seats| facts.machines >= u64::from(seats)) {
            return Err(Refusal::NotEntitled { cause: "full" });
        }
        Ok(Plan::new(self.machine.clone(), changes, self.entry.clone()))
    }
}

struct Race {
    _database: muster_testkit::postgres::Database,
    stores: Vec<PostgresStore>,
    kit: Kit,
    site: Site,
}

async fn race(seats: Option<u32>) -> Option<Race> {
    let database = database().await?;
    let mut stores = Vec::new();
    for number in 1..=3 {
        stores.push(replica(database.url(), number).await);
    }
    Some(started(database, stores, seats).await)
}

/// One lane, so that all callers share its transactions.
async fn crowd(seats: Option<u32>) -> Option<Race> {
    let database = database().await?;
    let store = PostgresStore::open(Settings { lanes: 1, ..settings(database.url()) }).await;
    let stores = vec![store.expect("a store")];
    Some(started(database, stores, seats).await)
}

async fn started(
    database: muster_testkit::postgres::Database,
    stores: Vec<PostgresStore>,
    seats: Option<u32>,
) -> Race {
    let (kit, _) = founded(&stores[0]).await;
    let site = Site { seats, ..kit.site() };
    write(&stores[0], &kit, vec![SiteChange::Create(site.clone()).into()]).await.expect("written");
    Race { _database: database, stores, kit, site }
}

impl Race {
    async fn grant(&self, uses: Uses) -> Grant {
        let grant = Grant { uses, ..self.kit.grant(&self.site) };
        let changes = vec![GrantChange::Create(grant.clone()).into()];
        write(&self.stores[0], &self.kit, changes).await.expect("written");
        grant
    }

    /// Everybody at once, each on one of the replicas.
    async fn run(
        &self,
        grant: Option<&Grant>,
        hardware: Option<&HardwareId>,
    ) -> Vec<Result<Machine, Refusal>> {
        let mut calls = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let machine = Machine { hardware_id: hardware.cloned(), ..self.kit.machine(&self.site) };
            let decision = Arrive {
                tenant: self.kit.tenant,
                grant: grant.cloned(),
                site: self.site.clone(),
                key: public_key(caller).fingerprint(),
                machine,
                entry: self.kit.entry("test.arrive"),
            };
            let store = self.stores[caller as usize % self.stores.len()].clone();
            calls.spawn(async move { store.settle(decision).await });
        }
        let told = |settled: Result<Plan<Machine>, SettleError>| match settled {
            Ok(plan) => Ok(plan.outcome().clone()),
            Err(SettleError::Refused(refusal)) => Err(refusal),
            Err(SettleError::Store(error)) => panic!("nobody is told of a race: {error:?}"),
        };
        calls.join_all().await.into_iter().map(told).collect()
    }

    async fn machines(&self) -> u64 {
        let mut reads = self.stores[0].reader().await.expect("a reader");
        reads.machine_counts(self.kit.tenant).await.expect("an answer").iter().sum()
    }
}

fn won(results: &[Result<Machine, Refusal>]) -> usize {
    results.iter().filter(|result| result.is_ok()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_7_one_of_many_callers_on_three_replicas_spends_a_token() {
    let Some(race) = race(None).await else { return };
    for round in 1..=5 {
        let grant = race.grant(Uses::Once(None)).await;
        let results = race.run(Some(&grant), None).await;
        assert_eq!(won(&results), 1, "{results:?}");
        assert_eq!(race.machines().await, round);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_holds_over_three_replicas() {
    let Some(race) = race(None).await else { return };
    let grant = race.grant(Uses::Capped { limit: 29, used: 0 }).await;
    assert_eq!(won(&race.run(Some(&grant), None).await), 29);
    assert_eq!(race.machines().await, 29);
    let mut reads = race.stores[2].reader().await.expect("a reader");
    let left = reads.grant(race.kit.tenant, grant.id).await.expect("an answer").expect("the grant");
    assert_eq!(left.uses, Uses::Capped { limit: 29, used: 29 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_1_one_machine_of_one_hardware_on_three_replicas() {
    let Some(race) = race(None).await else { return };
    let grant = race.grant(Uses::Unlimited).await;
    for round in 1..=5 {
        let hardware: HardwareId = format!("hw_{round:08}").parse().expect("well-formed");
        let results = race.run(Some(&grant), Some(&hardware)).await;
        let told: Vec<&Machine> =
            results.iter().map(|result| result.as_ref().expect("nobody is refused")).collect();
        assert!(told.iter().all(|machine| *machine == told[0]));
        assert_eq!(race.machines().await, round);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_takes_as_many_as_it_has_seats() {
    let Some(race) = race(Some(31)).await else { return };
    let grant = race.grant(Uses::Unlimited).await;
    assert_eq!(won(&race.run(Some(&grant), None).await), 31);
    assert_eq!(won(&race.run(Some(&grant), None).await), 0);
    assert_eq!(race.machines().await, 31);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_of_one_transaction_come_one_after_the_other_where_they_meet() {
    let Some(race) = crowd(Some(31)).await else { return };
    let grant = race.grant(Uses::Unlimited).await;
    assert_eq!(won(&race.run(Some(&grant), None).await), 31, "as many as there are seats");
    assert_eq!(race.machines().await, 31);
    let Some(race) = crowd(None).await else { return };
    let (writes, retries) = (race.stores[0].writes(), race.stores[0].retries());
    let grant = race.grant(Uses::Capped { limit: 29, used: 0 }).await;
    assert_eq!(won(&race.run(Some(&grant), None).await), 29);
    let hardware: HardwareId = "hw_00000001".parse().expect("well-formed");
    let unlimited = race.grant(Uses::Unlimited).await;
    assert_eq!(won(&race.run(Some(&unlimited), Some(&hardware)).await) as u64, CALLERS);
    assert_eq!(race.machines().await, 30);
    assert_eq!(race.stores[0].retries(), retries, "nothing had to be done again");
    assert!(race.stores[0].writes() - writes < 20, "they shared transactions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_draws_on_a_grant_that_is_being_ended_came_before_its_end() {
    let Some(race) = race(None).await else { return };
    for _ in 0..5 {
        let grant = race.grant(Uses::Unlimited).await;
        let end = End { tenant: race.kit.tenant, grant: grant.clone(), entry: race.kit.entry("test.end") };
        let store = race.stores[1].clone();
        let ended = tokio::spawn(async move { store.settle(end).await.map(drop) });
        race.run(Some(&grant), None).await;
        ended.await.expect("no panic").expect("it ends");
        assert_eq!(won(&race.run(Some(&grant), None).await), 0, "after the end nobody draws");
        // Both write their entry while they hold the grant: the order of the log is the order in which they had it.
        let mut reads = race.stores[0].reader().await.expect("a reader");
        let newest = AuditFilter { limit: 1, ..AuditFilter::default() };
        let log = reads.audit(race.kit.tenant, &newest).await.expect("the log");
        assert_eq!(log[0].action, "test.end");
    }
}

/// Ends a grant that stands.
struct End {
    tenant: TenantId,
    grant: Grant,
    entry: Entry,
}

impl Decision for End {
    const NAME: &'static str = "test.end";
    type Facts = Option<Grant>;
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Grant>, StoreError> {
        reads.grant(self.tenant, self.grant.id).await
    }

    fn decide(&self, grant: Option<Grant>) -> Result<Plan<()>, Refusal> {
        let grant = grant.ok_or(Refusal::NotFound { what: "grant" })?;
        let state = muster_model::GrantState::Revoked(at(2));
        Ok(Plan::new((), vec![GrantChange::End { grant: grant.id, state }.into()], self.entry.clone()))
    }
}

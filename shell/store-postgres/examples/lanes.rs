//! How many enrollments a second the store settles: `cargo run --release --example lanes -- [callers] [enrollments]
//! [lanes] [replicas] [machines there before]`, on a PostgreSQL of its own.
//!
//! Each reads what an enrollment reads and writes four rows (machine, key, credential, audit entry), durably. Before it
//! the loop as one would write it by hand: one statement that writes three rows, committed by itself.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures and prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use muster_lifecycle::{
    Change, CredentialChange, GrantChange, KeyChange, MachineChange, Plan, SiteChange, TenantChange,
};
use muster_model::{
    Credential, CredentialKind, Entry, Grant, HardwareId, KeyFingerprint, KeyRecord, Machine, MachineKind,
    Object, Refusal, Site, Uses,
};
use muster_store::{Decision, Lists, MachineFilter, PageRequest, Reads, Store, StoreError, Unscoped};
use muster_store_postgres::{PostgresStore, Settings};
use muster_testkit::postgres::Server;
use muster_testkit::{Kit, at};

struct Enroll {
    site: Site,
    grant: Grant,
    machine: Machine,
    key: KeyRecord,
    credential: Credential,
    entry: Entry,
}

impl Decision for Enroll {
    const NAME: &'static str = "bench.enroll";
    type Facts = bool;
    type Outcome = Machine;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<bool, StoreError> {
        let tenant = self.machine.tenant;
        let hardware = self.machine.hardware_id.as_ref().expect("it has hardware");
        reads.grant(tenant, self.grant.id).await?;
        reads.site(tenant, self.site.id).await?;
        reads.site_use(tenant, self.site.id, at(0)).await?;
        let key = reads.key(tenant, self.key.key.fingerprint()).await?;
        reads.holds_by_key(tenant, self.key.key.fingerprint()).await?;
        Ok(key.is_none() && reads.machine_by_hardware(tenant, hardware).await?.is_none())
    }

    fn decide(&self, fresh: bool) -> Result<Plan<Machine>, Refusal> {
        if !fresh {
            return Err(Refusal::Revoked);
        }
        let changes: Vec<Change> = vec![
            MachineChange::Create(self.machine.clone()).into(),
            KeyChange::Register(self.key.clone()).into(),
            CredentialChange::Reserve(self.credential.clone()).into(),
        ];
        Ok(Plan::new(self.machine.clone(), changes, self.entry.clone()))
    }
}

struct Found(Kit, Site, Grant);

impl Decision for Found {
    const NAME: &'static str = "bench.found";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        let changes = vec![
            TenantChange::Create(self.0.tenant()).into(),
            SiteChange::Create(self.1.clone()).into(),
            GrantChange::Create(self.2.clone()).into(),
        ];
        Ok(Plan::new((), changes, self.0.entry("bench.found")))
    }
}

/// Bytes as random as those of a real key or serial number.
fn scattered(count: u64) -> [u8; 32] {
    muster_testkit::public_key(count).fingerprint().0
}

fn enroll(kit: &Kit, site: &Site, grant: &Grant) -> Enroll {
    let random = scattered(kit.ids.count());
    let hex: String = random[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let hardware: HardwareId = format!("hw_{hex}").parse().expect("well-formed");
    let machine = Machine { hardware_id: Some(hardware), kind: MachineKind::Worker, ..kit.machine(site) };
    let key = kit.key(&machine);
    let machine = Machine { key: Some(key.key.fingerprint()), ..machine };
    let kind = CredentialKind::Certificate { key: KeyFingerprint(random) };
    let credential = Credential { kind, ..kit.credential(&machine) };
    let mut entry = kit.entry("machine.enroll");
    entry.object = Object::Machine(machine.id);
    entry.detail = vec![("method", "token".to_owned()), ("key", key.key.fingerprint().to_string())];
    Enroll { site: site.clone(), grant: grant.clone(), machine, key, credential, entry }
}

/// Runs calls from many callers and gives how many a second, and how long each took.
async fn measure<F>(callers: u64, calls: u64, call: impl Fn(u64) -> F) -> (f64, Vec<u64>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let left = Arc::new(AtomicU64::new(calls));
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    let mut took = Vec::new();
    let next = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).ok();
    let timed = |caller: u64, call: F| async move {
        let start = Instant::now();
        call.await;
        (caller, start.elapsed().as_micros() as u64)
    };
    for caller in 0..callers {
        if next().is_some() {
            running.spawn(timed(caller, call(caller)));
        }
    }
    while let Some(done) = running.join_next().await {
        let (caller, micros) = done.expect("no panic");
        took.push(micros);
        if next().is_some() {
            running.spawn(timed(caller, call(caller)));
        }
    }
    took.sort_unstable();
    (calls as f64 / start.elapsed().as_secs_f64(), took)
}

const LOOP: &str = "CREATE SCHEMA loop;
    CREATE TABLE loop.machines (id bytea PRIMARY KEY, hostname text NOT NULL, at bigint NOT NULL);
    CREATE TABLE loop.credentials (machine bytea PRIMARY KEY, hash bytea NOT NULL, certificate bytea);
    CREATE TABLE loop.audit (seq bigserial PRIMARY KEY, machine bytea NOT NULL, at bigint NOT NULL);";
const INSERT: &str = "WITH machine AS (INSERT INTO loop.machines VALUES ($1, $2, $3)),
        credential AS (INSERT INTO loop.credentials VALUES ($1, $4, $5))
    INSERT INTO loop.audit (machine, at) VALUES ($1, $3)";

async fn by_hand(server: &Server, callers: u64, calls: u64, connections: usize) -> f64 {
    server.run_sql("bench", LOOP);
    let (give, take) = tokio::sync::mpsc::channel(connections);
    for _ in 0..connections {
        let url = server.url("bench");
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a server");
        tokio::spawn(connection);
        let statement = client.prepare(INSERT).await.expect("a statement");
        give.send((client, statement)).await.expect("a place");
    }
    let take = Arc::new(tokio::sync::Mutex::new(take));
    let count = Arc::new(AtomicU64::new(0));
    let call = |_| {
        let (take, give, count) = (Arc::clone(&take), give.clone(), Arc::clone(&count));
        async move {
            let (client, statement) = take.lock().await.recv().await.expect("a connection");
            let id = scattered(count.fetch_add(1, Ordering::Relaxed));
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&&id[..16], &"web-1.example.com", &1_i64, &&id[..], &Option::<Vec<u8>>::None];
            client.execute(&statement, &values).await.expect("inserted");
            give.send((client, statement)).await.expect("a place");
        }
    };
    measure(callers, calls, call).await.0
}

/// Seconds of processor time that the server's processes and this one took so far.
fn seconds(server: &Server) -> [f64; 2] {
    let fields = |stat: String| -> Vec<f64> {
        let rest = stat.rsplit(')').next().unwrap_or_default().to_owned();
        rest.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect()
    };
    let read = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok().map(fields);
    let first = server.pid();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = processes.filter_map(|entry| read(&entry.file_name().to_string_lossy()));
    let ours = all.filter(|fields| fields.get(1) == Some(&f64::from(first)));
    let ticks = |fields: &Vec<f64>| fields[11] + fields[12];
    let ended = read(&first.to_string()).map_or(0.0, |fields| fields[13] + fields[14]);
    let me = read("self").map_or(0.0, |fields| ticks(&fields));
    [(ours.map(|fields| ticks(&fields)).sum::<f64>() + ended) / 100.0, me / 100.0]
}

fn each(before: [f64; 2], after: [f64; 2], calls: u64) -> [f64; 2] {
    std::array::from_fn(|i| (after[i] - before[i]) * 1e6 / calls as f64)
}

async fn lists(store: &PostgresStore, kit: &Kit, site: &Site) {
    let page = PageRequest { after: None, limit: 100 };
    let word = |word: &str| MachineFilter { search: Some(word.to_owned()), ..MachineFilter::default() };
    let filters = [
        ("first page", MachineFilter::default()),
        ("of a site", MachineFilter { site: Some(site.id), ..MachineFilter::default() }),
        ("of a state", MachineFilter { state: Some("active"), ..MachineFilter::default() }),
        ("of a rare state", MachineFilter { state: Some("retired"), ..MachineFilter::default() }),
        ("search web (all)", word("web")),
        ("search w (all)", word("w")),
        ("search web-1234", word("web-1234")),
        ("search a letter", word("a")),
        ("search hw_ab12c", word("hw_ab12c")),
        ("search hw_ab", word("hw_ab")),
        ("search nothing", word("zebra")),
        ("search all in rare state", MachineFilter { state: Some("retired"), ..word("web") }),
    ];
    for (name, filter) in filters {
        let mut took = Vec::new();
        let mut found = 0;
        for _ in 0..50 {
            let start = Instant::now();
            let mut reads = store.reader().await.expect("a reader");
            found = reads.machines(kit.tenant, &filter, page).await.expect("a page").items.len();
            took.push(start.elapsed().as_micros());
        }
        took.sort_unstable();
        println!("  {name:26} {found:4} rows  median {:>7} µs  p98 {:>7} µs", took[25], took[48]);
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |place: usize, or: u64| arguments.get(place).map_or(or, |text| text.parse().expect("a number"));
    let (callers, calls, lanes, replicas) = (number(0, 64), number(1, 20_000), number(2, 4), number(3, 1));
    let before = number(4, 0);
    let server = Server::start().expect("PostgreSQL");
    let url = server.create_database("bench");
    for connections in [4, 16, 32] {
        let before = seconds(&server);
        let rate = by_hand(&server, callers, calls, connections).await;
        let [theirs, ours] = each(before, seconds(&server), calls);
        println!(
            "by hand, {connections} connections: {rate:.0} enrollments/s, {theirs:.0} µs of the server and {ours:.0} µs of ours each"
        );
        server.run_sql("bench", "DROP SCHEMA loop CASCADE");
    }
    let settings = Settings { lanes: lanes as usize, ..Settings::new(url) };
    let mut stores = vec![PostgresStore::create(settings.clone()).await.expect("a schema")];
    for _ in 1..replicas {
        stores.push(PostgresStore::open(settings.clone()).await.expect("a store"));
    }
    let kit = Arc::new(Kit::default());
    let site = kit.site();
    let grant = Grant { uses: Uses::Unlimited, ..kit.grant(&site) };
    let ids = muster_testkit::Ids::after(1 << 40);
    let found = Found(Kit { tenant: kit.tenant, ids }, site.clone(), grant.clone());
    stores[0].settle(found).await.expect("founded");
    let call = |caller: u64| {
        let store = stores[caller as usize % stores.len()].clone();
        let decision = enroll(&kit, &site, &grant);
        async move { store.settle(decision).await.map(drop).expect("settled") }
    };
    if before > 0 {
        let (rate, _) = measure(256, before, call).await;
        println!("filled with {before} machines at {rate:.0}/s");
    }
    for round in 0..3 {
        let writes = || stores.iter().map(PostgresStore::writes).sum::<u64>();
        let retries = || stores.iter().map(PostgresStore::retries).sum::<u64>();
        let (wrote, tried, before) = (writes(), retries(), seconds(&server));
        let (rate, took) = measure(callers, calls, call).await;
        let [theirs, ours] = each(before, seconds(&server), calls);
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
        println!(
            "round {round}: {callers} callers, {lanes} lanes, {replicas} replicas: {rate:.0} enrollments/s, p50 {} µs, \
             p99 {} µs, {:.1} a commit, {} retries, {theirs:.0} µs of the server and {ours:.0} µs of ours each",
            at(0.5),
            at(0.99),
            calls as f64 / (writes() - wrote) as f64,
            retries() - tried
        );
    }
    lists(&stores[0], &kit, &site).await;
}

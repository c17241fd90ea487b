//! How many enrollments a second the store settles: `cargo run --release --example throughput -- [callers] [enrollments]
//! [directory] [machines there before]`.
//!
//! Each reads what an enrollment reads and writes four rows (machine, key, credential, audit entry), durably.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures and prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use muster_lifecycle::{Change, CredentialChange, KeyChange, MachineChange, Plan, SiteChange, TenantChange};
use muster_model::{
    Credential, CredentialKind, Entry, HardwareId, KeyFingerprint, KeyRecord, Machine, MachineKind, Object,
    Refusal, Site,
};
use muster_store::{Decision, Lists, MachineFilter, PageRequest, Reads, Store, StoreError, Unscoped};
use muster_store_sqlite::SqliteStore;
use muster_testkit::{Kit, at};

struct Enroll {
    site: Site,
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
        reads.site(tenant, self.site.id).await?;
        reads.site_use(tenant, self.site.id, at(0)).await?;
        reads.holds_by_key(tenant, self.key.key.fingerprint()).await?;
        let key = reads.key(tenant, self.key.key.fingerprint()).await?;
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

struct Found(Kit, Site);

impl Decision for Found {
    const NAME: &'static str = "bench.found";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        let changes =
            vec![TenantChange::Create(self.0.tenant()).into(), SiteChange::Create(self.1.clone()).into()];
        Ok(Plan::new((), changes, self.0.entry("bench.found")))
    }
}

/// Bytes as random as those of a real key or serial number.
fn scattered(count: u64) -> [u8; 32] {
    let key = muster_testkit::public_key(count);
    key.fingerprint().0
}

fn enroll(kit: &Kit, site: &Site) -> Enroll {
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
    Enroll { site: site.clone(), machine, key, credential, entry }
}

async fn run(
    store: &SqliteStore,
    kit: &Arc<Kit>,
    site: &Site,
    callers: u64,
    enrollments: u64,
) -> (f64, Vec<u64>) {
    let left = Arc::new(AtomicU64::new(enrollments));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..callers {
        let (store, kit, site, left) = (store.clone(), Arc::clone(kit), site.clone(), Arc::clone(&left));
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                let decision = enroll(&kit, &site);
                let start = Instant::now();
                store.settle(decision).await.expect("settled");
                took.push(start.elapsed().as_micros() as u64);
            }
            took
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("no panic"));
    }
    took.sort_unstable();
    (enrollments as f64 / start.elapsed().as_secs_f64(), took)
}

/// Seconds of processor time that the writer thread took so far, where the system tells.
fn writer_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stat = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let writer = stat.filter(|stat| stat.contains("(store-writer)"));
    let ticks =
        |stat: String| stat.split(' ').skip(13).take(2).filter_map(|n| n.parse::<f64>().ok()).sum::<f64>();
    writer.map(ticks).sum::<f64>() / 100.0
}

async fn lists(store: &SqliteStore, kit: &Kit, site: &Site) {
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
    let (callers, enrollments, before) = (number(0, 64), number(1, 100_000), number(3, 0));
    let directory = arguments.get(2).map_or_else(std::env::temp_dir, Into::into);
    let path = directory.join("throughput.db");
    let store = SqliteStore::create(&path).expect("a new database");
    let kit = Arc::new(Kit::default());
    let site = kit.site();
    store
        .settle(Found(Kit { tenant: kit.tenant, ids: muster_testkit::Ids::after(1 << 40) }, site.clone()))
        .await
        .expect("founded");
    if before > 0 {
        let (rate, _) = run(&store, &kit, &site, 256, before).await;
        println!("filled with {before} machines at {rate:.0}/s");
        lists(&store, &kit, &site).await;
    }
    for round in 0..3 {
        let (writes, busy) = (store.writes(), writer_seconds());
        let (rate, took) = run(&store, &kit, &site, callers, enrollments).await;
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
        let batch = enrollments as f64 / (store.writes() - writes) as f64;
        println!(
            "round {round}: {callers} callers, {rate:.0} enrollments/s, p50 {} µs, p99 {} µs, {batch:.1} a commit, writer {:.0} µs each",
            at(0.5),
            at(0.99),
            (writer_seconds() - busy) * 1e6 / enrollments as f64
        );
    }
    lists(&store, &kit, &site).await;
    let size = std::fs::metadata(&path).expect("the file").len();
    let start = Instant::now();
    store.close().await;
    drop(store);
    println!("closed in {:?}, {} MiB", start.elapsed(), size >> 20);
    let start = Instant::now();
    drop(SqliteStore::open(&path).expect("it opens"));
    println!("opened and closed in {:?}", start.elapsed());
}

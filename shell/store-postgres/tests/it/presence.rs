//! Who is online, as several replicas see it.

use muster_model::{Machine, Presence, Timestamp};
use muster_store::{Lists, PresenceNote, Prune, Reads, Standing, Store, Unscoped};
use muster_store_postgres::PostgresStore;
use muster_testkit::postgres::Database;
use muster_testkit::{Kit, at};

use crate::support::{database, enroll, founded, replica, replica_id};

fn note(machine: &Machine, second: i64, online: bool) -> PresenceNote {
    PresenceNote { tenant: machine.tenant, machine: machine.id, last_seen: at(second), online, bundle: None }
}

async fn presence(store: &PostgresStore, machine: &Machine) -> Presence {
    let mut reads = store.reader().await.expect("a reader");
    let direct = reads.presence(machine.tenant, machine.id).await.expect("an answer");
    let row = reads.machine_row(machine.tenant, machine.id).await.expect("an answer").expect("the row");
    assert_eq!(row.presence, direct, "lists tell the same");
    direct
}

fn silence(database: &Database, number: u8, alive_at: Timestamp) {
    let id = format!("{number:02x}").repeat(16);
    let alive_at = alive_at.as_millisecond();
    database.run_sql(&format!(
        "UPDATE replicas SET alive_at = {alive_at}, alive_until = {alive_at} WHERE id = '\\x{id}'"
    ));
}

async fn two() -> Option<(Database, PostgresStore, PostgresStore, Kit, Machine)> {
    let database = database().await?;
    let (one, two) = (replica(database.url(), 1).await, replica(database.url(), 2).await);
    let (kit, site) = founded(&one).await;
    let machine = kit.machine(&site);
    enroll(&one, &kit, &machine).await.expect("written");
    Some((database, one, two, kit, machine))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_online_while_the_replica_that_holds_its_channel_is_alive() {
    let Some((database, one, two, _, machine)) = two().await else { return };
    two.note_presence(vec![note(&machine, 10, true)]).await.expect("noted");
    assert_eq!(presence(&one, &machine).await, Presence { last_seen: Some(at(10)), online: true });
    // Killed: it says no more, and was last heard of later than the machine was.
    silence(&database, 2, at(60));
    assert_eq!(presence(&one, &machine).await, Presence { last_seen: Some(at(60)), online: false });
    silence(&database, 2, at(5));
    assert_eq!(presence(&one, &machine).await, Presence { last_seen: Some(at(10)), online: false });
    one.note_presence(vec![note(&machine, 90, true)]).await.expect("noted");
    assert_eq!(presence(&one, &machine).await, Presence { last_seen: Some(at(90)), online: true });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_moved_does_not_leave_with_its_old_channel() {
    let Some((_database, one, two, _, machine)) = two().await else { return };
    one.note_presence(vec![note(&machine, 10, true)]).await.expect("noted");
    two.note_presence(vec![note(&machine, 20, true)]).await.expect("noted");
    // The first replica notices late that its channel is gone.
    one.note_presence(vec![note(&machine, 15, false)]).await.expect("noted");
    assert_eq!(presence(&one, &machine).await, Presence { last_seen: Some(at(20)), online: true });
    two.note_presence(vec![note(&machine, 30, false)]).await.expect("noted");
    assert_eq!(presence(&one, &machine).await, Presence { last_seen: Some(at(30)), online: false });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_about_one_machine_in_one_call_are_one_note() {
    let Some((_database, one, _two, _, machine)) = two().await else { return };
    let notes = vec![note(&machine, 30, true), note(&machine, 20, false), note(&machine, 10, true)];
    one.note_presence(notes).await.expect("noted");
    assert_eq!(presence(&one, &machine).await, Presence { last_seen: Some(at(30)), online: true });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_given_up_learns_it_and_is_known_again() {
    let Some((database, one, two, _, machine)) = two().await else { return };
    two.note_presence(vec![note(&machine, 10, true)]).await.expect("noted");
    assert_eq!(two.alive(3).await.expect("an answer"), Standing::Known);
    let seen = one.reader().await.expect("a reader").replicas().await.expect("replicas");
    let told: Vec<_> = seen.iter().map(|replica| (replica.id, replica.alive, replica.channels)).collect();
    assert_eq!(told, [(replica_id(1), true, 0), (replica_id(2), true, 3)]);
    silence(&database, 2, at(60));
    let fence = one.lease("expiry", muster_model::SignedDuration::from_secs(30)).await.expect("an answer");
    let old = at(0);
    let prune = Prune {
        remembered_before: old,
        access_before: old,
        replicas_before: at(1000),
        pulses_before: old,
        limit: 100,
    };
    one.prune(fence.expect("the lease"), prune).await.expect("pruned");
    assert_eq!(presence(&one, &machine).await, Presence { last_seen: Some(at(60)), online: false });
    assert_eq!(one.reader().await.expect("a reader").replicas().await.expect("replicas").len(), 1);
    assert_eq!(two.alive(1).await.expect("an answer"), Standing::Forgotten);
    assert_eq!(two.alive(1).await.expect("an answer"), Standing::Known);
    assert!(!presence(&one, &machine).await.online, "until it is noted again");
    two.note_presence(vec![note(&machine, 70, true)]).await.expect("noted");
    assert_eq!(presence(&one, &machine).await, Presence { last_seen: Some(at(70)), online: true });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steady_state_writes_nothing_for_machines() {
    let Some((database, one, two, kit, _)) = two().await else { return };
    let site = kit.site();
    let found = vec![muster_lifecycle::SiteChange::Create(site.clone()).into()];
    crate::support::write(&one, &kit, found).await.expect("written");
    let machines: Vec<Machine> = (0..100).map(|_| kit.machine(&site)).collect();
    for machine in &machines {
        enroll(&one, &kit, machine).await.expect("written");
    }
    one.note_presence(machines.iter().map(|machine| note(machine, 10, true)).collect()).await.expect("noted");
    // Where every row lies, and which transaction wrote it.
    let rows = || {
        database.run_sql(
            "SELECT string_agg(ctid::text || xmin::text, ' ' ORDER BY ctid) FROM presence
            UNION ALL SELECT string_agg(ctid::text || xmin::text, ' ' ORDER BY ctid) FROM machines
            UNION ALL SELECT string_agg(ctid::text || xmin::text, ' ' ORDER BY ctid) FROM lanes
            UNION ALL SELECT string_agg(ctid::text || xmin::text, ' ' ORDER BY ctid) FROM signals",
        )
    };
    let (before, writes) = (rows(), one.writes());
    for _ in 0..20 {
        assert_eq!(one.alive(100).await.expect("an answer"), Standing::Known);
        assert_eq!(two.alive(0).await.expect("an answer"), Standing::Known);
        assert_eq!(two.signals().await.expect("signals"), []);
        one.check().await.expect("it answers");
        assert!(presence(&two, &machines[0]).await.online);
    }
    assert_eq!(rows(), before);
    assert_eq!(one.writes(), writes);
}

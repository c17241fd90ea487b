//! Many machines, many readers.

use muster_lifecycle::MachineChange;
use muster_model::{Labels, Machine, MachineState, Pending, Search};
use muster_store::{Lists, MachineFilter, PageRequest, Reads, Store};
use muster_store_sqlite::SqliteStore;
use muster_testkit::at;

use crate::support::{founded, write};

#[tokio::test]
async fn a_search_in_a_state_gives_the_same_from_the_index_and_from_a_look_at_each() {
    let store = SqliteStore::in_memory().expect("a new database");
    let (kit, site) = founded(&store).await;
    let pending = MachineState::Pending(Pending { since: at(0) });
    let called = |i: u32| format!("{}{i:04}", if i.is_multiple_of(7) { "kiosk" } else { "store" });
    let machine = |i: u32| Machine {
        name: called(i).parse().expect("a name"),
        labels: Labels::new([("front", called(i))]).expect("a label"),
        hostname: None,
        state: if i.is_multiple_of(3) { pending.clone() } else { kit.machine(&site).state },
        ..kit.machine(&site)
    };
    let machines: Vec<Machine> = (0..4000).map(machine).collect();
    for some in machines.chunks(500) {
        let changes = some.iter().map(|machine| MachineChange::Create(machine.clone()).into());
        write(&store, &kit, changes.collect()).await.expect("written");
    }
    for (state, search, word) in [
        ("active", "KIOSK", "kiosk"),
        ("pending", "kiosk", "kiosk"),
        ("active", "kiosk00", "kiosk00"),
        ("pending", "store1", "store1"),
        ("active", "ki", "ki"),
        ("pending", "osk", "no such word"),
        ("active", "label:front=kiosk00*", "kiosk00"),
        ("pending", "label:front=kiosk00*", "kiosk00"),
        ("active", "label:front=store1234", "store1234"),
        ("pending", "label:front=store1233", "store1233"),
        ("pending", "label:front=store123", "no such label"),
        ("active", "label:front kind:host store", "store"),
        ("pending", "label:front kind:host store", "store"),
        ("pending", "kind:worker", "no such kind"),
    ] {
        let wanted: Vec<_> = machines
            .iter()
            .filter(|machine| machine.state.as_str() == state && machine.name.as_str().starts_with(word))
            .map(|machine| machine.id)
            .collect();
        let search = Search::parse(search).expect("well-formed");
        let words = (!search.words.is_empty()).then(|| search.words.join(" "));
        let filter =
            MachineFilter { site: None, state: Some(state), search: words, terms: search.terms.clone() };
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let mut reads = store.reader().await.expect("a reader");
            let page = PageRequest { after, limit: 50 };
            let page = reads.machines(kit.tenant, &filter, page).await.expect("a page");
            listed.extend(page.items.iter().map(|row| row.machine.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, wanted, "{search:?} in {state}");
        let odd = word.starts_with("no such");
        assert_eq!(wanted.is_empty(), odd, "{search:?} in {state} finds what it was written for");
    }
}

#[tokio::test]
async fn who_wants_to_read_while_all_readers_are_taken_waits_for_one() {
    let store = SqliteStore::in_memory().expect("a new database");
    let (kit, site) = founded(&store).await;
    let mut taken = Vec::new();
    for _ in 0..8 {
        taken.push(store.reader().await.expect("a reader"));
    }
    let waiting = tokio::spawn({
        let store = store.clone();
        async move {
            let mut reads = store.reader().await.expect("a reader in the end");
            reads.site(kit.tenant, site.id).await.expect("an answer")
        }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    taken.pop();
    assert!(waiting.await.expect("no panic").is_some());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_reader_too_long_is_told() {
    let store = SqliteStore::in_memory().expect("a new database");
    let mut taken = Vec::new();
    for _ in 0..8 {
        taken.push(store.reader().await.expect("a reader"));
    }
    assert!(store.reader().await.is_err());
}

//! Lists of machines: pages, filters, searches, counts and what a row tells.

use muster_lifecycle::{CredentialChange, HoldChange, KeyChange, SiteChange};
use muster_model::search::{Field, Term};
use muster_model::{
    Actor, Attributes, Credential, CredentialState, Hold, HoldReason, HoldState, Labels, Lineage, Machine,
    MachineId, MachineState, Minted, Pending, RetireCause, Retired, Search, Site, SuspendCause, Suspended,
};

use super::Fixture;
use super::decisions::write;
use super::things::{Things, at, created, text, updated};
use crate::{Lists, MachineFilter, PageRequest, Presence, PresenceNote, Reads, Store};

/// Every page of a list, each of at most `limit`.
async fn pages<S: Store>(store: &S, things: &Things, filter: &MachineFilter, limit: u32) -> Vec<MachineId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let mut reads = store.reader().await.expect("a reader");
        let page = PageRequest { after, limit };
        let listed = reads.machines(things.tenant, filter, page).await.expect("a page");
        assert!(listed.items.len() <= limit as usize);
        all.extend(listed.items.iter().map(|row| row.machine.id));
        match listed.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

fn ids<'m>(machines: impl IntoIterator<Item = &'m Machine>) -> Vec<MachineId> {
    machines.into_iter().map(|machine| machine.id).collect()
}

/// Machines of two sites in all states, in the order of their identifiers.
async fn fleet<S: Store>(store: &S) -> (Things, Site, Site, Vec<Machine>) {
    let (things, first) = Things::in_store(store, 1).await;
    let (others, foreign) = Things::in_store(store, 2).await;
    let second = things.site();
    write(store, &things, vec![SiteChange::Create(second.clone()).into()]).await;
    let mut machines = Vec::new();
    for site in [&first, &second, &first] {
        machines.extend(things.machines(site));
        write(store, &others, vec![created(&others.machine(&foreign))]).await;
    }
    // Not in the order in which they were drawn: identifiers come from many callers.
    let (odd, even): (Vec<_>, Vec<_>) =
        machines.iter().enumerate().partition(|(place, _)| place.is_multiple_of(2));
    let changes = odd.into_iter().chain(even).map(|(_, machine)| created(machine)).collect();
    write(store, &things, changes).await;
    (things, first, second, machines)
}

/// Pages of any size give each machine once.
pub async fn pages_of_machines_neither_skip_nor_repeat<F: Fixture>(fixture: &F) {
    let (things, _, _, machines) = fleet(fixture.store()).await;
    for limit in [1, 2, 7, machines.len() as u32, 1000] {
        let listed = pages(fixture.store(), &things, &MachineFilter::default(), limit).await;
        assert_eq!(listed, ids(&machines), "pages of {limit}");
    }
    let found = MachineFilter { search: Some("WEB".to_owned()), ..MachineFilter::default() };
    for limit in [1, 5, 1000] {
        let mut listed = pages(fixture.store(), &things, &found, limit).await;
        listed.sort_unstable();
        assert_eq!(listed, ids(&machines), "pages of {limit}, found");
    }
    let mut reads = fixture.store().reader().await.expect("a reader");
    let page = PageRequest { after: Some([0xff; 16]), limit: 10 };
    let beyond = reads.machines(things.tenant, &MachineFilter::default(), page).await.expect("a page");
    assert_eq!((beyond.items.len(), beyond.next), (0, None));
}

/// Each filter alone and together gives what a look at each machine gives.
pub async fn machines_are_filtered_by_site_and_state<F: Fixture>(fixture: &F) {
    let (things, first, second, machines) = fleet(fixture.store()).await;
    for site in [None, Some(first.id), Some(second.id), Some(things.id())] {
        for state in [None, Some("pending"), Some("active"), Some("suspended"), Some("retired")] {
            let fits = |machine: &&Machine| {
                site.is_none_or(|site| machine.site == site)
                    && state.is_none_or(|state| machine.state.as_str() == state)
            };
            for search in [None, Some("web".to_owned())] {
                let filter = MachineFilter { site, state, search, terms: Vec::new() };
                let mut listed = pages(fixture.store(), &things, &filter, 3).await;
                listed.sort_unstable();
                assert_eq!(listed, ids(machines.iter().filter(fits)), "{filter:?}");
            }
        }
    }
}

/// Each word of a search must begin a word of name, hostname, hardware id or a label; case and marks are ignored.
pub async fn machines_are_found_by_their_words<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (others, foreign) = Things::in_store(store, 2).await;
    let machine = Machine {
        name: text("Kasse-07 Halle West"),
        hostname: Some(text("pos07.Größe.example")),
        hardware_id: Some(text("hw_3fa91c77d0")),
        labels: Labels::new([("rack", "b-12"), ("env", "Prod")]).expect("well-formed labels"),
        ..things.machine(&site)
    };
    let other = things.machine(&site);
    write(store, &things, vec![created(&machine), created(&other)]).await;
    let foreign = Machine { name: text("Kasse-07"), ..others.machine(&foreign) };
    write(store, &others, vec![created(&foreign)]).await;
    let search = |word: &str| MachineFilter { search: Some(word.to_owned()), ..MachineFilter::default() };
    let yes = [
        "kasse",
        "KASSE-07",
        "kas",
        "halle west",
        "west halle",
        "pos07",
        "pos",
        "pos0",
        "größe",
        "GRÖ",
        "hw_3fa91",
        "3FA91C77D0",
        "rack",
        "b-12",
        "prod",
        "k",
        "ha",
    ];
    for words in yes {
        assert_eq!(pages(store, &things, &search(words), 10).await, [machine.id], "{words}");
    }
    let no = ["asse", "kasse 08", "pos8", "fa91", "' OR 1=1 --", "kasse\" OR \"web", "tnt", "t", "NOT kasse"];
    for words in no {
        assert_eq!(pages(store, &things, &search(words), 10).await, [], "{words}");
    }
    let anything = pages(store, &things, &search(" % "), 10).await;
    assert_eq!(anything, ids([&machine, &other]), "a search without a word asks for nothing");
    let many = "kasse halle ".repeat(1000);
    assert_eq!(pages(store, &things, &search(&many), 10).await, [machine.id]);
}

/// A term fits what its field says, all of it or its beginning; case and marks are ignored.
pub async fn machines_are_found_by_what_their_fields_say<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (others, foreign) = Things::in_store(store, 2).await;
    let grant = things.id();
    let machine = Machine {
        labels: Labels::new([("ring", "canary-1"), ("size", "Ä b")]).expect("well-formed labels"),
        attributes: Attributes::new([("agent_version", "1.2.10"), ("os", "Debian GNU/Linux 12")])
            .expect("well-formed"),
        role: Some(text("gpu")),
        lineage: Lineage { source: Some([192, 0, 2, 7].into()), grant: Some(grant), ..Lineage::default() },
        ..things.machine(&site)
    };
    let other = Machine {
        labels: Labels::new([("ring", "canary-10"), ("rings", "")]).expect("well-formed labels"),
        attributes: Attributes::new([("agent_version", "1.20.1")]).expect("well-formed"),
        ..things.machine(&site)
    };
    write(store, &things, vec![created(&machine), created(&other)]).await;
    let foreign = Machine { labels: machine.labels.clone(), ..others.machine(&foreign) };
    write(store, &others, vec![created(&foreign)]).await;
    let (one, both) = (vec![machine.id], ids([&machine, &other]));
    let searches = [
        ("label:ring=canary-1", &one),
        ("label:RING=Canary.1", &one),
        ("label:ring=canary*", &both),
        ("label:ring", &both),
        ("label:rin", &Vec::new()),
        ("label:size=\"ä b\"", &one),
        ("version:1.2.10", &one),
        ("version:1.2.*", &one),
        ("version:1.2*", &both),
        ("version:1.2", &Vec::new()),
        ("os:debian*", &one),
        ("role:gpu kind:host", &one),
        ("role:gpu role:web", &Vec::new()),
        ("address:192.0.2.7", &one),
        ("address:192.0.2", &Vec::new()),
        ("label:ring 192.0.2.7", &one),
        ("kind:host", &both),
    ];
    for (asked, found) in searches {
        assert_eq!(pages(store, &things, &asked_for(asked), 1).await, *found, "{asked}");
    }
    let by_grant = asked_for(&format!("grant:{grant}"));
    assert_eq!(pages(store, &things, &by_grant, 10).await, one);
    let by_id = asked_for(&machine.id.to_string());
    assert_eq!(pages(store, &things, &by_id, 10).await, one);
    for odd in ["' OR \"1\" & x:*", "ring\0", "*", "\u{e001}ring*", &"x".repeat(100_000)] {
        let terms = vec![Term::new(Field::Role, odd)];
        let odd = MachineFilter { terms, ..MachineFilter::default() };
        let fits = if odd.terms[0].value().is_empty() { one.clone() } else { Vec::new() };
        assert_eq!(pages(store, &things, &odd, 10).await, fits, "nothing in a term leaves its word");
    }
}

/// A filter of the words and terms of a search.
fn asked_for(text: &str) -> MachineFilter {
    let search = Search::parse(text).expect("well-formed");
    let words = (!search.words.is_empty()).then(|| search.words.join(" "));
    MachineFilter { search: words, terms: search.terms, ..MachineFilter::default() }
}

/// A machine is found by what it is called now and not by what it was called.
pub async fn a_search_follows_a_change_of_name<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let machine = Machine { name: text("alpha"), ..things.machine(&site) };
    let renamed = Machine { name: text("omega"), ..machine.clone() };
    let search = |word: &str| MachineFilter { search: Some(word.to_owned()), ..MachineFilter::default() };
    write(store, &things, vec![created(&machine)]).await;
    write(store, &things, vec![updated(&renamed)]).await;
    assert_eq!(pages(store, &things, &search("alpha"), 10).await, []);
    assert_eq!(pages(store, &things, &search("omega"), 10).await, [machine.id]);
    let twice = Machine { name: text("gamma"), ..renamed.clone() };
    write(store, &things, vec![updated(&twice), updated(&Machine { name: text("delta"), ..twice.clone() })])
        .await;
    assert_eq!(pages(store, &things, &search("gamma"), 10).await, []);
    assert_eq!(pages(store, &things, &search("delta"), 10).await, [machine.id]);
}

/// Counts by state and the use of a site are what a count would give, after any change.
pub async fn machine_counts_follow_every_change<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, first) = Things::in_store(store, 1).await;
    let second = things.site();
    let since = at(0);
    let pending = Machine { state: MachineState::Pending(Pending { since }), ..things.machine(&first) };
    let active = things.machine(&first);
    let changes = vec![SiteChange::Create(second.clone()).into(), created(&pending), created(&active)];
    write(store, &things, changes).await;
    let counts = async |site: &Site| {
        let mut reads = store.reader().await.expect("a reader");
        let used = reads.site_use(things.tenant, site.id, at(0)).await.expect("an answer");
        (reads.machine_counts(things.tenant).await.expect("an answer"), used.machines)
    };
    assert_eq!(counts(&first).await, ([1, 1, 0, 0], 2));
    let suspended = MachineState::Suspended(Suspended { since, cause: SuspendCause::Probation });
    let moved = Machine { state: suspended, site: second.id, ..active.clone() };
    write(store, &things, vec![updated(&moved)]).await;
    assert_eq!(counts(&first).await, ([1, 0, 1, 0], 1));
    assert_eq!(counts(&second).await, ([1, 0, 1, 0], 1));
    let retired = MachineState::Retired(Retired { since, cause: RetireCause::Left, readmit: None });
    write(store, &things, vec![updated(&Machine { state: retired, ..moved })]).await;
    assert_eq!(counts(&second).await, ([1, 0, 0, 1], 0));
    assert_eq!(counts(&first).await.1, 1);
}

/// What a list shows beside the machine itself.
pub async fn a_machine_row_tells_its_site_presence_credential_and_contest<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let bare = things.machine(&site);
    let key = things.key(&bare);
    let machine = Machine { key: Some(key.key.fingerprint()), ..bare };
    let issued = CredentialState::Issued(Minted::Bearer);
    let credential = |millis, state: &CredentialState| Credential {
        not_after: at(millis),
        state: state.clone(),
        ..things.credential(&machine)
    };
    let credentials =
        [credential(900, &issued), credential(500, &issued), credential(700, &CredentialState::Reserved)];
    let claims = Hold { reason: HoldReason::KeyMismatch, existing: Some(machine.id), ..things.hold(&site) };
    let mut own = Hold { reason: HoldReason::SiteMismatch, ..claims.clone() };
    (own.id, own.claimant.key) = (things.id(), Some(key.key.clone()));
    let mut changes = vec![created(&machine), KeyChange::Register(key).into()];
    changes.extend(credentials.map(|credential| CredentialChange::Reserve(credential).into()));
    changes.extend([HoldChange::Open(claims.clone()).into(), HoldChange::Open(own).into()]);
    write(store, &things, changes).await;
    let row = async || {
        let mut reads = store.reader().await.expect("a reader");
        reads.machine_row(things.tenant, machine.id).await.expect("an answer").expect("the row")
    };
    let first = row().await;
    assert_eq!((&first.machine, &first.site), (&machine, &site.code));
    assert_eq!(first.presence, Presence::default());
    assert_eq!(first.credential_expires, Some(at(500)), "of the newest that is issued");
    assert_eq!(first.contested_by, Some((claims.id, claims.expires_at)), "and not by itself");
    let state = HoldState::Rejected { at: at(1), by: Actor::System, reason: None };
    write(store, &things, vec![HoldChange::Decide { hold: claims.id, state }.into()]).await;
    assert_eq!(row().await.contested_by, None);
}

/// Presence rows: the newest note stands, what was heard never goes back, and unknown machines have none.
pub async fn presence_notes_tell_the_newest<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (machine, other) = (things.machine(&site), things.machine(&site));
    write(store, &things, vec![created(&machine), created(&other)]).await;
    let note = |machine: &Machine, millis, online| PresenceNote {
        tenant: things.tenant,
        machine: machine.id,
        last_seen: at(millis),
        online,
        bundle: None,
    };
    let presence = async |machine: &Machine| {
        let mut reads = store.reader().await.expect("a reader");
        let direct = reads.presence(things.tenant, machine.id).await.expect("an answer");
        let row = reads.machine_row(things.tenant, machine.id).await.expect("an answer");
        assert_eq!(row.map(|row| row.presence).unwrap_or_default(), direct);
        direct
    };
    let unknown = things.machine(&site);
    let notes = vec![note(&machine, 10, true), note(&unknown, 10, true), note(&other, 20, false)];
    store.note_presence(notes).await.expect("noted");
    assert_eq!(presence(&machine).await, Presence { last_seen: Some(at(10)), online: true });
    assert_eq!(presence(&other).await, Presence { last_seen: Some(at(20)), online: false });
    assert_eq!(presence(&unknown).await, Presence::default());
    store.note_presence(vec![note(&machine, 5, false)]).await.expect("noted");
    assert_eq!(presence(&machine).await, Presence { last_seen: Some(at(10)), online: false });
    store.note_presence(Vec::new()).await.expect("nothing to note");
}

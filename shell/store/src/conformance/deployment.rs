//! The deployment itself, the places of its log, and what is forgotten with time.

use muster_lifecycle::lockout::Failures;
use muster_lifecycle::{AccessChange, Change, CredentialChange, DeploymentChange, MemoryChange, Remembered};
use muster_model::{
    AccessKind, AccessToken, AuditId, Ca, CaPhase, Counted, Credential, CredentialId, CredentialKind,
    CredentialState, Deployment, DeploymentId, EntryPlace, Gap, IncarnationId, Machine, MachineId,
    MachineState, Minted, Object, Operator, SignedDuration, Site, SuspendCause, Suspended,
};

use super::decisions::{Write, write};
use super::things::{Things, at, created};
use super::{Fixture, joining};
use crate::{Behind, Lists, PresenceNote, Prune, PulseNote, Reads, SettleError, Store, StoreError, Unscoped};

async fn told<S: Store>(store: &S) -> Option<Deployment> {
    store.reader().await.expect("a reader").deployment().await.expect("an answer")
}

/// Founding a second time, and beginning an incarnation twice, fails and changes nothing.
pub async fn the_deployment_is_founded_once_and_remembers_its_incarnations<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    assert_eq!(told(store).await, None);
    let found = |proof: u8| {
        let (id, incarnation) = (things.id::<DeploymentId>(), things.id::<IncarnationId>());
        DeploymentChange::Found { id, proof: [proof; 32], incarnation, at: at(0) }
    };
    let accept = |incarnation| DeploymentChange::Accept { incarnation, at: at(1) };
    let founding = found(7);
    write(store, &things, vec![founding.clone().into()]).await;
    let DeploymentChange::Found { id, proof, incarnation: first, .. } = founding else {
        unreachable!("it founds")
    };
    let mut deployment = Deployment { id, proof, incarnations: vec![first], gap: None };
    assert_eq!(told(store).await.as_ref(), Some(&deployment));
    // The later ones are of no rising order: what counts is when each began.
    let (last, middle) = (things.id::<IncarnationId>(), things.id::<IncarnationId>());
    write(store, &things, vec![accept(middle).into(), accept(last).into()]).await;
    deployment.incarnations.extend([middle, last]);
    assert_eq!(told(store).await.as_ref(), Some(&deployment));
    let gap = Gap { incarnation: first, seen: 150, found: 120 };
    let doubt = DeploymentChange::Doubt { gap };
    write(store, &things, vec![doubt.clone().into()]).await;
    deployment.gap = Some(gap);
    assert_eq!(told(store).await.as_ref(), Some(&deployment));
    for again in [found(8), accept(first), doubt] {
        let plan = Write { changes: vec![again.into()], entries: vec![things.entry()] };
        let settled = store.settle(plan).await;
        assert!(matches!(settled, Err(SettleError::Store(StoreError::Invariant { .. }))), "{settled:?}");
        assert_eq!(told(store).await.as_ref(), Some(&deployment));
    }
    // What was accepted is not doubted any more.
    let newest = things.id::<IncarnationId>();
    write(store, &things, vec![accept(newest).into()]).await;
    deployment.incarnations.push(newest);
    deployment.gap = None;
    assert_eq!(told(store).await.as_ref(), Some(&deployment));
}

/// The newest entry is that of whichever tenant wrote last; an entry is where it is and nowhere else.
pub async fn an_entry_is_found_at_its_place_alone<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    assert_eq!(store.reader().await.expect("a reader").newest_entry().await.expect("an answer"), None);
    let (things, _) = Things::in_store(store, 1).await;
    let (others, _) = Things::in_store(store, 2).await;
    let mut places: Vec<EntryPlace> = Vec::new();
    for from in [&things, &others, &things] {
        let entry = from.entry();
        store.tell(vec![from.entry(), entry.clone()]).await.expect("told");
        let newest = store.reader().await.expect("a reader").newest_entry().await.expect("an answer");
        let newest = newest.expect("there are entries");
        assert_eq!(newest.id, entry.id);
        assert!(places.last().is_none_or(|before| before.seq < newest.seq), "{places:?} and {newest:?}");
        places.push(newest);
    }
    let mut reads = store.reader().await.expect("a reader");
    for place in &places {
        assert!(reads.has_entry(*place).await.expect("an answer"), "{place:?}");
    }
    let named = things.entry();
    store.tell(vec![named.clone()]).await.expect("told");
    let mut reads_named = store.reader().await.expect("a reader");
    for (tenant, object, id, is_there) in [
        (named.tenant, named.object, named.id, true),
        (others.tenant, named.object, named.id, false),
        (named.tenant, Object::Deployment, named.id, false),
        (named.tenant, named.object, things.id::<AuditId>(), false),
    ] {
        let found = reads_named.has_entry_about(tenant, object, id).await.expect("an answer");
        assert_eq!(found, is_there, "{object} {id}");
    }
    let (first, last) = (places[0], places[2]);
    for nowhere in [
        EntryPlace { seq: last.seq + 1, id: last.id },
        EntryPlace { seq: first.seq, id: last.id },
        EntryPlace { seq: last.seq, id: things.id::<AuditId>() },
        EntryPlace { seq: u64::MAX, id: last.id },
        EntryPlace { seq: 0, id: first.id },
    ] {
        assert!(!reads.has_entry(nowhere).await.expect("an answer"), "{nowhere:?}");
    }
}

/// Three machines with keys: one that says nothing and one that holds the second bundle have certificates of before a time,
/// one that holds it of after. And one that said nothing and whose key was revoked, which nobody waits for.
async fn fleet<S: Store>(store: &S, things: &Things, site: &Site) -> [Machine; 3] {
    let keyed = |()| {
        let machine = things.machine(site);
        Machine { key: Some(things.fingerprint()), enrolled_at: Some(at(1)), ..machine }
    };
    let [silent, told, fresh, lost] = [(); 4].map(keyed);
    let cause = SuspendCause::Revoked(None);
    let lost = Machine { state: MachineState::Suspended(Suspended { since: at(2), cause }), ..lost };
    // Before and after the time from which on certificates count.
    let drawn = |second: i64| u64::try_from(at(second * 1000).as_millisecond()).expect("after 1970");
    let certified = |machine: &Machine, second| {
        let certificate = things.credential(machine);
        let kind = CredentialKind::Certificate { key: machine.key.expect("it has one") };
        Credential {
            id: CredentialId::new(
                drawn(second),
                *things.id::<CredentialId>().as_bytes().last_chunk().expect("ten"),
            ),
            not_after: at(5_000_000),
            kind,
            ..certificate
        }
    };
    let changes =
        [(&silent, 10), (&told, 10), (&fresh, 30), (&lost, 10)].into_iter().flat_map(|(machine, second)| {
            let credential = certified(machine, second);
            let minted = CredentialState::Issued(Minted::Certificate(vec![1]));
            let issued = CredentialChange::State { credential: credential.id, state: minted };
            [created(machine), CredentialChange::Reserve(credential).into(), issued.into()]
        });
    write(store, things, changes.collect()).await;
    let says = |machine: &Machine, bundle| PresenceNote {
        tenant: things.tenant,
        machine: machine.id,
        last_seen: at(1),
        online: false,
        bundle,
    };
    let notes = vec![says(&told, Some(2)), says(&fresh, Some(2)), says(&told, None)];
    store.note_presence(notes).await.expect("noted");
    [silent, told, fresh]
}

/// The change of the authority is one row, which only a newer one replaces; who is behind is counted by what machines said
/// of their roots and by their certificates.
pub async fn the_authority_only_goes_on_and_whoever_is_behind_is_counted<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let read = async || store.reader().await.expect("a reader").ca().await.expect("an answer");
    assert_eq!(read().await, None);
    let phases = [
        CaPhase::Prepared,
        CaPhase::Published,
        CaPhase::Activated,
        CaPhase::Tainted { before: Some(at(3)) },
        CaPhase::Settled,
    ];
    for (revision, phase) in (1..).zip(phases) {
        let signs_since = (revision > 2).then_some(at(7));
        let rotate_before = (revision > 3).then_some(at(8));
        let ca = Ca {
            revision,
            bundle: revision,
            phase,
            since: at(9),
            signs_since,
            rotate_before,
            sealed: vec![1; 9],
        };
        write(store, &things, vec![DeploymentChange::Authority(ca.clone()).into()]).await;
        assert_eq!(read().await, Some(ca));
    }
    let [silent, told, fresh] = fleet(store, &things, &site).await;
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.bundle_holders().await.expect("an answer"), [(0, 1), (2, 2)]);
    let since = Some(at(20_000));
    for (bundle, certified_since, now, expected) in [
        (1, None, at(0), vec![&silent]),
        (2, None, at(0), vec![&silent]),
        (3, None, at(0), vec![&silent, &told, &fresh]),
        (2, since, at(0), vec![&silent, &told]),
        // What is over holds nobody back.
        (2, since, at(6_000_000), vec![&silent]),
    ] {
        let behind = Behind { bundle, certified_since, now };
        let count = reads.behind(behind).await.expect("an answer");
        let listed = reads.machines_behind(things.tenant, behind, 9).await.expect("an answer");
        assert_eq!(count, expected.len() as u64, "{behind:?}");
        let mut ids: Vec<MachineId> = expected.iter().map(|machine| machine.id).collect();
        ids.sort();
        assert_eq!(listed.iter().map(|machine| machine.machine).collect::<Vec<_>>(), ids, "{behind:?}");
    }
    assert_eq!(
        reads
            .machines_behind(things.tenant, Behind { bundle: 9, certified_since: None, now: at(0) }, 2)
            .await
            .expect("an answer")
            .len(),
        2
    );
    assert_eq!(reads.not_rotated_since(at(1)).await.expect("an answer"), 0);
    assert_eq!(reads.not_rotated_since(at(2)).await.expect("an answer"), 3);
}

const OLD: [u8; 32] = [1; 32];
const OLDER: [u8; 32] = [2; 32];
const NEW: [u8; 32] = [3; 32];

/// Tokens of one operator: three that are old enough to go, and those that stay.
fn tokens(things: &Things, operator: &Operator) -> ([AccessToken; 3], [AccessToken; 4]) {
    let token = |kind, expires, ended: Option<i64>| AccessToken {
        expires_at: at(expires),
        ended_at: ended.map(at),
        scope: None,
        ..things.token(operator, kind)
    };
    let gone = [
        token(AccessKind::Login, 9_000, Some(999)),
        token(AccessKind::Session, 998, None),
        token(AccessKind::Session, 9_000, Some(10)),
    ];
    let kept = [
        token(AccessKind::Api, 10, Some(5)),
        token(AccessKind::Session, 9_000, Some(1_000)),
        token(AccessKind::Login, 1_000, None),
        token(AccessKind::Session, 9_000, None),
    ];
    (gone, kept)
}

/// What is before the edge goes, a bounded number at a time; tokens of the API, and what is at the edge, stay.
pub async fn pruning_takes_what_is_old_and_nothing_else<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let operator = things.operator();
    let (gone, kept) = tokens(&things, &operator);
    let remember = |key, millis| {
        let remembered = Remembered { key, request: [0; 32], object: site.id.to_string(), at: at(millis) };
        Change::from(MemoryChange::Request(remembered))
    };
    let made = gone.iter().chain(&kept).map(|token| AccessChange::CreateToken(token.clone()).into());
    let fail = |key, millis| {
        Change::from(MemoryChange::Failures { key, failures: Failures { count: 1, at: at(millis) } })
    };
    let requests = [remember(OLD, 1_999), remember(OLDER, 0), remember(NEW, 2_000)];
    let requests = requests.into_iter().chain([fail(OLD, 1_999), fail(NEW, 2_000)]);
    let first = Change::from(AccessChange::CreateOperator(operator.clone()));
    write(store, &things, std::iter::once(first).chain(made).chain(requests).collect()).await;
    let span = SignedDuration::from_secs(30);
    let fence = store.lease("expiry", span).await.expect("an answer").expect("nobody else has it");
    let prune = Prune {
        remembered_before: at(2_000),
        access_before: at(1_000),
        replicas_before: at(0),
        pulses_before: at(3_000),
        limit: 2,
    };
    let pulse = |millis| PulseNote {
        tenant: things.tenant,
        at: at(millis),
        replica: joining(1).replica,
        present: None,
        counted: Counted::default(),
    };
    store.note_pulse([0, 1_000, 2_999, 3_000].map(pulse).into()).await.expect("noted");
    let counts = [store.prune(fence, prune).await, store.prune(fence, prune).await];
    assert_eq!(counts.map(|count| count.expect("pruned")), [7, 2]);
    assert_eq!(store.prune(fence, prune).await.expect("nothing is left"), 0);
    let mut reads = store.reader().await.expect("a reader");
    let millisecond = SignedDuration::from_millis(1);
    let pulses = reads.pulses(things.tenant, at(0), at(10_000), millisecond).await.expect("an answer");
    assert_eq!(pulses.iter().map(|pulse| pulse.at).collect::<Vec<_>>(), [at(3_000)]);
    for (key, stays) in [(OLD, false), (OLDER, false), (NEW, true)] {
        let found = reads.remembered(things.tenant, &key).await.expect("an answer");
        assert_eq!(found.is_some(), stays, "{key:?}");
        let failures = reads.failures(things.tenant, &key).await.expect("an answer");
        assert_eq!(failures.is_some(), stays, "{key:?}");
    }
    for token in &gone {
        assert_eq!(reads.access_token(things.tenant, token.id).await.expect("an answer"), None);
    }
    for token in kept {
        assert_eq!(reads.access_token(things.tenant, token.id).await.expect("an answer"), Some(token));
    }
    assert_eq!(reads.operator(things.tenant, operator.id).await.expect("an answer"), Some(operator));
}

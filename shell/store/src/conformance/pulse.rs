//! What the fleet did, what of it ends when, and what runs on it.

use muster_lifecycle::{AccessChange, Change, CredentialChange, GrantChange};
use muster_model::{
    AccessKind, AccessToken, Active, Attributes, Binding, Counted, Credential, CredentialKind,
    CredentialState, EndReason, Expiring, Expiry, Grant, GrantState, Machine, MachineState, Minted, Present,
    Pulse, RetireCause, Retired, SignedDuration, Timestamp, Uses, VersionUse,
};

use super::decisions::write;
use super::things::{Things, at, created};
use super::{Fixture, joining};
use crate::{Lists, PULSES, PulseNote, Store};

const SLOT: i64 = 300_000;
const DAY: i64 = 86_400_000;

/// A time as far as this after the beginning of a day.
fn after(millis: i64) -> Timestamp {
    Timestamp::from_second(1_793_491_200).expect("in range") + SignedDuration::from_millis(millis)
}

fn counted(enrolled: u64, refused: u64, ended: u64) -> Counted {
    Counted { enrolled, refused, ended }
}

fn note(things: &Things, slot: i64, replica: u64, of: (Option<(u64, u64)>, Counted)) -> PulseNote {
    let (present, counted) = of;
    PulseNote {
        tenant: things.tenant,
        at: after(slot * SLOT),
        replica: joining(replica).replica,
        present: present.map(|(online, machines)| Present { online, machines }),
        counted,
    }
}

async fn pulses<S: Store>(store: &S, things: &Things, slots: (i64, i64), together: i64) -> Vec<Pulse> {
    let mut reads = store.reader().await.expect("a reader");
    let length = SignedDuration::from_millis(together * SLOT);
    let (from, until) = (after(slots.0 * SLOT), after(slots.1 * SLOT));
    reads.pulses(things.tenant, from, until, length).await.expect("an answer")
}

/// What a server notes again takes the place of what it noted; what it did not look at stands; what several noted is added up,
/// but for who was there, whom each of them has seen.
pub async fn a_slot_is_what_each_server_noted_last_and_all_of_them_together<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, others) = (Things::numbered(1), Things::numbered(2));
    assert_eq!(pulses(store, &things, (0, 10), 1).await, []);
    store.note_pulse(Vec::new()).await.expect("nothing to note");
    let first = note(&things, 3, 1, (Some((5, 9)), counted(1, 2, 0)));
    let elsewhere = note(&others, 3, 1, (Some((70, 90)), counted(7, 7, 7)));
    store.note_pulse(vec![first, first, elsewhere]).await.expect("noted");
    let pulse = |online, machines, counted| Pulse { at: after(3 * SLOT), online, machines, counted };
    let seen = async || pulses(store, &things, (3, 4), 1).await;
    assert_eq!(seen().await, [pulse(Some((5, 5)), Some(9), counted(1, 2, 0))]);
    store.note_pulse(vec![note(&things, 3, 1, (None, counted(4, 2, 1)))]).await.expect("noted");
    assert_eq!(seen().await, [pulse(Some((5, 5)), Some(9), counted(4, 2, 1))]);
    store.note_pulse(vec![note(&things, 3, 2, (Some((3, 10)), counted(10, 0, 0)))]).await.expect("noted");
    assert_eq!(seen().await, [pulse(Some((3, 5)), Some(10), counted(14, 2, 1))]);
    store.note_pulse(vec![note(&things, 4, 1, (None, counted(0, 1, 0)))]).await.expect("noted");
    let unseen = Pulse { at: after(4 * SLOT), online: None, machines: None, counted: counted(0, 1, 0) };
    assert_eq!(pulses(store, &things, (4, 5), 1).await, [unseen]);
}

/// A stretch is all of its slots; an end is not part of what is asked for; more than so many do not come back.
pub async fn stretches_are_as_long_as_they_are_asked_for_and_bounded<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let things = Things::numbered(1);
    let most = i64::from(PULSES);
    let slot = |n: i64| note(&things, n, 1, (Some((n as u64, 1_000)), counted(1, n as u64, 0)));
    store.note_pulse((0..=most).filter(|n| *n != 7).map(slot).collect()).await.expect("noted");
    let found = pulses(store, &things, (4, 12), 4).await;
    let pulse = |slot, online, counted| Pulse {
        at: after(slot * SLOT),
        online: Some(online),
        machines: Some(1_000),
        counted,
    };
    assert_eq!(found, [pulse(4, (4, 6), counted(3, 15, 0)), pulse(8, (8, 11), counted(4, 38, 0))]);
    assert_eq!(pulses(store, &things, (7, 8), 1).await, [], "nobody noted anything of it");
    let all = pulses(store, &things, (0, most + 1), 1).await;
    assert_eq!((all.len(), all[0].at), (PULSES as usize, after(0)), "{:?}", all.last());
}

/// What was issued or may be used still, from the beginning of what is asked for and before its end.
pub async fn what_ends_is_told_by_day_and_kind_while_it_counts<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (others, foreign) = Things::in_store(store, 2).await;
    let machine = things.machine(&site);
    let operator = things.operator();
    let credential = |not_after, state| Credential { not_after, state, ..things.credential(&machine) };
    let certificate = |not_after| Credential {
        kind: CredentialKind::Certificate { key: things.fingerprint() },
        ..credential(not_after, CredentialState::Issued(Minted::Certificate(vec![1])))
    };
    let ended = CredentialState::Ended { at: at(1), reason: EndReason::Renewed };
    let (early, late) = (after(DAY), after(2 * DAY - 1));
    let credentials = [
        certificate(early),
        certificate(late),
        certificate(after(2 * DAY)),
        certificate(after(DAY - 1)),
        certificate(after(4 * DAY)),
        credential(early, CredentialState::Issued(Minted::Bearer)),
        credential(early, CredentialState::Reserved),
        credential(early, ended),
    ];
    let once = |uses| Grant { uses, expires_at: Some(late), ..things.grant(&site) };
    let grants = [
        once(Uses::Once(None)),
        once(Uses::Once(Some(Binding { key: None, at: at(0) }))),
        once(Uses::Capped { limit: 2, used: 1 }),
        once(Uses::Capped { limit: 2, used: 2 }),
        once(Uses::Unlimited),
        Grant { state: GrantState::Revoked(at(5)), ..once(Uses::Unlimited) },
        Grant { expires_at: None, ..once(Uses::Unlimited) },
    ];
    let token = |kind, ended_at| AccessToken { expires_at: early, ended_at, ..things.token(&operator, kind) };
    let tokens = [
        token(AccessKind::Api, None),
        token(AccessKind::Api, Some(at(4))),
        token(AccessKind::Session, None),
        token(AccessKind::Login, None),
    ];
    let made = [created(&machine), AccessChange::CreateOperator(operator.clone()).into()];
    let changes = made
        .into_iter()
        .chain(credentials.into_iter().map(|one| Change::from(CredentialChange::Reserve(one))))
        .chain(grants.into_iter().map(|one| GrantChange::Create(one).into()))
        .chain(tokens.into_iter().map(|one| AccessChange::CreateToken(one).into()));
    write(store, &things, changes.collect()).await;
    let abroad = Grant { expires_at: Some(early), ..others.grant(&foreign) };
    write(store, &others, vec![GrantChange::Create(abroad).into()]).await;

    let mut reads = store.reader().await.expect("a reader");
    let found = reads.expiring(things.tenant, after(DAY), after(4 * DAY)).await.expect("an answer");
    let day = |days: i64| muster_model::pulse::day_of(after(days * DAY));
    let expiry = |days, what, count| Expiry { day: day(days), what, count };
    let expected = [
        expiry(1, Expiring::Certificate, 2),
        expiry(1, Expiring::BearerKey, 1),
        expiry(1, Expiring::Grant, 3),
        expiry(1, Expiring::ApiToken, 1),
        expiry(2, Expiring::Certificate, 1),
    ];
    assert_eq!(found, expected);
}

/// As they say themselves, where they say it as our agent does first; those that say nothing are one more.
pub async fn versions_are_those_that_active_machines_say<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (others, foreign) = Things::in_store(store, 2).await;
    let active = MachineState::Active(Active { since: at(0) });
    let ended = MachineState::Retired(Retired { since: at(1), cause: RetireCause::Left, readmit: None });
    let machine = |said: &[(&str, &str)], state: &MachineState| Machine {
        attributes: Attributes::new(said.iter().copied()).expect("well-formed attributes"),
        state: state.clone(),
        hardware_id: None,
        key: None,
        ..things.machine(&site)
    };
    let machines = [
        machine(&[("agent_version", "0.2.0"), ("version", "9")], &active),
        machine(&[("version", "0.2.0")], &active),
        machine(&[("agent_version", "0.2.0")], &active),
        machine(&[("agent_version", "0.1.0")], &active),
        machine(&[("agent_version", "")], &active),
        machine(&[("os", "0.1.0")], &active),
        machine(&[("agent_version", "0.0.9 \"beta\" \\ ü")], &active),
        machine(&[("agent_version", "0.1.0")], &ended),
    ];
    write(store, &things, machines.iter().map(created).collect()).await;
    let abroad = Machine { state: active, ..others.machine(&foreign) };
    write(store, &others, vec![created(&abroad)]).await;
    let mut reads = store.reader().await.expect("a reader");
    let mut asked = async |limit| reads.versions(things.tenant, limit).await.expect("an answer");
    let run = |version: Option<&str>, machines| VersionUse { version: version.map(str::to_owned), machines };
    let found = asked(10).await;
    let beta = "0.0.9 \"beta\" \\ ü";
    assert_eq!(found[..2], [run(Some("0.2.0"), 3), run(None, 2)]);
    assert_eq!(found[2..], [run(Some(beta), 1), run(Some("0.1.0"), 1)]);
    assert_eq!(asked(2).await, found[..2]);
}

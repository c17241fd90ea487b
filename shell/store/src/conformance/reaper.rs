//! What the reaper goes by.

use muster_lifecycle::reap::{Due, Stop, Traces, Watched};
use muster_lifecycle::{CredentialChange, TenantChange};
use muster_model::{
    Active, Credential, Machine, MachineId, MachineState, RetireCause, Retired, SignedDuration, SuspendCause,
    Suspended, Timestamp,
};

use super::Fixture;
use super::decisions::{Write, write};
use super::things::{Things, at, created};
use crate::{
    Fence, Lists, PageRequest, Presence, PresenceNote, QuietRow, Reads, STRETCHES, SettleError, Store,
    StoreError,
};

async fn lease<S: Store>(store: &S) -> Fence {
    let span = SignedDuration::from_secs(30);
    store.lease("reaper", span).await.expect("an answer").expect("nobody else has it")
}

async fn watched<S: Store>(store: &S) -> Vec<Watched> {
    store.reader().await.expect("a reader").watched().await.expect("an answer")
}

/// A stretch goes on and never shrinks, another one is another row, and of very many the last are kept.
pub async fn when_the_fleet_was_watched_is_kept_and_bounded<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let fence = lease(store).await;
    let stretch = |began, until| Watched { began: at(began), until: at(until) };
    assert_eq!(watched(store).await, []);
    for note in [stretch(10, 10), stretch(10, 20), stretch(50, 60), stretch(10, 15), stretch(5, 70)] {
        store.note_watched(fence, note).await.expect("noted");
    }
    assert_eq!(watched(store).await, [stretch(5, 70), stretch(10, 20), stretch(50, 60)]);
    for n in 0..i64::from(STRETCHES) {
        store.note_watched(fence, stretch(1_000 + n * 10, 1_001 + n * 10)).await.expect("noted");
    }
    let kept = watched(store).await;
    assert_eq!((kept.len(), kept[0]), (STRETCHES as usize, stretch(1_000, 1_001)), "the oldest go");
}

/// A stop is noted once and taken back once, for one tenant.
pub async fn the_reaper_stops_once_and_goes_on_once<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let (others, _) = Things::in_store(store, 2).await;
    let told = async |of: &Things| {
        store.reader().await.expect("a reader").reaper_stop(of.tenant).await.expect("an answer")
    };
    assert_eq!(told(&things).await, None);
    let stop = Stop { since: at(7), due: 12, fleet: 100 };
    write(store, &things, vec![TenantChange::Reaper(Some(stop)).into()]).await;
    assert_eq!((told(&things).await, told(&others).await), (Some(stop), None));
    let again = |change: Option<Stop>, of: &Things| Write {
        changes: vec![TenantChange::Reaper(change).into()],
        entries: vec![of.entry()],
    };
    for wrong in [again(None, &others), again(Some(stop), &things)] {
        let settled = store.settle(wrong).await;
        assert!(matches!(settled, Err(SettleError::Store(StoreError::Invariant { .. }))), "{settled:?}");
    }
    write(store, &things, vec![TenantChange::Reaper(None).into()]).await;
    assert_eq!(told(&things).await, None);
}

/// Machines that came, were let in and were last heard of so many milliseconds after the start, each in a state.
struct Fleet {
    things: Things,
    machines: Vec<(Machine, Traces)>,
}

impl Fleet {
    async fn of<F: Fixture>(fixture: &F) -> Self {
        let store = fixture.store();
        let (things, site) = Things::in_store(store, 1).await;
        let (others, foreign) = Things::in_store(store, 2).await;
        let active = |since| MachineState::Active(Active { since: at(since) });
        let paused = |since, cause| MachineState::Suspended(Suspended { since: at(since), cause });
        let ended = |cause| MachineState::Retired(Retired { since: at(0), cause, readmit: None });
        let states = [
            active(0),
            active(90),
            paused(0, SuspendCause::Silent),
            paused(90, SuspendCause::Silent),
            paused(0, SuspendCause::Operator(None)),
            paused(0, SuspendCause::Probation),
            ended(RetireCause::Silent),
        ];
        let mut fleet = Self { things, machines: Vec::new() };
        for state in states {
            for (enrolled, seen, issued, online) in [
                (None, None, None, false),
                (Some(10), Some(50), Some(20), false),
                (Some(10), Some(51), Some(20), false),
                (Some(10), Some(20), Some(51), false),
                (Some(51), Some(20), Some(20), false),
                (Some(10), Some(20), None, true),
            ] {
                let machine = Machine {
                    state: state.clone(),
                    hardware_id: None,
                    key: None,
                    enrolled_at: enrolled.map(at),
                    key_since: None,
                    alarm: None,
                    lineage: Default::default(),
                    ..fleet.things.machine(&site)
                };
                let presence = Presence { last_seen: seen.map(at), online };
                fleet.machines.push((machine, Traces { presence, issued: issued.map(at) }));
            }
        }
        let machine = Machine { state: active(0), ..others.machine(&foreign) };
        write(store, &others, vec![created(&machine)]).await;
        fleet.write(store).await;
        fleet
    }

    async fn write<S: Store>(&self, store: &S) {
        let mut changes: Vec<_> = self.machines.iter().map(|(machine, _)| created(machine)).collect();
        let mut notes = Vec::new();
        for (machine, traces) in &self.machines {
            let older = traces.issued.map(|issued| issued - SignedDuration::from_millis(5));
            for not_before in traces.issued.into_iter().chain(older) {
                let credential = Credential { not_before, ..self.things.credential(machine) };
                changes.push(CredentialChange::Reserve(credential).into());
            }
            let Presence { last_seen, online } = traces.presence;
            let note = |last_seen| PresenceNote {
                tenant: machine.tenant,
                machine: machine.id,
                last_seen,
                online,
                bundle: None,
            };
            notes.extend(last_seen.map(note));
        }
        write(store, &self.things, changes).await;
        store.note_presence(notes).await.expect("noted");
    }

    /// What a look at each machine gives.
    fn quiet(&self, due: Due, since: Timestamp) -> Vec<QuietRow> {
        let is_quiet = |(machine, traces): &&(Machine, Traces)| {
            let is_of = match due {
                Due::Pause => matches!(machine.state, MachineState::Active(_)),
                Due::Retire => machine.state.is_silenced(),
            };
            let known = [machine.enrolled_at, traces.presence.last_seen, traces.issued];
            let heard = known.into_iter().flatten().chain([machine.state.since()]).max();
            is_of && !traces.presence.online && heard.is_some_and(|heard| heard <= since)
        };
        let row =
            |(machine, traces): &(Machine, Traces)| QuietRow { machine: machine.clone(), traces: *traces };
        self.machines.iter().filter(is_quiet).map(row).collect()
    }
}

/// Who is quiet is what a look at each machine gives, in pages of any size.
pub async fn who_is_quiet_is_found_among_those_who_may_be_taken<F: Fixture>(fixture: &F) {
    let fleet = Fleet::of(fixture).await;
    for (due, since) in
        [(Due::Pause, 50), (Due::Retire, 50), (Due::Pause, 500), (Due::Retire, 500), (Due::Pause, 9)]
    {
        let expected = fleet.quiet(due, at(since));
        for limit in [1, 2, 100] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let mut reads = fixture.store().reader().await.expect("a reader");
                let page = PageRequest { after, limit };
                let listed = reads.quiet(fleet.things.tenant, due, at(since), page).await.expect("a page");
                found.extend(listed.items);
                after = listed.next;
                if after.is_none() {
                    break;
                }
            }
            let ids = |rows: &[QuietRow]| rows.iter().map(|row| row.machine.id).collect::<Vec<MachineId>>();
            assert_eq!(ids(&found), ids(&expected), "{due:?} since {since}, pages of {limit}");
            assert_eq!(found, expected, "{due:?} since {since}");
        }
    }
    let mut reads = fixture.store().reader().await.expect("a reader");
    let mut counted =
        async |since| reads.count_silenced(fleet.things.tenant, at(since)).await.expect("a count");
    assert_eq!([counted(-1).await, counted(0).await, counted(90).await], [12, 6, 0]);
}

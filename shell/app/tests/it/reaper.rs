//! Machines that nobody hears of: only watched time is silence, no run takes more than its share, and each way back.

use std::sync::Arc;

use muster_app::{
    App, Channel, Delivered, Doing, Found, MachineCaller, Order, Patience, Provisioner, Provisioners, Reaped,
    Store,
};
use muster_lifecycle::{Change, Context, MachineChange, Plan};
use muster_model::{
    Active, Actor, Machine, MachineId, MachineState, Mishap, Object, OperatorRole, Refusal, SignedDuration,
    Timestamp,
};
use muster_store::{Decision, Reads, StoreError, Unscoped};
use muster_testkit::reference::ReferenceStore;
use muster_testkit::world::{Device, World, enrolled, held, machine_id};
use muster_testkit::{FixedClock, Kit};
use muster_wire::account::CreateAccount;
use muster_wire::audit::AuditEntry;
use muster_wire::grant::CreateGrant;

use crate::support::{der, hours, refusal};

const TICK: SignedDuration = SignedDuration::from_mins(5);
const SILENCE: SignedDuration = SignedDuration::from_hours(10);

/// After this much more silence a machine is ended. Who is paused counts as due for a day.
const MORE: SignedDuration = SignedDuration::from_hours(30);

/// Shorter than any configuration may say.
fn impatient() -> Patience {
    Patience { pause_after: Some(SILENCE), retire_after: Some(MORE) }
}

async fn on_sqlite() -> World {
    reaching_out(World::with(|settings| settings.patience = impatient()).await)
}

async fn on_the_reference() -> World<ReferenceStore> {
    let clock = FixedClock::default();
    let over = World::over(ReferenceStore::default(), clock, |settings| settings.patience = impatient());
    reaching_out(over.await)
}

fn reaching_out<S: Store>(world: World<S>) -> World<S> {
    let hook = "hook".parse().expect("a name");
    world.app.provide(Provisioners::default().with(hook, Arc::new(Obedient), 1));
    world
}

/// Each of these holds on both stores.
macro_rules! on_both {
    ($($(#[$note:meta])* $name:ident)+) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() {
                super::rules::$name(super::on_sqlite().await).await;
            }

            #[tokio::test]
            async fn on_the_reference() {
                super::rules::$name(super::on_the_reference().await).await;
            }
        }
    )+};
}

on_both! {
    who_stays_silent_is_paused_and_ended_later_and_its_accounts_with_it
    who_is_heard_of_again_goes_on_by_itself_and_an_operators_pause_stays
    q_16_an_outage_of_the_server_is_nobodys_silence
    q_16_a_clock_that_jumps_a_day_takes_nobody
    a_run_takes_its_share_and_the_rest_in_later_runs
    q_15_an_outage_of_the_whole_fleet_is_told_once_and_takes_nobody
    a_fault_that_creeps_is_a_fault
    who_was_ended_for_silence_is_restored_for_thirty_days_with_all_it_held
    what_is_told_beforehand_is_what_a_run_takes
}

/// Makes machines without anybody's having enrolled.
struct Plant(Vec<Machine>, Context);

impl Decision for Plant {
    const NAME: &'static str = "test.plant";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        let changes = self.0.iter().map(|machine| Change::from(MachineChange::Create(machine.clone())));
        let entry = self.1.entry(Self::NAME, Object::Tenant(self.1.tenant), "made");
        Ok(Plan::new((), changes.collect(), entry))
    }
}

/// Machines that were let in now and never opened a channel.
pub(crate) async fn plant<S: Store>(world: &World<S>, count: usize) -> Vec<MachineId> {
    let tenant = world.founded.tenant;
    let mut reads = world.app.store().reader().await.expect("a reader");
    let site = reads.only_site(tenant).await.expect("an answer").expect("the site");
    let (kit, now) =
        (Kit { tenant, ..Kit::numbered(9 + world.machines().await.len() as u64) }, world.clock.now());
    let machine = |_| Machine {
        state: MachineState::Active(Active { since: now }),
        created_at: now,
        enrolled_at: Some(now),
        ..kit.machine(&site)
    };
    let machines: Vec<Machine> = (0..count).map(machine).collect();
    let ids = machines.iter().map(|machine| machine.id).collect();
    let context = Context { tenant, actor: Actor::System, source: None, now, entry: kit.ids.next() };
    world.app.store().settle(Plant(machines, context)).await.expect("made");
    ids
}

/// Time passes, and this server looks every five minutes. What all runs did, and how many there were.
async fn watches<S: Store>(app: &App<S>, clock: &FixedClock, span: SignedDuration) -> (Reaped, u32) {
    let end = clock.now() + span;
    let (mut all, mut runs) = (Reaped::default(), 0);
    while clock.now() < end {
        clock.advance(TICK);
        let reaped = app.reap().await.expect("a look");
        all.paused += reaped.paused;
        all.retired += reaped.retired;
        all.stopped += reaped.stopped;
        runs += u32::from(reaped.ran);
    }
    (all, runs)
}

async fn pass<S: Store>(world: &World<S>, span: SignedDuration) -> Reaped {
    watches(&world.app, &world.clock, span).await.0
}

fn taken(paused: u64, retired: u64) -> Reaped {
    Reaped { paused, retired, ..Reaped::default() }
}

/// A machine that holds a channel for as long as it is kept, and an account.
async fn connected<S: Store>(world: &World<S>, name: &str) -> (MachineCaller, Channel) {
    let caller = world.caller(&world.enroll(&Device::new(name)).await).await.expect("known");
    let channel = world.app.channel_open(&caller).await.expect("a channel");
    (caller, channel)
}

/// Another system that does whatever it is asked.
struct Obedient;

impl Provisioner for Obedient {
    fn deliver<'a>(&'a self, _: &'a Order) -> Doing<'a, Delivered> {
        Box::pin(async { Delivered::Reached { ours: true } })
    }

    fn look<'a>(&'a self, _: &'a Order) -> Doing<'a, Result<Found, Mishap>> {
        Box::pin(async { Ok(Found::AsWanted) })
    }
}

async fn account<S: Store>(world: &World<S>, machine: MachineId) {
    let account = CreateAccount { provisioner: "hook".to_owned(), name: "web-1".to_owned() };
    world.app.create_account(machine, account, &world.admin()).await.expect("an account");
}

async fn state<S: Store>(world: &World<S>, machine: MachineId) -> (String, Option<String>) {
    let machine = world.machine(&machine.to_string()).await.machine;
    (machine.state, machine.state_reason)
}

fn silent(state: &str) -> (String, Option<String>) {
    (state.to_owned(), Some("silent".to_owned()))
}

async fn told<S: Store>(world: &World<S>, action: &str) -> Vec<AuditEntry> {
    let mut entries = world.audit().await;
    entries.retain(|entry| entry.action == action);
    entries
}

mod rules {
    use super::*;

    pub(super) async fn who_stays_silent_is_paused_and_ended_later_and_its_accounts_with_it<S: Store>(
        world: World<S>,
    ) {
        let (caller, channel) = connected(&world, "web-1").await;
        account(&world, caller.machine).await;
        let (_, _here) = connected(&world, "web-2").await;
        assert_eq!(pass(&world, hours(12)).await, taken(0, 0), "both are online");
        let gone = world.clock.now();
        channel.heard(gone);
        world.app.channel_closed(channel).await;
        let show = async || world.machine(&caller.machine.to_string()).await;
        assert_eq!(show().await.silence.expect("it is silent").pauses_at, Some(gone + SILENCE));
        assert_eq!(pass(&world, hours(9)).await, taken(0, 0));
        assert_eq!(pass(&world, hours(2)).await, taken(1, 0));
        assert_eq!(state(&world, caller.machine).await, silent("suspended"));
        let silence = show().await.silence.expect("it is silent");
        assert_eq!(silence.last_heard, gone);
        assert_eq!(silence.retires_at, silence.paused_at.map(|paused| paused + MORE));
        assert_eq!(show().await.accounts[0].wanted, "locked");
        assert_eq!(pass(&world, hours(28)).await, taken(0, 0));
        assert_eq!(pass(&world, hours(4)).await, taken(0, 1));
        assert_eq!(state(&world, caller.machine).await, silent("retired"));
        let entries = [told(&world, "machine.suspend").await, told(&world, "machine.retire").await].concat();
        assert_eq!(entries.len(), 2);
        for entry in entries {
            assert_eq!((entry.actor.as_str(), entry.object), ("system", caller.machine.to_string()));
            assert_eq!(entry.detail.get("last_heard"), Some(&gone.to_string()), "{:?}", entry.detail);
        }
    }

    pub(super) async fn who_is_heard_of_again_goes_on_by_itself_and_an_operators_pause_stays<S: Store>(
        world: World<S>,
    ) {
        let enrolled = world.enroll(&Device::new("web-1")).await;
        let caller = world.caller(&enrolled).await.expect("known");
        account(&world, caller.machine).await;
        let planted = plant(&world, 1).await;
        let (_, _there) = connected(&world, "web-3").await;
        let (_, _here) = connected(&world, "web-2").await;
        assert_eq!(pass(&world, hours(11)).await.paused, 0, "two of four: that is an outage");
        world.app.retire(planted[0], None, &world.admin()).await.expect("gone");
        assert_eq!(pass(&world, hours(1)).await.paused, 1);
        assert_eq!(state(&world, caller.machine).await, silent("suspended"));
        let back = world.caller(&enrolled).await.expect("its certificate is good");
        assert!(!back.suspended);
        assert_eq!(state(&world, caller.machine).await.0, "active");
        assert_eq!(world.machine(&caller.machine.to_string()).await.accounts[0].wanted, "live");
        let entry = told(&world, "machine.resume").await.pop().expect("it is told");
        assert_eq!((entry.actor, entry.detail["cause"].as_str()), (caller.machine.to_string(), "heard"));
        // An operator's word outweighs: whoever was silent and is paused by one stays so.
        assert_eq!(pass(&world, hours(11)).await.paused, 1);
        world
            .app
            .suspend(caller.machine, "stolen".parse().ok(), &world.admin())
            .await
            .expect("paused for good");
        assert!(world.caller(&enrolled).await.expect("known").suspended);
        assert_eq!(state(&world, caller.machine).await.1.as_deref(), Some("stolen"));
    }

    pub(super) async fn q_16_an_outage_of_the_server_is_nobodys_silence<S: Store>(mut world: World<S>) {
        let ids = plant(&world, 1).await;
        let (_, _here) = connected(&world, "web-2").await;
        assert_eq!(pass(&world, hours(9)).await, taken(0, 0));
        world.clock.advance(hours(24 * 300));
        world.restart().await;
        // Whoever is here holds its channel again.
        let (_, _again) = connected(&world, "web-3").await;
        assert_eq!(
            pass(&world, SignedDuration::from_mins(40)).await,
            taken(0, 0),
            "nine hours of it were watched"
        );
        assert_eq!(pass(&world, hours(1)).await, taken(1, 0));
        assert_eq!(state(&world, ids[0]).await, silent("suspended"));
    }

    pub(super) async fn q_16_a_clock_that_jumps_a_day_takes_nobody<S: Store>(world: World<S>) {
        plant(&world, 2).await;
        let (_, _here) = connected(&world, "web-2").await;
        assert_eq!(pass(&world, hours(4)).await, taken(0, 0));
        for jump in [24, -24, -24, 24] {
            world.clock.advance(hours(jump));
            let before = told(&world, "reaper.stop").await.len();
            assert_eq!(pass(&world, hours(1)).await, taken(0, 0), "jumped by {jump} h");
            assert_eq!(told(&world, "reaper.stop").await.len(), before);
        }
    }

    pub(super) async fn a_run_takes_its_share_and_the_rest_in_later_runs<S: Store>(world: World<S>) {
        let silent = plant(&world, 12).await;
        assert_eq!(pass(&world, hours(9)).await, taken(0, 0));
        plant(&world, 228).await;
        let mut each = Vec::new();
        while each.len() < 4 {
            world.clock.advance(TICK);
            let reaped = world.app.reap().await.expect("a look");
            each.extend(reaped.ran.then_some((reaped.paused, reaped.stopped)));
        }
        assert_eq!(each, [(0, 0), (10, 0), (2, 0), (0, 0)], "ten of 240, and the other two an hour later");
        for id in silent {
            assert_eq!(state(&world, id).await, super::silent("suspended"));
        }
    }

    pub(super) async fn q_15_an_outage_of_the_whole_fleet_is_told_once_and_takes_nobody<S: Store>(
        world: World<S>,
    ) {
        let ids = plant(&world, 30).await;
        let reaped = pass(&world, hours(16)).await;
        assert_eq!((reaped.paused, reaped.retired), (0, 0));
        assert!(reaped.stopped > 3, "{reaped:?}");
        let stops = told(&world, "reaper.stop").await;
        assert_eq!(stops.len(), 1, "once for all of it");
        assert_eq!((stops[0].detail["due"].as_str(), stops[0].detail["fleet"].as_str()), ("30", "30"));
        let warnings = world.app.status(&world.admin()).await.expect("a status").warnings;
        assert!(warnings.iter().any(|warning| warning.contains("30 of 30")), "{warnings:?}");
        let shown = world.app.reaper(&world.admin()).await.expect("a view");
        assert_eq!((shown.standing.as_str(), shown.due, shown.machines.len()), ("stopped", 30, 30));
        assert!(shown.machines.iter().all(|machine| !machine.taken));
        // Most of them were only replaced by others: an operator ends them, and it goes on.
        for id in &ids[1..] {
            world.app.retire(*id, None, &world.admin()).await.expect("ended");
        }
        let (_, _here) = connected(&world, "web-1").await;
        assert_eq!(pass(&world, hours(1)).await.paused, 1);
        assert_eq!(told(&world, "reaper.go").await.len(), 1);
        assert_eq!(told(&world, "reaper.stop").await.len(), 1);
        let warnings = world.app.status(&world.admin()).await.expect("a status").warnings;
        assert!(warnings.iter().all(|warning| !warning.contains("reaper")), "{warnings:?}");
    }

    pub(super) async fn a_fault_that_creeps_is_a_fault<S: Store>(world: World<S>) {
        // Five machines fall silent every hour: no run has more than five of 200 to take.
        for _ in 0..10 {
            plant(&world, 5).await;
            pass(&world, hours(1)).await;
        }
        plant(&world, 150).await;
        let reaped = pass(&world, hours(8)).await;
        assert!(reaped.paused <= 10, "one in twenty within a day: {reaped:?}");
        assert!(reaped.paused >= 5 && reaped.stopped > 0, "{reaped:?}");
    }

    pub(super) async fn who_was_ended_for_silence_is_restored_for_thirty_days_with_all_it_held<S: Store>(
        world: World<S>,
    ) {
        let device = Device::new("web-1");
        let inside = world.enroll(&device).await;
        let id = machine_id(&inside.machine.id);
        account(&world, id).await;
        let keyless = Device::new("legacy").keyless(&world.one_time().await);
        let bearer = enrolled(world.ask(keyless).await.expect("let in"));
        let secret = bearer.credential.bearer.clone().expect("a bearer key");
        plant(&world, 60).await;
        let (_, _here) = connected(&world, "web-2").await;
        // All but two are heard of all the while.
        let others: Vec<_> = world.machines().await;
        let legacy = machine_id(&bearer.machine.id);
        let others = others
            .iter()
            .map(|machine| machine_id(&machine.id))
            .filter(|other| *other != id && *other != legacy);
        let others: Vec<MachineId> = others.collect();
        let mut all = Reaped::default();
        for _ in 0..44 {
            for other in &others {
                world.app.beat(world.founded.tenant, *other).await.expect("heard");
            }
            world.app.flush_presence().await;
            let reaped = pass(&world, hours(1)).await;
            all = Reaped { paused: all.paused + reaped.paused, retired: all.retired + reaped.retired, ..all };
        }
        assert_eq!(all, taken(2, 2));
        let account_before = world.machine(&inside.machine.id).await.accounts[0].clone();
        assert_eq!(account_before.wanted, "locked");
        // Nobody is told that its identity is over.
        assert_eq!(refusal(world.app.by_certificate(&der(&inside.credential), None).await), Refusal::Reaped);
        assert_eq!(refusal(world.app.by_secret(&secret).await), Refusal::Reaped);
        let token = world.one_time().await;
        assert_eq!(refusal(world.ask(device.by_token(&token)).await), Refusal::Reaped);
        world.clock.advance(hours(24 * 29));
        let operator = world.operator(OperatorRole::Operator);
        let back = world.app.restore(id, "a laptop".parse().ok(), &operator).await.expect("in time");
        assert_eq!(back.state, "active");
        world.app.restore(id, None, &operator).await.expect("once more is the same");
        let shown = world.machine(&inside.machine.id).await;
        assert_eq!(shown.accounts[0].wanted, "live");
        assert_eq!(shown.machine.key, back.key);
        assert!(shown.silence.is_some_and(|silence| silence.pauses_at > Some(world.clock.now())));
        // Its certificate is over, its key is not.
        let token = world.one_time().await;
        let again = enrolled(world.ask(device.by_token(&token)).await.expect("the same machine"));
        assert_eq!(again.machine.id, inside.machine.id);
        assert!(!world.caller(&again).await.expect("known").suspended);
        // The other one stays out, and is told so for good.
        world.clock.advance(hours(24 * 2));
        let late = Refusal::WrongState { verb: "restore", state: "too_old" };
        assert_eq!(refusal(world.app.restore(legacy, None, &operator).await), late);
        assert_eq!(refusal(world.app.by_secret(&secret).await), Refusal::MachineRetired);
        let ended = others[0];
        world.app.retire(ended, None, &operator).await.expect("ended");
        let wrong = Refusal::WrongState { verb: "restore", state: "retired" };
        assert_eq!(refusal(world.app.restore(ended, None, &operator).await), wrong);
    }

    pub(super) async fn what_is_told_beforehand_is_what_a_run_takes<S: Store>(world: World<S>) {
        plant(&world, 11).await;
        let standing = world.app.reaper(&world.admin()).await.expect("a view").standing;
        assert_eq!(standing, "settling", "whoever begins to watch takes nobody for a while");
        pass(&world, hours(9)).await;
        plant(&world, 230).await;
        // Not yet a run: they were silent for long enough a moment ago.
        world.clock.advance(TICK);
        while world.app.reaper(&world.admin()).await.expect("a view").due == 0 {
            let reaped = world.app.reap().await.expect("a look");
            assert_eq!(reaped.paused, 0);
            world.clock.advance(TICK);
        }
        let shown = world.app.reaper(&world.admin()).await.expect("a view");
        assert_eq!((shown.standing.as_str(), shown.due, shown.share, shown.fleet), ("at_work", 11, 10, 241));
        let mut told: Vec<String> =
            shown.machines.iter().filter(|machine| machine.taken).map(|machine| machine.id.clone()).collect();
        assert_eq!(told.len(), 10);
        while !world.app.reap().await.expect("a look").ran {
            world.clock.advance(TICK);
        }
        let paused = world.machines().await.into_iter().filter(|machine| machine.state == "suspended");
        let mut paused: Vec<String> = paused.map(|machine| machine.id).collect();
        paused.sort_unstable();
        told.sort_unstable();
        assert_eq!(paused, told);
    }
}

#[tokio::test]
async fn another_replica_waits_before_it_takes_anybody_and_goes_on_where_the_first_watched() {
    let world = on_sqlite().await;
    let ids = plant(&world, 1).await;
    let (_, _here) = connected(&world, "web-2").await;
    let other = world.replica().await;
    assert_eq!(pass(&world, SILENCE - TICK).await, taken(0, 0));
    world.app.store().seat().cut_off(true);
    assert!(world.app.reap().await.is_err());
    let (reaped, runs) = watches(&other, &world.clock, SignedDuration::from_mins(30)).await;
    assert_eq!((reaped, runs), (taken(0, 0), 0), "it is due, and the other one has only begun to watch");
    let (reaped, runs) = watches(&other, &world.clock, TICK).await;
    assert_eq!((reaped, runs), (taken(1, 0), 1), "what the first one watched counts");
    assert_eq!(other.machine(ids[0], &world.admin()).await.expect("a machine").machine.state, "suspended");
}

#[tokio::test]
async fn whoever_lost_the_store_for_a_while_watched_nothing_and_waits_again() {
    let world = on_sqlite().await;
    plant(&world, 1).await;
    let (_, _here) = connected(&world, "web-2").await;
    assert_eq!(pass(&world, SILENCE - hours(1)).await, taken(0, 0));
    world.app.store().seat().cut_off(true);
    for _ in 0..48 {
        world.clock.advance(TICK);
        assert!(world.app.reap().await.is_err());
    }
    world.app.store().seat().cut_off(false);
    assert_eq!(pass(&world, SignedDuration::from_mins(55)).await, taken(0, 0), "four hours were not watched");
    assert_eq!(pass(&world, hours(1)).await, taken(1, 0));
}

#[tokio::test]
async fn a_machine_whose_row_cannot_be_read_is_passed_over_and_those_behind_it_are_taken() {
    let world = on_sqlite().await;
    plant(&world, 2).await;
    assert_eq!(pass(&world, hours(9)).await, taken(0, 0));
    plant(&world, 40).await;
    world.faults().broken("machine.reap");
    let mut ran = Vec::new();
    while ran.is_empty() {
        world.clock.advance(TICK);
        let reaped = world.app.reap().await.expect("one broken row is one broken row");
        ran.extend(reaped.ran.then_some((reaped.due, reaped.paused, reaped.broken)).filter(|ran| ran.0 > 0));
    }
    assert_eq!(ran, [(2, 1, 1)]);
}

#[tokio::test]
async fn nobody_is_taken_where_the_reaper_is_off_and_its_watch_is_noted_all_the_same() {
    let world = World::with(|settings| settings.patience = Patience::default()).await;
    plant(&world, 3).await;
    assert_eq!(pass(&world, hours(30)).await, taken(0, 0));
    let shown = world.app.reaper(&world.admin()).await.expect("a view");
    assert_eq!((shown.standing.as_str(), shown.due), ("off", 0));
    assert!(shown.watched_for >= 29 * 3600, "{shown:?}");
    assert_eq!(shown.watched_until, Some(world.clock.now()));
    let began: Timestamp = world.clock.now() - hours(30) + TICK;
    let kept = muster_store::Lists::watched(&mut world.app.store().reader().await.expect("a reader")).await;
    assert_eq!(kept.expect("an answer")[0].began, began, "one stretch");
}

#[tokio::test]
async fn a_machine_that_came_a_moment_ago_is_not_taken_whatever_is_written() {
    let world = on_sqlite().await;
    let (caller, channel) = connected(&world, "web-1").await;
    let (_, _here) = connected(&world, "web-2").await;
    world.app.channel_closed(channel).await;
    assert_eq!(pass(&world, SILENCE - TICK).await, taken(0, 0));
    // A decision that waits at its door while the machine comes.
    let gate = world.faults().gate("machine.reap");
    let (app, clock) = (world.app.clone(), world.clock.clone());
    let reaping = tokio::spawn(async move { watches(&app, &clock, hours(2)).await.0 });
    gate.arrived().await;
    let _back = world.app.channel_open(&caller).await.expect("a channel");
    gate.open();
    assert_eq!(reaping.await.expect("it ran"), taken(0, 0));
    assert_eq!(state(&world, caller.machine).await.0, "active");
}

#[tokio::test]
async fn who_claims_to_be_a_machine_that_is_paused_for_silence_waits_for_a_person() {
    let world = on_sqlite().await;
    let offline = muster_model::ReimagePolicy::OfflineOnly.as_str();
    world.site("berlin", |site| site.reimage = Some(offline.to_owned())).await;
    let at_berlin = || CreateGrant { site: Some("berlin".to_owned()), ..CreateGrant::default() };
    let device = Device::new("web-1");
    let inside = enrolled(world.ask(device.by_token(&world.token(at_berlin()).await)).await.expect("let in"));
    let other = enrolled(
        world.ask(Device::new("web-2").by_token(&world.token(at_berlin()).await)).await.expect("in"),
    );
    let _here = world.app.channel_open(&world.caller(&other).await.expect("known")).await.expect("a channel");
    assert_eq!(pass(&world, hours(12)).await, taken(1, 0));
    let claim = device.reinstalled().by_token(&world.token(at_berlin()).await);
    assert_eq!(held(world.ask(claim).await.expect("held")).reason, "key_mismatch");
    assert_eq!(state(&world, machine_id(&inside.machine.id)).await, silent("suspended"));
}

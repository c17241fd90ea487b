//! Ending many machines by what they have in common, and letting the hardware of an ended one come back.

use std::net::IpAddr;

use muster_app::{Caller, Origin, Store};
use muster_lifecycle::{Context, MachineChange, Plan};
use muster_model::{
    Actor, AuditId, Machine, MachineId, MachineState, Object, Refusal, RetireCause, SignedDuration,
};
use muster_store::{Decision, Reads, StoreError, Unscoped};
use muster_testkit::FixedClock;
use muster_testkit::reference::ReferenceStore;
use muster_testkit::world::{Device, FaultyStore, World, enrolled, held, machine_id};
use muster_wire::ending::{EndMachines, EndedMachines, Readmit};
use muster_wire::enroll::{EnrollAnswer, EnrollRequest};
use muster_wire::grant::{CreateGrant, CreatedGrant};
use muster_wire::hold::{Approve, Choice};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::support::{refusal, wrong_fields};

const SEED: u64 = 5;
const CASES: u32 = 12;

fn from(source: [u8; 4]) -> Origin {
    Origin { caller: Caller::Anonymous, source: Some(IpAddr::from(source)) }
}

async fn grant<S: Store>(world: &World<S>, approval: bool) -> CreatedGrant {
    let many = CreateGrant { uses: Some(0), approval, ..CreateGrant::default() };
    world.app.create_grant(many, None, &world.admin()).await.expect("a grant")
}

async fn ask<S: Store>(world: &World<S>, request: EnrollRequest, source: [u8; 4]) -> EnrollAnswer {
    world.app.enroll(request, &from(source)).await.expect("an answer")
}

/// Part after part of so many, added up.
async fn end<S: Store>(world: &World<S>, request: EndMachines) -> EndedMachines {
    let mut request = EndMachines { limit: Some(2), ..request };
    let mut whole: Option<EndedMachines> = None;
    loop {
        let part = world.app.end_machines(request.clone(), &world.admin()).await.expect("a part");
        request.after = part.next.clone();
        match &mut whole {
            Some(whole) => {
                whole.counts.add(&part.counts);
                whole.machines.extend(part.machines);
                whole.unknown_network += part.unknown_network;
            }
            None => whole = Some(part),
        }
        if request.after.is_none() {
            let whole = whole.expect("one part at least");
            return EndedMachines { next: None, ..whole };
        }
    }
}

fn all(verb: &str, change: impl FnOnce(&mut EndMachines)) -> EndMachines {
    let mut request = EndMachines { verb: verb.to_owned(), ..EndMachines::default() };
    change(&mut request);
    request
}

fn ids(ended: &EndedMachines) -> Vec<MachineId> {
    ended.machines.iter().map(|machine| machine_id(&machine.id)).collect()
}

#[tokio::test]
async fn q_07_a_grant_is_revoked_with_its_machines_its_invites_and_who_waits_by_it() {
    let world = World::new().await;
    let (leaked, other) = (grant(&world, false).await, grant(&world, false).await);
    let one = enrolled(ask(&world, Device::new("one").by_token(&leaked.token), [192, 0, 2, 1]).await);
    let two = enrolled(ask(&world, Device::new("two").keyless(&leaked.token), [192, 0, 2, 2]).await);
    let mine = enrolled(ask(&world, Device::new("mine").by_token(&other.token), [192, 0, 2, 3]).await);
    let clone = Device::new("mine").reinstalled();
    let waiting = held(ask(&world, clone.by_token(&leaked.token), [192, 0, 2, 4]).await);
    let request = all("revoke", |all| all.grant = Some(leaked.grant.id.clone()));
    let told = end(&world, EndMachines { dry_run: true, ..request.clone() }).await;
    let counts = told.counts;
    assert_eq!((counts.machines, counts.certificates, counts.bearer_keys), (2, 1, 1));
    assert_eq!((counts.grants, counts.holds), (1, 1), "the grant itself, and who waits by it");
    world.caller(&one).await.expect("a dry run ends nothing");
    let done = end(&world, EndMachines { expect: Some(2), ..request.clone() }).await;
    assert_eq!(EndedMachines { dry_run: true, ..done }, told, "it did what it said");
    assert_eq!(refusal(world.caller(&one).await), Refusal::Revoked);
    let bearer = two.credential.bearer.expect("a bearer key");
    assert_eq!(refusal(world.app.by_secret(&bearer).await), Refusal::Revoked);
    world.caller(&mine).await.expect("another grant's machine is left alone");
    let hold = world.app.hold(waiting.hold.parse().expect("an id"), &world.admin()).await.expect("a hold");
    assert_eq!(hold.hold.state, "rejected");
    let late = world.app.enroll(Device::new("late").by_token(&leaked.token), &world.stranger()).await;
    assert!(matches!(refusal(late), Refusal::NotEntitled { .. }), "nobody comes in by it any more");
    let again = end(&world, request).await;
    assert_eq!(again.counts, Default::default(), "done is done");
    let lineage = format!("grant {}", leaked.grant.id);
    let told = world.audit().await.into_iter().filter(|entry| entry.detail.get("lineage") == Some(&lineage));
    assert_eq!(told.count(), 4, "two machines, the grant and the hold, each with an entry of its own");
}

#[tokio::test]
async fn machines_are_chosen_by_network_by_time_and_by_who_let_them_in() {
    let world = World::new().await;
    let (open, asks) = (grant(&world, false).await, grant(&world, true).await);
    let near = enrolled(ask(&world, Device::new("near").by_token(&open.token), [198, 51, 100, 7]).await);
    let far = enrolled(ask(&world, Device::new("far").by_token(&open.token), [203, 0, 113, 7]).await);
    world.clock.advance(SignedDuration::from_hours(3));
    let device = Device::new("asks");
    let waiting = held(ask(&world, device.by_token(&asks.token), [198, 51, 100, 8]).await);
    let hold = waiting.hold.parse().expect("an id");
    world.app.approve(hold, &Approve::default(), &world.admin()).await.expect("approved");
    let approved = enrolled(ask(&world, device.by_token(&asks.token), [198, 51, 100, 8]).await);
    let chosen = async |change: fn(&mut EndMachines)| {
        let mut request = EndMachines { dry_run: true, ..all("revoke", change) };
        if request.since.is_some() {
            request.since = Some(world.app.now() - SignedDuration::from_hours(1));
        }
        ids(&end(&world, request).await)
    };
    let of = |machines: &[&muster_wire::enroll::Enrolled]| {
        machines.iter().map(|one| machine_id(&one.machine.id)).collect::<Vec<_>>()
    };
    let network = chosen(|all| all.network = Some("198.51.100.0/24".to_owned())).await;
    assert_eq!(network, of(&[&near, &approved]));
    assert_eq!(chosen(|all| all.approved_by = Some("admin".to_owned())).await, of(&[&approved]));
    let since = chosen(|all| all.since = Some(jiff_epoch())).await;
    assert_eq!(since, of(&[&approved]), "let in within the hour");
    let shown = world.machine(&approved.machine.id).await.machine;
    let admin = world.founded.admin.to_string();
    assert_eq!((shown.entered_from.as_deref(), shown.approved_by), (Some("198.51.100.8"), Some(admin)));
    world.caller(&far).await.expect("looking ends nothing");
}

/// A stand-in for a time that is not known beforehand.
fn jiff_epoch() -> muster_model::Timestamp {
    muster_model::Timestamp::UNIX_EPOCH
}

#[tokio::test]
async fn another_number_than_expected_and_naming_nothing_stop_it_before_anything_is_done() {
    let world = World::new().await;
    let enrolled = world.enroll(&Device::new("web-1")).await;
    let writes = world.writes();
    let by_site = all("retire", |all| all.site = Some("default".to_owned()));
    let two = EndMachines { expect: Some(2), ..by_site };
    let answer = world.app.end_machines(two, &world.admin()).await;
    assert_eq!(refusal(answer), Refusal::CountDiffers { expected: 2, found: 1 });
    let nobody = world.app.end_machines(all("retire", |_| {}), &world.admin()).await;
    assert_eq!(wrong_fields(nobody), ["machines"]);
    let typo = all("retire", |all| all.approved_by = Some("nobody".to_owned()));
    let answer = world.app.end_machines(typo, &world.admin()).await;
    assert_eq!(refusal(answer), Refusal::NotFound { what: "operator" });
    let unknown = all("burn", |all| all.site = Some("default".to_owned()));
    assert_eq!(wrong_fields(world.app.end_machines(unknown, &world.admin()).await), ["verb"]);
    assert_eq!(world.writes(), writes + 1, "what was refused is told, and nothing else is written");
    world.caller(&enrolled).await.expect("as good as before");
}

/// A machine of a population: whether it has a key, by which grant it came, and what became of it.
type Member = (bool, bool, u8);

async fn populated<S: Store>(world: &World<S>, members: &[Member], grants: &[CreatedGrant; 2]) {
    for (at, (keyed, second, fate)) in members.iter().enumerate() {
        let device = Device::new(&format!("m{at}"));
        let token = &grants[usize::from(*second)].token;
        let request = if *keyed { device.by_token(token) } else { device.keyless(token) };
        let answer = ask(world, request, [198, 51, u8::from(*second), 7]).await;
        let EnrollAnswer::Enrolled(enrolled) = answer else { continue };
        let (id, admin) = (machine_id(&enrolled.machine.id), world.admin());
        match fate {
            0 => drop(world.app.suspend(id, None, &admin).await.expect("paused")),
            1 => drop(world.app.revoke(id, None, None, false, &admin).await.expect("revoked")),
            2 => drop(world.app.retire(id, None, &admin).await.expect("retired")),
            3 => silence(world, id, false).await,
            4 => silence(world, id, true).await,
            _ => {}
        }
    }
}

/// What the reaper does to a machine, without the months before it.
struct Silence {
    machine: MachineId,
    ends: bool,
    context: Context,
}

impl Decision for Silence {
    const NAME: &'static str = "test.silence";
    type Facts = Option<Machine>;
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        reads.machine(self.context.tenant, self.machine).await
    }

    fn decide(&self, machine: Self::Facts) -> Result<Plan<()>, Refusal> {
        let machine = machine.expect("it is there");
        let mut state = machine.state.clone().silenced(self.context.now)?;
        if self.ends {
            state = state.retired(self.context.now, RetireCause::Silent)?;
        }
        let entry = self.context.entry("machine.reap", Object::Machine(machine.id), "silent");
        Ok(Plan::new((), vec![MachineChange::Update(Machine { state, ..machine }).into()], entry))
    }
}

async fn silence<S: Store>(world: &World<S>, machine: MachineId, ends: bool) {
    let (tenant, now) = (world.founded.tenant, world.clock.now());
    let entry = AuditId::new(7, *machine.as_bytes().last_chunk().expect("ten"));
    let context = Context { tenant, actor: Actor::System, source: None, now, entry };
    world.app.store().settle(Silence { machine, ends, context }).await.expect("written");
}

fn chosen(verb: &str, by: u8, grants: &[CreatedGrant; 2]) -> EndMachines {
    all(verb, |all| match by {
        0 => all.grant = Some(grants[0].grant.id.clone()),
        1 => all.network = Some("198.51.1.0/24".to_owned()),
        _ => all.site = Some("default".to_owned()),
    })
}

async fn a_dry_run_counts_what_is_done<S: Store>(store: S, members: &[Member], verb: &str, by: u8) {
    let world = World::over(store, FixedClock::default(), |_| {}).await;
    let grants = [grant(&world, false).await, grant(&world, members.len() % 2 == 1).await];
    populated(&world, members, &grants).await;
    let request = chosen(verb, by, &grants);
    let before = states(&world).await;
    let told = end(&world, EndMachines { dry_run: true, ..request.clone() }).await;
    assert_eq!(states(&world).await, before, "a dry run changes nothing");
    let done = end(&world, EndMachines { expect: Some(told.counts.machines), ..request.clone() }).await;
    assert_eq!(done, EndedMachines { dry_run: false, ..told.clone() });
    let after = states(&world).await;
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!(moved as u64, told.counts.machines, "so many machines changed their state");
    assert_eq!(end(&world, request).await.counts, Default::default(), "repeating it does nothing more");
}

async fn states<S: Store>(world: &World<S>) -> Vec<(MachineId, MachineState)> {
    let mut reads = world.app.store().reader().await.expect("a reader");
    let mut states = Vec::new();
    for id in world.machines().await.iter().map(|one| machine_id(&one.id)) {
        let machine = reads.machine(world.founded.tenant, id).await.expect("an answer").expect("listed");
        states.push((id, machine.state));
    }
    states
}

#[tokio::test]
async fn whom_the_reaper_took_is_of_its_lineage_still_and_does_not_come_back_when_that_ends() {
    let world = World::new().await;
    let leaked = grant(&world, false).await;
    let (paused, ended) = (Device::new("paused"), Device::new("ended"));
    let one = enrolled(ask(&world, paused.by_token(&leaked.token), [192, 0, 2, 1]).await);
    let two = enrolled(ask(&world, ended.by_token(&leaked.token), [192, 0, 2, 2]).await);
    silence(&world, machine_id(&one.machine.id), false).await;
    silence(&world, machine_id(&two.machine.id), true).await;
    let pause = end(&world, all("suspend", |all| all.site = Some("default".to_owned()))).await;
    assert_eq!(ids(&pause), [machine_id(&one.machine.id)], "its pause would have ended by itself");
    assert_eq!(world.machine(&one.machine.id).await.machine.state, "suspended");
    let caller = world.caller(&one).await.expect("known");
    drop(world.app.channel_open(&caller).await);
    assert_eq!(
        world.machine(&one.machine.id).await.machine.state,
        "suspended",
        "being heard ends it no more"
    );
    let revoked = end(&world, all("revoke", |all| all.grant = Some(leaked.grant.id.clone()))).await;
    assert_eq!((revoked.counts.machines, revoked.counts.certificates), (2, 2));
    let back = world.app.restore(machine_id(&two.machine.id), None, &world.admin()).await;
    assert_eq!(refusal(back), Refusal::WrongState { verb: "restore", state: "retired" });
    assert_eq!(refusal(world.caller(&two).await), Refusal::Revoked);
}

#[test]
fn q_07_the_counts_of_a_dry_run_are_those_of_the_effect() {
    let members = proptest::collection::vec((any::<bool>(), any::<bool>(), 0..7u8), 1..7);
    let verb = prop_oneof![Just("suspend"), Just("revoke"), Just("retire")];
    let config = Config {
        cases: CASES,
        rng_seed: RngSeed::Fixed(SEED),
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let run = TestRunner::new(config).run(&(members, verb, 0..3u8), |(members, verb, by)| {
        runtime.block_on(a_dry_run_counts_what_is_done(ReferenceStore::default(), &members, verb, by));
        Ok(())
    });
    run.unwrap_or_else(|failed| panic!("{failed}"));
    let members = [
        (true, false, 9),
        (false, true, 9),
        (true, true, 0),
        (true, false, 1),
        (false, false, 2),
        (true, false, 3),
        (true, true, 4),
    ];
    for (verb, by) in [("revoke", 0), ("retire", 1), ("suspend", 2)] {
        runtime.block_on(a_dry_run_counts_what_is_done(FaultyStore::in_memory(), &members, verb, by));
    }
}

#[tokio::test]
async fn q_07_what_was_retired_comes_back_once_by_a_permit_that_is_spent_by_it() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    let id = machine_id(&first.machine.id);
    let open = grant(&world, false).await;
    let early = world.app.readmit(id, Readmit::default(), &world.admin()).await;
    assert_eq!(refusal(early), Refusal::WrongState { verb: "readmit", state: "active" });
    world.app.retire(id, None, &world.admin()).await.expect("retired");
    let permitted = world.app.readmit(id, Readmit::default(), &world.admin()).await.expect("permitted");
    assert_eq!(permitted.readmit_until, Some(world.app.now() + SignedDuration::from_hours(24)));
    assert_eq!(
        refusal(world.ask(device.by_token(&open.token)).await),
        Refusal::Revoked,
        "a dead key stays dead"
    );
    let back = device.reinstalled();
    let returned = enrolled(world.ask(back.by_token(&open.token)).await.expect("let in"));
    assert_eq!((machine_id(&returned.machine.id), returned.machine.generation), (id, 2));
    let shown = world.machine(&returned.machine.id).await.machine;
    assert_eq!((shown.state.as_str(), shown.readmit_until), ("active", None));
    world.caller(&returned).await.expect("it authenticates");
    world.app.retire(id, None, &world.admin()).await.expect("retired again");
    let third = device.reinstalled();
    let waiting = held(world.ask(third.by_token(&open.token)).await.expect("held"));
    assert_eq!(waiting.reason, "was_removed", "the permit was spent");
    let told: Vec<String> = world.audit().await.into_iter().map(|entry| entry.action).collect();
    assert!(told.contains(&"machine.readmit".to_owned()) && told.contains(&"machine.return".to_owned()));
}

#[tokio::test]
async fn a_permit_ends_by_itself_and_lets_a_person_decide_about_who_waits_already() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let id = machine_id(&world.enroll(&device).await.machine.id);
    let open = grant(&world, false).await;
    world.app.retire(id, None, &world.admin()).await.expect("retired");
    let back = device.reinstalled();
    let waiting = held(world.ask(back.by_token(&open.token)).await.expect("held"));
    let hold = waiting.hold.parse().expect("an id");
    let choices = async || world.app.hold(hold, &world.admin()).await.expect("a hold").choices;
    assert_eq!(choices().await, [Choice::New], "a tombstone is not revived by approving a newcomer");
    let brief = Readmit { expires_in: Some(60), reason: None };
    world.app.readmit(id, brief.clone(), &world.admin()).await.expect("permitted");
    assert_eq!(choices().await, [Choice::Same, Choice::New]);
    world.clock.advance(SignedDuration::from_secs(60));
    assert_eq!(choices().await, [Choice::New], "it ended by itself");
    world.app.readmit(id, brief, &world.admin()).await.expect("permitted again");
    let same = Approve { choice: Some(Choice::Same) };
    world.app.approve(hold, &same, &world.admin()).await.expect("approved");
    let shown = world.machine(&id.to_string()).await.machine;
    assert_eq!((shown.state.as_str(), shown.generation, shown.readmit_until), ("active", 2, None));
}

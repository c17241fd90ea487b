//! From one certificate authority to the next, over the reference store: each step, each step back, what is refused, what
//! another server follows, and what a database that was put back has forgotten.

use muster_app::{App, CaStep, Error, MachineCaller, Mark, Mode};
use muster_issuer::MachineTemplate;
use muster_model::{CredentialId, EntryPlace, IncarnationId, Refusal, SignedDuration};
use muster_testkit::world::{Device, FaultyStore, World, enrolled, leaf};
use muster_wire::ca::{CaStatus, ChangeCa};
use muster_wire::channel::Order;
use muster_wire::enroll::Enrolled;

use crate::support::{der, from, hours, identity, refusal, signed};

use CaStep::{Activate, Prepare, Publish, Remove, Taint, Undo};

async fn step(world: &World, step: CaStep) -> CaStatus {
    even_so(world, step, None).await.expect("it follows")
}

async fn even_so(world: &World, step: CaStep, even_so: Option<u64>) -> Result<CaStatus, Error> {
    world.clock.advance(SignedDuration::from_secs(120));
    world.app.look(None).await.expect("a look");
    world.app.change_ca(step, ChangeCa { even_so }, None, &world.admin()).await
}

async fn steps(world: &World, all: &[CaStep]) {
    for one in all {
        step(world, *one).await;
    }
}

/// A machine that is online says which roots it holds.
async fn holds(world: &World, caller: &MachineCaller, bundle: u64) {
    let channel = world.app.channel_open_holding(caller, Some(bundle)).await.expect("a channel");
    world.app.channel_closed(channel).await;
}

/// The next certificate, by a signature of the key.
async fn renewed(world: &World, device: &Device) -> muster_wire::enroll::Renewed {
    let signed = signed(world, device, "/v1/machines/self/renew");
    let caller = world.app.by_signature(&signed.call(), &world.stranger()).await.expect("its key counts");
    let caller = *caller.machine().expect("a machine");
    world.app.renew(&caller, &from(caller)).await.expect("renewed")
}

async fn told(world: &World) -> Vec<(String, String)> {
    let entries = world.audit().await.into_iter();
    let of_ca = entries.filter(|entry| entry.action.starts_with("ca."));
    of_ca.map(|entry| (entry.action, entry.reason)).collect()
}

#[tokio::test]
async fn the_whole_change_leaves_a_machine_that_heard_of_it_where_it_was() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    let caller = world.caller(&first).await.expect("known");
    let old = world.app.trust();
    assert_eq!((old.version, old.roots.len(), first.trust.version), (1, 2, 1));

    let prepared = step(&world, Prepare).await;
    assert_eq!(world.app.trust(), old, "nobody sees the next one");
    assert_eq!(prepared.next, ["publish", "undo"]);
    let published = step(&world, Publish).await;
    let trust = world.app.trust();
    assert_eq!((trust.version, trust.roots.len(), &trust.roots[..2]), (2, 4, &old.roots[..]));
    assert_eq!((published.pin.as_str(), published.behind), (old.pins[0].as_str(), 1));

    holds(&world, &caller, 2).await;
    let activated = step(&world, Activate).await;
    assert_ne!(activated.pin, old.pins[0]);
    assert_eq!(world.app.trust().version, 2, "everybody has the roots already");
    world.caller(&first).await.expect("what the old one signed is good");
    let next = renewed(&world, &device).await;
    assert_eq!(world.app.ca_status(&world.admin()).await.expect("a status").behind, 0);
    let caller = world.caller_by(&next.credential, None).await.expect("by the new one");
    assert_eq!(next.trust.pins[0], activated.pin);

    let removed = step(&world, Remove).await;
    assert_eq!((removed.phase.as_str(), removed.bundle, removed.behind), ("settled", 3, 1));
    assert!(old.pins.iter().all(|pin| !removed.pins.contains(pin)));
    holds(&world, &caller, 3).await;
    let status = world.app.ca_status(&world.admin()).await.expect("a status");
    assert_eq!((status.behind, status.holders.len(), status.next), (0, 1, vec!["prepare".to_owned()]));
    let acts = ["ca.prepare", "ca.publish", "ca.activate", "ca.remove"];
    let reasons = ["prepared", "published", "activated", "settled"];
    let expected: Vec<_> =
        acts.iter().zip(reasons).map(|(act, why)| ((*act).to_owned(), why.to_owned())).collect();
    assert_eq!(told(&world).await, expected);
}

#[tokio::test]
async fn every_step_is_taken_back_until_the_next_and_gives_out_a_newer_bundle_where_it_changes() {
    let world = World::new().await;
    let first = world.enroll(&Device::new("web-1")).await;
    let pin = world.app.trust().pins[0].clone();
    let undone = |status: CaStatus| (status.phase, status.bundle, status.pins.len());
    step(&world, Prepare).await;
    assert_eq!(undone(step(&world, Undo).await), ("settled".to_owned(), 1, 2));
    steps(&world, &[Prepare, Publish]).await;
    assert_eq!(undone(step(&world, Undo).await), ("prepared".to_owned(), 3, 2));
    step(&world, Publish).await;
    let published = world.app.trust();
    even_so(&world, Activate, Some(1)).await.expect("the one is known");
    let back = step(&world, Undo).await;
    assert_eq!((back.phase.as_str(), back.pin.as_str()), ("published", pin.as_str()));
    assert_eq!(world.app.trust(), published, "the same roots, the old one first");
    even_so(&world, Activate, Some(1)).await.expect("again");
    step(&world, Taint).await;
    assert_eq!(refusal(world.caller(&first).await), Refusal::CredentialExpired);
    step(&world, Undo).await;
    world.caller(&first).await.expect("it was a false alarm");
    even_so(&world, Remove, Some(1)).await.expect("gone");
    let settled = Refusal::WrongState { verb: "ca.undo", state: "settled" };
    assert_eq!(refusal(even_so(&world, Undo, None).await), settled);
}

#[tokio::test]
async fn a_machine_that_did_not_hear_of_the_roots_stops_the_activation_until_it_is_named() {
    let world = World::new().await;
    let (one, two) = (world.enroll(&Device::new("web-1")).await, world.enroll(&Device::new("web-2")).await);
    let caller = world.caller(&one).await.expect("known");
    steps(&world, &[Prepare, Publish]).await;
    holds(&world, &caller, 2).await;
    let status = world.app.ca_status(&world.admin()).await.expect("a status");
    assert_eq!((status.machines, status.behind), (2, 1));
    let named: Vec<_> = status.machines_behind.iter().map(|machine| machine.id.clone()).collect();
    assert_eq!(named, std::slice::from_ref(&two.machine.id));
    assert_eq!(refusal(even_so(&world, Activate, None).await), Refusal::TrustBehind { machines: 1 });
    let differs = Refusal::CountDiffers { expected: 0, found: 1 };
    assert_eq!(refusal(even_so(&world, Activate, Some(0)).await), differs);
    assert_eq!(world.app.ca().phase.as_str(), "published");
    even_so(&world, Activate, Some(2)).await.expect("fewer than was agreed to");
    // And what the old one signed stops the removal.
    holds(&world, &world.caller(&two).await.expect("known"), 2).await;
    assert_eq!(refusal(even_so(&world, Remove, None).await), Refusal::TrustBehind { machines: 2 });
    world.clock.advance(hours(25));
    even_so(&world, Remove, None).await.expect("nothing that it signed is alive");
}

#[tokio::test]
async fn a_bundle_is_noted_once_it_is_held_and_a_quiet_machine_costs_no_write() {
    let world = World::new().await;
    let caller = world.caller(&world.enroll(&Device::new("web-1")).await).await.expect("known");
    steps(&world, &[Prepare, Publish]).await;
    let channel = world.app.channel_open_holding(&caller, Some(1)).await.expect("a channel");
    let behind = async || world.app.ca_status(&world.admin()).await.expect("a status").behind;
    assert_eq!(behind().await, 1);
    world.app.channel_holds(&channel, 2).await;
    world.app.flush_presence().await;
    assert_eq!(behind().await, 0);
    let writes = world.writes();
    channel.heard(world.clock.now());
    world.app.flush_presence().await;
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn nobody_is_believed_to_hold_a_bundle_that_was_never_given_out() {
    let world = World::new().await;
    let caller = world.caller(&world.enroll(&Device::new("web-1")).await).await.expect("known");
    let behind = async || world.app.ca_status(&world.admin()).await.expect("a status").behind;
    let boasts = world.app.channel_open_holding(&caller, Some(u64::MAX)).await.expect("a channel");
    world.app.channel_holds(&boasts, i64::MAX.unsigned_abs()).await;
    world.app.flush_presence().await;
    assert_eq!((boasts.bundle(), behind().await), (Some(1), 0));
    steps(&world, &[Prepare, Publish]).await;
    assert_eq!(behind().await, 1, "it has to say so again");
}

#[tokio::test]
async fn a_server_that_cannot_use_the_authority_of_the_database_decides_nothing_after_half_a_minute() {
    let world = World::new().await;
    let other = world.another();
    other.look(None).await.expect("a look");
    let caller = world.caller(&world.enroll(&Device::new("web-1")).await).await.expect("known");
    step(&world, Prepare).await;
    // What it knows by the same revision is of another history.
    let mut foreign = world.app.ca();
    foreign.since += SignedDuration::from_secs(1);
    foreign.sealed = other.authority().sealed_for(&foreign).expect("sealed");
    other.take_ca(&foreign).expect("its own");
    other.look(None).await.expect("a look");
    assert!(matches!(other.follow_ca().await, Err(Error::Authority(_))), "it is noticed");
    assert_eq!((other.mode(), other.lacks_authority()), (Mode::Normal, false), "a moment is none");
    world.clock.advance(SignedDuration::from_secs(31));
    other.look(None).await.expect("a look");
    assert!(other.follow_ca().await.is_err());
    assert_eq!((other.mode(), other.lacks_authority()), (Mode::Stale, true));
    assert!(matches!(other.renew(&caller, &from(caller)).await, Err(Error::Stale)), "and signs nothing");
    let status = other.status(&world.admin()).await.expect("whoever looks is told");
    assert!(status.mode == "stale" && status.warnings.iter().any(|warning| warning.contains("seal key")));
    // A step after it is news for both, and makes it whole again.
    step(&world, Publish).await;
    other.look(None).await.expect("a look");
    other.follow_ca().await.expect("it can be used");
    assert_eq!((other.mode(), other.authority().pin()), (Mode::Normal, world.app.authority().pin()));
}

#[tokio::test]
async fn after_a_taint_a_certificate_is_good_for_nothing_and_its_key_gets_another() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    let caller = world.caller(&first).await.expect("known");
    steps(&world, &[Prepare, Publish]).await;
    holds(&world, &caller, 2).await;
    steps(&world, &[Activate, Taint]).await;
    assert_eq!(refusal(world.caller(&first).await), Refusal::CredentialExpired);
    // Whatever asks again is not given the same one: neither the renewal, nor an enrollment by the same key.
    let again =
        enrolled(world.ask(device.by_token(&world.one_time().await)).await.expect("the same machine"));
    assert_eq!(again.machine.id, first.machine.id);
    assert_ne!(again.credential.id, first.credential.id);
    world.caller_by(&again.credential, None).await.expect("by the new one");
    let next = renewed(&world, &device).await;
    assert_ne!(next.credential.id, first.credential.id);
    let caller = world.caller_by(&next.credential, Some(&device)).await.expect("by the new one");
    assert_eq!(refusal(world.caller(&first).await), Refusal::CredentialExpired);

    let mut channel = world.app.channel_open(&caller).await.expect("a channel");
    assert!(channel.orders.try_recv().is_err(), "in its turn: after a restart all come at once");
    assert_eq!(world.app.urge().await.expect("looked at"), 1);
    assert_eq!(channel.orders.try_recv().expect("an order").order, Order::Rotate);
    let status = world.app.ca_status(&world.admin()).await.expect("a status");
    assert_eq!(status.not_rotated, Some(1));
}

#[tokio::test]
async fn a_taint_is_told_to_those_who_are_here_a_few_at_a_time_and_a_new_key_is_left_alone() {
    let world = World::new().await;
    steps(&world, &[Prepare, Publish]).await;
    let mut channels = Vec::new();
    for n in 0..25 {
        let caller =
            world.caller(&world.enroll(&Device::new(&format!("web-{n}"))).await).await.expect("known");
        channels.push(world.app.channel_open_holding(&caller, Some(2)).await.expect("a channel"));
    }
    steps(&world, &[Activate, Taint]).await;
    let told = |channels: &mut Vec<muster_app::Channel>| {
        channels.iter_mut().filter_map(|channel| channel.orders.try_recv().ok()).count()
    };
    assert_eq!(told(&mut channels), 0, "not all at once");
    assert_eq!(world.app.urge().await.expect("looked at"), 20);
    assert_eq!(told(&mut channels), 20);
    assert_eq!(world.app.urge().await.expect("looked at"), 5);
    assert_eq!(told(&mut channels), 5);
    assert_eq!(world.app.urge().await.expect("nobody is left"), 0);
    // Who came since has a key that nobody else ever certified.
    let new = world.caller(&world.enroll(&Device::new("new")).await).await.expect("known");
    let mut channel = world.app.channel_open(&new).await.expect("a channel");
    assert!(channel.orders.try_recv().is_err());
}

/// The same history, further: what a server has seen before its database was put back.
fn further(mark: Mark) -> Mark {
    let newest = mark.newest.map(|place| EntryPlace { seq: place.seq + 30, ..place });
    Mark { newest, ..mark }
}

/// A certificate as the thief of an issuing key signs it: for a key of its own, in the name of a machine, with a serial
/// number of the stretch that a restored database forgot.
fn forged(app: &App<FaultyStore>, world: &World, victim: &Enrolled, thief: &Device, millis: i64) -> Vec<u8> {
    let identity = identity(world, victim);
    let template = MachineTemplate {
        serial: CredentialId::new(millis.unsigned_abs(), [9; 10]),
        tenant: identity.tenant,
        machine: identity.machine,
        not_before: world.clock.now(),
        not_after: world.clock.now() + hours(12),
    };
    app.authority().issue(&thief.public(), &template).expect("signed")
}

#[tokio::test]
async fn q_55_a_tainted_authority_gets_nobody_adopted() {
    let world = World::new().await;
    let victim = world.enroll(&Device::new("web-1")).await;
    // A server that hears of nothing any more: the stolen key.
    let stolen = world.another();
    world.clock.advance(hours(1));
    let millis = world.clock.now().as_millisecond();
    let seen = further(world.app.look(None).await.expect("a look"));
    world.app.look(Some(&seen)).await.expect("a look");
    assert_eq!(world.app.mode(), Mode::Restored);
    world.clock.advance(hours(1));
    world.app.look(Some(&seen)).await.expect("a look");
    world.app.accept_restore(None, &world.admin()).await.expect("accepted");
    let thief = Device::new("thief");
    let certificate = forged(&stolen, &world, &victim, &thief, millis);
    steps(&world, &[Prepare, Publish]).await;
    even_so(&world, Activate, Some(1)).await.expect("activated");
    step(&world, Taint).await;
    let refused = refusal(world.app.by_certificate(&certificate, None).await);
    assert_eq!(refused, Refusal::NotAuthenticated { cause: "key_unknown" });
    step(&world, Undo).await;
    // The same certificate before a taint: this is what was closed.
    world.app.by_certificate(&certificate, None).await.expect("adopted as one that was forgotten");
}

#[tokio::test]
async fn another_server_follows_and_one_that_starts_later_begins_where_the_others_are() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    let other = world.replica().await;
    let mut news = other.ca_steps();
    news.mark_unchanged();
    steps(&world, &[Prepare, Publish]).await;
    assert_eq!(other.trust().version, 1);
    other.follow_ca().await.expect("followed");
    assert!(news.has_changed().expect("it stands"));
    news.mark_unchanged();
    assert_eq!(other.trust(), world.app.trust());
    even_so(&world, Activate, Some(1)).await.expect("activated");
    // By the server that has not heard of it yet: good everywhere.
    let caller = world.caller(&first).await.expect("known");
    let late = other.renew(&caller, &from(caller)).await.expect("renewed");
    world.caller_by(&late.credential, None).await.expect("the old roots are still in the bundle");
    other.follow_ca().await.expect("followed");
    other.follow_ca().await.expect("nothing new");
    assert_eq!(other.authority().pin(), world.app.authority().pin());
    let later = world.replica().await;
    later.follow_ca().await.expect("followed");
    assert_eq!(later.trust(), world.app.trust());
}

#[tokio::test]
async fn of_two_operators_one_takes_the_step_and_a_repetition_takes_none() {
    let world = World::new().await;
    let other = world.replica().await;
    let admin = world.admin();
    let ask = |app: &App<FaultyStore>, key: &'static str| {
        let (app, admin) = (app.clone(), admin.clone());
        async move { app.change_ca(Prepare, ChangeCa::default(), Some(key), &admin).await }
    };
    let (one, two) = tokio::join!(ask(&world.app, "one"), ask(&other, "two"));
    assert_eq!([&one, &two].iter().filter(|taken| taken.is_ok()).count(), 1, "{one:?} {two:?}");
    let key = if one.is_ok() { "one" } else { "two" };
    let again = ask(&world.app, key).await.expect("the same answer");
    assert_eq!((again.phase.as_str(), again.revision), ("prepared", 1));
    other.follow_ca().await.expect("followed");
    assert_eq!(other.ca(), world.app.ca());
}

#[tokio::test]
async fn a_crash_around_a_step_leaves_it_taken_or_not_and_a_repetition_finishes_it() {
    let world = World::new().await;
    let ask = async || world.app.change_ca(Prepare, ChangeCa::default(), Some("k"), &world.admin()).await;
    world.faults().before("ca.change");
    ask().await.expect_err("nothing was written");
    assert_eq!(world.app.ca().revision, 0);
    world.faults().after("ca.change");
    ask().await.expect_err("written, and the answer was lost");
    assert_eq!(world.app.ca().revision, 0, "this server does not know yet");
    let again = ask().await.expect("found");
    assert_eq!((again.phase.as_str(), again.revision), ("prepared", 1));
    assert_eq!(told(&world).await.len(), 1);
    let started = world.another();
    started.follow_ca().await.expect("followed");
    assert_eq!(started.ca().revision, 1);
}

#[tokio::test]
async fn q_55_roots_that_were_given_up_do_not_come_back_with_an_older_database() {
    let world = World::new().await;
    steps(&world, &[Prepare, Publish, Activate, Remove]).await;
    let newest = world.app.ca();
    // The database of yesterday, and a server that knows today by its own directory.
    let yesterday = World::new().await;
    assert_eq!(yesterday.app.ca().revision, 0);
    // Another deployment's keys do not open it.
    assert!(yesterday.app.take_ca(&newest).is_err());
    assert_eq!(yesterday.app.ca().revision, 0, "it stays as it was");

    let older = FaultyStore::in_memory();
    let restored = world.replica_over(older).await;
    restored.take_ca(&newest).expect("as this directory knows");
    let pins = restored.trust().pins;
    assert_eq!(pins, world.app.trust().pins);
    let seen = restored.look(None).await.expect("a look");
    let lost = Mark { incarnation: IncarnationId::new(9, [9; 10]), ..seen };
    restored.look(Some(&lost)).await.expect("a look");
    assert_eq!(restored.mode(), Mode::Restored);
    restored.follow_ca().await.expect("nothing is written yet");
    assert_eq!(restored.trust().pins, pins);
    restored.accept_restore(None, &world.admin()).await.expect("accepted");
    restored.follow_ca().await.expect("written again");
    let other = world.replica_over(restored.store().clone()).await;
    other.follow_ca().await.expect("followed");
    assert_eq!(other.trust().pins, pins);
}

#[tokio::test]
async fn certificates_of_the_removed_authority_are_not_given_again() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    steps(&world, &[Prepare, Publish]).await;
    even_so(&world, Activate, Some(1)).await.expect("activated");
    let again =
        enrolled(world.ask(device.by_token(&world.one_time().await)).await.expect("the same machine"));
    assert_ne!(again.credential.id, first.credential.id, "the present one signs its next");
    world.caller(&first).await.expect("it is good as long as its roots are");
    world.caller(&again).await.expect("and so is the new one");
    even_so(&world, Remove, Some(1)).await.expect("removed");
    let last = enrolled(world.ask(device.by_token(&world.one_time().await)).await.expect("the same machine"));
    assert_ne!(leaf(last.credential.certificate.as_deref().expect("one")), der(&first.credential));
    world.caller(&last).await.expect("by the present one");
}

/// A machine that renewed twice within a moment, so that its next request looks like the same one once more.
async fn twice_renewed(world: &World, device: &Device) {
    let first = world.enroll(device).await;
    let caller = world.caller(&first).await.expect("known");
    world.clock.advance(SignedDuration::from_secs(60));
    world.app.look(None).await.expect("a look");
    world.app.renew(&caller, &from(caller)).await.expect("renewed");
}

#[tokio::test]
async fn every_certificate_that_is_handed_over_during_a_change_comes_with_what_signed_it() {
    let world = World::new().await;
    let device = Device::new("web-1");
    twice_renewed(&world, &device).await;
    steps(&world, &[Prepare, Publish]).await;
    let asked = async || {
        let renewed = renewed(&world, &device).await.credential;
        world.caller_by(&renewed, None).await.expect("a chain that leads to a root");
        let again = enrolled(world.ask(device.by_token(&world.one_time().await)).await.expect("the same"));
        world.caller(&again).await.expect("a chain that leads to a root");
        renewed.id
    };
    let before = asked().await;
    even_so(&world, Activate, Some(1)).await.expect("activated");
    let hastened = asked().await;
    assert_ne!(hastened, before, "an order to renew gets one by the present authority");
    assert_eq!(world.app.ca_status(&world.admin()).await.expect("a status").behind, 1, "of the bundle alone");
    world.clock.advance(SignedDuration::from_secs(61));
    world.app.look(None).await.expect("a look");
    let active = asked().await;
    assert_eq!(asked().await, active, "and asking again gets the same one");
    step(&world, Undo).await;
    let back = asked().await;
    assert_ne!(back, active, "what the next one signed is of no use once its roots are taken back");
    step(&world, Undo).await;
    world.caller_by(&renewed(&world, &device).await.credential, None).await.expect("by the founding one");
}

#[tokio::test]
async fn keys_from_before_a_taint_are_to_be_replaced_after_the_removal_too() {
    let world = World::new().await;
    let device = Device::new("web-1");
    world.enroll(&device).await;
    steps(&world, &[Prepare, Publish]).await;
    even_so(&world, Activate, Some(1)).await.expect("activated");
    step(&world, Taint).await;
    let removed = even_so(&world, Remove, Some(1)).await.expect("removed");
    assert_eq!((removed.phase.as_str(), removed.not_rotated), ("settled", Some(1)));
    let renewed = renewed(&world, &device).await;
    let caller = world.caller_by(&renewed.credential, Some(&device)).await.expect("by the present one");
    let mut channel = world.app.channel_open(&caller).await.expect("a channel");
    world.app.urge().await.expect("told");
    assert_eq!(channel.orders.try_recv().expect("an order").order, Order::Rotate);
}

#[tokio::test]
async fn operators_who_are_no_admins_look_and_change_nothing() {
    use muster_app::Action;
    let world = World::new().await;
    let operator = world.operator(muster_model::OperatorRole::Operator);
    world.app.ca_status(&operator).await.expect("a status");
    assert!(Action::Administer.permit(&operator.caller).is_err());
}

//! What a server may do that cannot see its store, or whose store was put back to an older day.

use muster_app::{App, Error, Mark, Mode, Right};
use muster_issuer::MachineTemplate;
use muster_model::{AuditId, CredentialId, EntryPlace, IncarnationId, MachineId, Refusal, SignedDuration};
use muster_testkit::world::{Device, FaultyStore, Signed, World};
use muster_wire::grant::CreateGrant;
use muster_wire::rotate::Slot;

use crate::support::{from, hours, refusal, signed};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// The same history, thirty entries further: what a server has seen before its database was put back.
fn further(mark: Mark) -> Mark {
    let newest =
        mark.newest.map(|EntryPlace { seq, .. }| EntryPlace { seq: seq + 30, id: AuditId::new(9, [9; 10]) });
    Mark { newest, ..mark }
}

async fn restored(world: &World) -> Mark {
    let seen = further(world.app.look(None).await.expect("a look"));
    assert_eq!(world.app.look(Some(&seen)).await.expect("a look"), seen, "what was seen stays seen");
    assert_eq!(world.app.mode(), Mode::Restored);
    seen
}

fn is_stale<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Stale))
}

#[tokio::test]
async fn a_server_that_cannot_look_for_thirty_seconds_decides_nothing_and_comes_back_by_itself() {
    let world = World::new().await;
    let enrolled = world.enroll(&Device::new("web-1")).await;
    let caller = world.caller(&enrolled).await.expect("known");
    let channel = world.app.channel_open(&caller).await.expect("a channel");
    let (app, admin) = (&world.app, world.admin());
    let mark = app.look(None).await.expect("a look");
    app.store().seat().cut_off(true);
    world.clock.advance(seconds(30));
    app.look(Some(&mark)).await.expect_err("cut off");
    assert_eq!(app.mode(), Mode::Normal);
    world.clock.advance(seconds(1));
    assert_eq!(app.mode(), Mode::Stale);
    // At once, and whatever the store would say by now.
    app.store().seat().cut_off(false);
    let writes = world.writes();
    assert!(is_stale(app.machines(&Default::default(), &admin).await));
    assert!(is_stale(app.status(&admin).await));
    assert!(is_stale(world.caller(&enrolled).await));
    assert!(is_stale(app.create_grant(CreateGrant::default(), None, &admin).await));
    assert!(is_stale(app.renew(&caller, &from(caller)).await));
    assert!(is_stale(world.ask(Device::new("web-2").by_request()).await));
    assert!(is_stale(app.accept_restore(None, &admin).await));
    assert_eq!(app.prune().await.expect("nothing"), 0);
    assert_eq!(world.writes(), writes);
    channel.heard(world.clock.now());
    assert_eq!(app.registry().last_heard(caller.machine), Some(world.clock.now()), "channels stand");
    app.look(Some(&mark)).await.expect("a look");
    assert_eq!(app.mode(), Mode::Normal);
    app.create_grant(CreateGrant::default(), None, &admin).await.expect("as ever");
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_a_store_that_is_not_there_and_is_told_later() {
    let world = World::new().await;
    let mark = world.app.look(None).await.expect("a look");
    world.clock.advance(seconds(31));
    world.app.store().seat().cut_off(true);
    let nothing = Refusal::NotAuthenticated { cause: "nothing_shown" };
    world.app.tell_refusal(&world.stranger(), "request.authorize", &nothing).await;
    world.app.store().seat().cut_off(false);
    world.app.look(Some(&mark)).await.expect("a look");
    let end = world.audit_end().await;
    world.app.flush_refusals().await;
    let told = world.audit_since(end).await;
    assert_eq!((told.len(), told[0].reason.as_str()), (1, "not_authenticated"));
    assert_eq!(told[0].detail.get("repeated").map(String::as_str), Some("1"));
}

#[tokio::test]
async fn the_mark_follows_the_history() {
    let world = World::new().await;
    let first = world.app.look(None).await.expect("a look");
    assert_eq!(first.deployment, world.founded.deployment);
    assert_eq!(world.app.look(Some(&first)).await.expect("a look"), first, "nothing happened");
    world.one_time().await;
    let second = world.app.look(Some(&first)).await.expect("a look");
    let place = |mark: Mark| mark.newest.expect("entries").seq;
    assert!(place(second) > place(first));
    assert_eq!((second.incarnation, world.app.mode()), (first.incarnation, Mode::Normal));
}

#[tokio::test]
async fn an_older_database_is_read_and_not_changed() {
    let world = World::new().await;
    let enrolled = world.enroll(&Device::new("web-1")).await;
    restored(&world).await;
    let (app, admin) = (&world.app, world.admin());
    let refused = |result: Result<(), Error>| assert!(matches!(result, Err(Error::Restored)), "{result:?}");
    let caller = world.caller(&enrolled).await.expect("read");
    refused(app.create_grant(CreateGrant::default(), Some("k"), &admin).await.map(drop));
    refused(app.suspend(caller.machine, None, &admin).await.map(drop));
    refused(app.renew(&caller, &from(caller)).await.map(drop));
    refused(world.ask(Device::new("web-2").by_request()).await.map(drop));
    // A token of after that day: it is not said to open nothing.
    let unknown = muster_model::Secret::new(muster_model::SecretKind::Enroll, [9; 10], [9; 32]).reveal();
    refused(world.ask(Device::new("web-3").by_token(&unknown)).await.map(drop));
    assert_eq!(app.prune().await.expect("nothing"), 0);
    let channel = app.channel_open(&caller).await.expect("a channel");
    assert!(world.another().machines(&Default::default(), &admin).await.expect("a list").items[0].online);
    app.channel_closed(channel).await;
    let status = app.status(&admin).await.expect("a status");
    assert_eq!(status.mode, "restored");
    assert!(status.warnings.iter().any(|warning| warning.contains("muster restore accept")), "{status:?}");
}

#[tokio::test]
async fn a_machine_of_after_the_day_of_the_backup_is_not_told_that_it_is_unknown() {
    let world = World::new().await;
    let (device, now) = (Device::new("web-1"), world.clock.now());
    let template = MachineTemplate {
        serial: CredentialId::new(1, [9; 10]),
        tenant: world.founded.tenant,
        machine: MachineId::new(1, [9; 10]),
        not_before: now,
        not_after: now + hours(24),
    };
    let certificate = world.app.authority().issue(&device.public(), &template).expect("a certificate");
    let unknown = world.app.by_certificate(&certificate, None).await;
    assert_eq!(refusal(unknown), Refusal::UnknownMachine);
    restored(&world).await;
    let told = world.app.by_certificate(&certificate, None).await;
    assert!(matches!(told, Err(Error::Restored)), "{told:?}: it would end itself");
}

#[tokio::test]
async fn a_machine_that_rotated_after_the_day_of_the_backup_comes_back_by_its_newer_key() {
    let world = World::new().await;
    let (old, new) = (Device::new("web-1"), Device::new("web-1-next"));
    let enrolled = world.enroll(&old).await;
    world.clock.advance(hours(1));
    // Issued in the stretch that the database forgets.
    let now = world.clock.now();
    let millis = u64::try_from(now.as_millisecond()).expect("after 1970");
    let template = MachineTemplate {
        serial: CredentialId::new(millis, [9; 10]),
        tenant: world.founded.tenant,
        machine: enrolled.machine.id.parse().expect("an identifier"),
        not_before: now,
        not_after: now + hours(24),
    };
    let certificate = world.app.authority().issue(&new.public(), &template).expect("a certificate");
    let slot = Slot { base: old.fingerprint(), boot: [1; 16], counter: 1 };
    let shown = async || world.app.by_certificate(&certificate, Some(&slot)).await;
    assert_eq!(refusal(shown().await), Refusal::NotAuthenticated { cause: "credential_unknown" });
    world.clock.advance(hours(1));
    let seen = restored(&world).await;
    assert!(matches!(shown().await, Err(Error::Restored)), "not before an operator has looked at it");
    world.app.accept_restore(None, &world.admin()).await.expect("accepted");
    world.app.look(Some(&seen)).await.expect("a look");

    for _ in 0..2 {
        let caller =
            *shown().await.expect("ours, and newer than what is known").machine().expect("a machine");
        assert_eq!((caller.right, caller.machine), (Right::Everything, template.machine));
    }
    assert_eq!(world.machine(&enrolled.machine.id).await.machine.generation, 2);
    let before = world.caller(&enrolled).await.expect("until the new one is its base");
    assert_eq!(before.right, Right::Rotation);
    let told: Vec<_> = world.audit().await.into_iter().filter(|entry| entry.action == "key.adopt").collect();
    assert_eq!((told.len(), told[0].reason.as_str()), (1, "restored"));
}

#[tokio::test]
async fn q_18_where_an_older_key_speaks_first_after_a_restore_the_owner_who_is_shut_out_is_told_of() {
    let world = World::new().await;
    let (old, new) = (Device::new("web-1"), Device::new("web-1-next"));
    let enrolled = world.enroll(&old).await;
    world.clock.advance(hours(1));
    let now = world.clock.now();
    let template = MachineTemplate {
        serial: CredentialId::new(u64::try_from(now.as_millisecond()).expect("after 1970"), [9; 10]),
        tenant: world.founded.tenant,
        machine: enrolled.machine.id.parse().expect("an identifier"),
        not_before: now,
        not_after: now + hours(24),
    };
    let certificate = world.app.authority().issue(&new.public(), &template).expect("a certificate");
    world.clock.advance(hours(15));
    let seen = restored(&world).await;
    world.app.accept_restore(None, &world.admin()).await.expect("accepted");
    world.app.look(Some(&seen)).await.expect("a look");
    world.clock.advance(seconds(5));
    // Somebody has an image of the older key.
    let thief = world.caller(&enrolled).await.expect("the older key counts again");
    world.app.renew(&thief, &from(thief)).await.expect("renewed");

    let slot = Slot { base: new.fingerprint(), boot: [1; 16], counter: 1 };
    for _ in 0..3 {
        let told = refusal(world.app.by_certificate(&certificate, Some(&slot)).await);
        assert_eq!(told, Refusal::NotAuthenticated { cause: "credential_unknown" });
    }
    let machine = world.machine(&enrolled.machine.id).await;
    let causes: Vec<_> = world.audit().await.into_iter().filter(|it| it.action == "machine.forked").collect();
    assert_eq!(causes.len(), 1, "once an hour");
    assert_eq!(machine.rotation.expect("it has a key").forked_by.as_deref(), Some("forgotten_key"));
    assert_eq!(machine.machine.state, "active", "whoever finds an old disk stops no machine by it");
}

#[tokio::test]
async fn q_06_a_nonce_of_before_the_older_database_was_accepted_is_not_good_after_it() {
    let world = World::new().await;
    let device = Device::new("web-1");
    world.enroll(&device).await;
    let path = "/v1/machines/self/renew";
    // It may have been used: the database has forgotten it.
    let before = signed(&world, &device, path);
    world.clock.advance(seconds(5));
    let seen = restored(&world).await;
    world.app.accept_restore(None, &world.admin()).await.expect("accepted");
    world.app.look(Some(&seen)).await.expect("a look");
    world.clock.advance(seconds(5));
    let shown = async |signed: &Signed| world.app.by_signature(&signed.call(), &world.stranger()).await;
    assert_eq!(refusal(shown(&before).await), Refusal::NonceNeeded);
    shown(&signed(&world, &device, path)).await.expect("a new one is");
}

#[tokio::test]
async fn a_certificate_in_no_row_of_a_key_that_counts_is_told_to_ask_for_another_one() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let enrolled = world.enroll(&device).await;
    let now = world.clock.now();
    let template = MachineTemplate {
        serial: CredentialId::new(1, [9; 10]),
        tenant: world.founded.tenant,
        machine: enrolled.machine.id.parse().expect("an identifier"),
        not_before: now,
        not_after: now + hours(24),
    };
    let certificate = world.app.authority().issue(&device.public(), &template).expect("a certificate");
    let shown = async || refusal(world.app.by_certificate(&certificate, None).await);
    assert_eq!(shown().await, Refusal::CredentialExpired, "nothing else, although it is of no forgotten day");
    world.app.revoke(template.machine, None, None, false, &world.admin()).await.expect("revoked");
    assert_eq!(shown().await, Refusal::Revoked);
}

#[tokio::test]
async fn rows_of_an_older_day_order_nothing() {
    let world = World::new().await;
    let (other, admin) = (world.replica().await, world.admin());
    let enrolled = world.enroll(&Device::new("web-1")).await;
    let caller = world.caller(&enrolled).await.expect("known");
    let mut channel = world.app.channel_open(&caller).await.expect("a channel");
    other.suspend(caller.machine, None, &admin).await.expect("suspended");
    let seen = restored(&world).await;
    world.app.heed().await.expect("nothing");
    assert!(channel.orders.try_recv().is_err());
    world.app.accept_restore(None, &admin).await.expect("accepted");
    world.app.look(Some(&seen)).await.expect("a look");
    world.app.heed().await.expect("heeded");
    assert!(channel.orders.try_recv().is_ok(), "kept until then");
}

#[tokio::test]
async fn accepting_tells_the_gap_and_every_replica_goes_on() {
    let world = World::new().await;
    let (other, admin) = (world.replica().await, world.admin());
    let seen = restored(&world).await;
    other.look(Some(&seen)).await.expect("a look");
    assert_eq!(other.mode(), Mode::Restored);
    let end = world.audit_end().await;
    let accepted = world.app.accept_restore(Some("k-1"), &admin).await.expect("accepted");
    let place = |mark: Mark| mark.newest.expect("entries").seq;
    assert_eq!((accepted.seen, accepted.found), (place(seen), end));
    assert_eq!(world.app.mode(), Mode::Normal, "at once");
    let told = world.audit_since(end).await;
    assert_eq!((told.len(), told[0].action.as_str()), (1, "restore.accept"));
    assert_eq!(told[0].detail.get("seen"), Some(&place(seen).to_string()));
    assert_eq!(told[0].detail.get("found"), Some(&end.to_string()));
    assert_eq!(other.mode(), Mode::Restored, "not yet");
    let mark = other.look(Some(&seen)).await.expect("a look");
    assert_eq!((other.mode(), mark.incarnation.to_string()), (Mode::Normal, accepted.incarnation.clone()));
    other.create_grant(CreateGrant::default(), None, &admin).await.expect("as ever");
    let again = world.app.accept_restore(Some("k-1"), &admin).await.expect("the same answer");
    assert_eq!(again, accepted);
}

#[tokio::test]
async fn what_another_replica_accepted_is_accepted() {
    let world = World::new().await;
    let (other, admin) = (world.replica().await, world.admin());
    let seen = restored(&world).await;
    other.look(Some(&seen)).await.expect("a look");
    let first = world.app.accept_restore(None, &admin).await.expect("accepted");
    let second = other.accept_restore(None, &admin).await.expect("accepted");
    assert_eq!(second.incarnation, first.incarnation);
}

#[tokio::test]
async fn a_database_put_back_to_before_an_incarnation_began_is_accepted_for_all() {
    let world = World::new().await;
    let (other, admin) = (world.replica().await, world.admin());
    let now = world.app.look(None).await.expect("a look");
    let seen = Mark { incarnation: IncarnationId::new(9, [9; 10]), ..further(now) };
    for replica in [&world.app, &other] {
        replica.look(Some(&seen)).await.expect("a look");
        assert_eq!(replica.mode(), Mode::Restored);
    }
    world.app.accept_restore(None, &admin).await.expect("accepted");
    for replica in [&world.app, &other] {
        replica.look(Some(&seen)).await.expect("a look");
        assert_eq!(replica.mode(), Mode::Normal);
    }
}

async fn accept(app: &App<FaultyStore>, world: &World) -> Refusal {
    refusal(app.accept_restore(None, &world.admin()).await)
}

#[tokio::test]
async fn there_is_nothing_to_accept_in_a_normal_database_or_a_foreign_one() {
    let world = World::new().await;
    let verb = "restore.accept";
    assert_eq!(accept(&world.app, &world).await, Refusal::WrongState { verb, state: "normal" });
    let mark = world.app.look(None).await.expect("a look");
    let foreign = Mark { deployment: muster_model::DeploymentId::new(9, [9; 10]), ..mark };
    world.app.look(Some(&foreign)).await.expect("a look");
    assert_eq!(world.app.mode(), Mode::Restored);
    assert_eq!(accept(&world.app, &world).await, Refusal::WrongState { verb, state: "another deployment" });
    assert_eq!(world.app.mode(), Mode::Restored);
}

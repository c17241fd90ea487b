//! Several servers on one store: what one decides, machines hear of whose channel is on another.

use muster_app::{App, Channel, ChannelOrder, MachineCaller, Proof};
use muster_lifecycle::MachineOrder;
use muster_model::{Refusal, SignedDuration};
use muster_store::{PresenceNote, Signal, Store};
use muster_testkit::world::{Device, FaultyStore, World, enrolled, leaf};
use muster_wire::channel::Order;
use muster_wire::grant::CreateGrant;
use muster_wire::site::CreateSite;

use crate::support::{hours, refusal};

type Replica = App<FaultyStore>;

async fn connected(world: &World, to: &Replica, device: &Device) -> (MachineCaller, Channel) {
    let enrolled = world.enroll(device).await;
    let caller = world.caller(&enrolled).await.expect("known");
    (caller, to.channel_open(&caller).await.expect("a channel"))
}

/// What came down a channel since the last time.
async fn heard(replica: &Replica, channel: &mut Channel) -> Vec<(Order, bool)> {
    replica.heed().await.expect("heeded");
    let next = || channel.orders.try_recv().ok();
    std::iter::from_fn(next).map(|ChannelOrder { order, last, .. }| (order, last)).collect()
}

#[tokio::test]
async fn what_one_replica_decides_reaches_a_machine_on_another() {
    let world = World::new().await;
    let other = world.replica().await;
    let (caller, mut channel) = connected(&world, &other, &Device::new("web-1")).await;
    let (id, admin, here) = (caller.machine, world.admin(), &world.app);
    assert_eq!(heard(&other, &mut channel).await, [], "it came after its own enrollment");
    here.suspend(id, "for repair".parse().ok(), &admin).await.expect("suspended");
    other.heed().await.expect("heeded");
    let said = channel.orders.try_recv().expect("an order");
    assert_eq!((said.order, said.reason.as_deref()), (Order::Suspend, Some("for repair")));
    here.resume(id, None, &admin).await.expect("resumed");
    assert_eq!(heard(&other, &mut channel).await, [(Order::Resume, false)]);
    here.order_renewal(id, None, &admin).await.expect("ordered");
    assert_eq!(heard(&other, &mut channel).await, [(Order::Renew, false)]);
    here.retire(id, None, &admin).await.expect("retired");
    assert_eq!(heard(&other, &mut channel).await, [(Order::Retire, true)]);
    assert_eq!(heard(&other, &mut channel).await, [], "each is told once");
}

#[tokio::test]
async fn a_revocation_reaches_a_machine_on_another_replica_by_key_or_by_bearer_key() {
    let world = World::new().await;
    let (other, admin) = (world.replica().await, world.admin());
    let (caller, mut channel) = connected(&world, &other, &Device::new("web-1")).await;
    world.app.revoke(caller.machine, None, None, false, &admin).await.expect("revoked");
    assert_eq!(heard(&other, &mut channel).await, [(Order::Revoked, true)]);

    let token = world.one_time().await;
    let keyless = enrolled(world.ask(Device::new("legacy").keyless(&token)).await.expect("let in"));
    let machine = keyless.machine.id.parse().expect("an identifier");
    let credential = keyless.credential.id.parse().expect("an identifier");
    let caller = MachineCaller { machine, proof: Proof::Secret(credential), ..caller };
    let mut channel = other.channel_open(&caller).await.expect("a channel");
    world.app.revoke(machine, Some(credential), None, false, &admin).await.expect("revoked");
    assert_eq!(
        heard(&other, &mut channel).await,
        [(Order::Revoked, true)],
        "the machine stays, its holder goes"
    );
}

#[tokio::test]
async fn the_row_is_the_truth_and_a_signal_a_hint() {
    let world = World::new().await;
    let (other, admin) = (world.replica().await, world.admin());
    let (caller, mut channel) = connected(&world, &other, &Device::new("web-1")).await;
    world.app.suspend(caller.machine, None, &admin).await.expect("suspended");
    world.app.resume(caller.machine, None, &admin).await.expect("resumed");
    assert_eq!(heard(&other, &mut channel).await, [(Order::Resume, false)], "as it stands, once");
    world.app.suspend(caller.machine, None, &admin).await.expect("suspended");
    heard(&other, &mut channel).await;
    let late = Signal { tenant: caller.tenant, machine: caller.machine, order: None };
    other.store().seat().signal(&[late, late]);
    assert_eq!(heard(&other, &mut channel).await, [(Order::Suspend, false)], "late and doubled");
}

#[tokio::test]
async fn nobody_who_was_revoked_is_told_to_renew() {
    let world = World::new().await;
    let other = world.replica().await;
    let (caller, mut channel) = connected(&world, &other, &Device::new("web-1")).await;
    world.app.revoke(caller.machine, None, None, false, &world.admin()).await.expect("revoked");
    let MachineCaller { tenant, machine, .. } = caller;
    other.store().signals().await.expect("dropped on the way");
    other.store().seat().signal(&[Signal { tenant, machine, order: Some(MachineOrder::Renew) }]);
    assert_eq!(heard(&other, &mut channel).await, [(Order::Revoked, true)]);
}

#[tokio::test]
async fn whoever_holds_the_channel_of_a_replaced_key_is_cut_off_and_the_new_one_is_not() {
    let world = World::new().await;
    let other = world.replica().await;
    let device = Device::new("web-1");
    let (_, mut older) = connected(&world, &other, &device).await;
    let (token, new) = (world.one_time().await, device.reinstalled());
    let csr = new.csr();
    let mut request = new.by_token(&token);
    request.csr = Some(data_encoding::BASE64.encode(&csr));
    request.previous = Some(device.vouches_for(&csr));
    let rekeyed = enrolled(world.ask(request).await.expect("rekeyed"));
    let signals = other.store().signals().await.expect("signals");
    assert!(!signals.is_empty());
    other.store().seat().signal(&signals);
    other.heed().await.expect("heeded");
    assert_eq!(older.orders.recv().await, None, "without a word: what took its place is not its end");
    let caller = world.caller(&rekeyed).await.expect("known");
    let mut newer = other.channel_open(&caller).await.expect("a channel");
    other.store().seat().signal(&signals);
    assert_eq!(heard(&other, &mut newer).await, [(Order::Resume, false)], "the same signals, too late");
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_looked_at_later() {
    let world = World::new().await;
    let (other, admin) = (world.replica().await, world.admin());
    let (caller, mut channel) = connected(&world, &other, &Device::new("web-1")).await;
    world.app.suspend(caller.machine, None, &admin).await.expect("suspended");
    let seat = other.store().seat();
    seat.blind(true);
    other.heed().await.expect_err("the signal came, the row did not");
    seat.cut_off(true);
    other.heed().await.expect_err("nothing comes");
    seat.blind(false);
    seat.cut_off(false);
    assert_eq!(heard(&other, &mut channel).await, [(Order::Suspend, false)]);
}

#[tokio::test]
async fn a_replica_is_stirred_by_what_others_do_and_not_by_itself() {
    let world = World::new().await;
    let (other, admin) = (world.replica().await, world.admin());
    let (caller, _kept) = connected(&world, &other, &Device::new("web-1")).await;
    world.app.suspend(caller.machine, None, &admin).await.expect("suspended");
    other.stirred().await;
    let itself = world.app.store().signals().await.expect("signals");
    assert_eq!(itself, [], "its channels heard at once");
}

#[tokio::test]
async fn a_replica_that_was_given_up_notes_its_channels_again_and_looks_at_their_machines() {
    let world = World::new().await;
    let (other, admin) = (world.replica().await, world.admin());
    let (caller, mut channel) = connected(&world, &other, &Device::new("web-1")).await;
    let MachineCaller { tenant, machine, .. } = caller;
    other.keep_alive().await.expect("known");
    assert_eq!((heard(&other, &mut channel).await, is_online(&world).await), (Vec::new(), true));
    let gone = PresenceNote { tenant, machine, last_seen: world.clock.now(), online: false, bundle: None };
    world.app.store().note_presence(vec![gone]).await.expect("noted");
    world.app.suspend(machine, None, &admin).await.expect("suspended");
    other.store().signals().await.expect("they were for nobody");
    other.store().seat().forget();
    assert!(!is_online(&world).await);
    other.keep_alive().await.expect("back");
    assert!(is_online(&world).await, "noted again");
    assert_eq!(heard(&other, &mut channel).await, [(Order::Suspend, false)]);
    assert_eq!(other.store().seat().said_alive(), 2);
}

async fn is_online(world: &World) -> bool {
    world.machines().await[0].online
}

#[tokio::test]
async fn a_machine_on_another_replica_is_online_here_as_the_store_says() {
    let world = World::new().await;
    let other = world.replica().await;
    let (_, channel) = connected(&world, &other, &Device::new("web-1")).await;
    assert_eq!(world.app.registry().online(), 0);
    assert!(is_online(&world).await);
    other.channel_closed(channel).await;
    assert!(!is_online(&world).await);
}

#[tokio::test]
async fn a_server_alone_lists_itself() {
    let world = World::new().await;
    let (_, _channel) = connected(&world, &world.app, &Device::new("web-1")).await;
    let replicas = world.app.replicas().await.expect("a list");
    let [itself] = replicas.as_slice() else { panic!("{replicas:?}") };
    assert_eq!((itself.id.clone(), itself.channels), (world.app.replica().to_string(), 1));
    assert!(itself.this && itself.alive);
    let status = world.app.status(&world.admin()).await.expect("a status");
    assert_eq!((status.mode.as_str(), status.replicas, status.machines.online), ("normal", 1, 1));
}

#[tokio::test]
async fn an_order_to_renew_is_told_once_under_its_mark_and_refused_where_there_is_no_key() {
    let world = World::new().await;
    let (caller, mut channel) = connected(&world, &world.app, &Device::new("web-1")).await;
    let (id, admin) = (caller.machine, world.admin());
    let end = world.audit_end().await;
    let first = world.app.order_renewal(id, Some("k-1"), &admin).await.expect("ordered");
    let again = world.app.order_renewal(id, Some("k-1"), &admin).await.expect("as before");
    assert_eq!(first, again);
    assert_eq!(heard(&world.app, &mut channel).await, [(Order::Renew, false)]);
    world.app.order_renewal(id, Some("k-2"), &admin).await.expect("ordered");
    let told: Vec<(String, String)> =
        world.audit_since(end).await.into_iter().map(|entry| (entry.action, entry.object)).collect();
    assert_eq!(told, vec![("machine.renew".to_owned(), id.to_string()); 2]);
    let elsewhere = world.app.create_grant(CreateGrant::default(), Some("k-1"), &admin).await;
    assert_eq!(refusal(elsewhere), Refusal::IdempotencyMismatch);
    let token = world.one_time().await;
    let keyless = enrolled(world.ask(Device::new("legacy").keyless(&token)).await.expect("let in"));
    let keyless = keyless.machine.id.parse().expect("an identifier");
    let refused = world.app.order_renewal(keyless, None, &admin).await;
    assert_eq!(refusal(refused), Refusal::WrongState { verb: "renew", state: "keyless" });
}

#[tokio::test]
async fn a_machine_that_was_told_to_renew_gets_its_next_certificate() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    let caller = world.caller(&first).await.expect("known");
    world.app.order_renewal(caller.machine, None, &world.admin()).await.expect("ordered");
    world.clock.advance(hours(1));
    let origin = crate::support::from(caller);
    let renewed = world.app.renew(&caller, &origin).await.expect("renewed");
    let (old, new) = (first.credential.certificate, renewed.credential.certificate);
    assert_ne!(old.as_deref().map(leaf), new.as_deref().map(leaf));
}

#[tokio::test]
async fn marks_are_remembered_for_a_week_and_are_never_good_for_another_secret() {
    let world = World::new().await;
    let admin = world.admin();
    let grant = || CreateGrant { site: Some("default".to_owned()), ..CreateGrant::default() };
    let make = || world.app.create_grant(grant(), Some("k-1"), &admin);
    let site = |code: &str| CreateSite {
        code: code.to_owned(),
        approval: false,
        requests: true,
        reimage: None,
        seats: None,
    };
    let first = make().await.expect("made").grant.id;
    world.app.create_site(site("one"), Some("k-2"), &admin).await.expect("made");
    world.clock.advance(hours(7 * 24));
    assert_eq!(world.app.prune().await.expect("pruned"), 0);
    assert_eq!(make().await.expect("as before").grant.id, first);
    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(world.app.prune().await.expect("pruned"), 2);
    assert_eq!(refusal(make().await), Refusal::IdempotencyMismatch, "its secret is out there");
    world.app.create_site(site("two"), Some("k-2"), &admin).await.expect("what has no secret is made");
}

#[tokio::test]
async fn more_than_a_round_of_what_aged_goes_in_one_call() {
    let world = World::new().await;
    let admin = world.admin();
    let operator = world.founded.admin;
    for _ in 0..1001 {
        world.app.login_link(operator).await.expect("a link");
    }
    world.clock.advance(hours(31 * 24));
    assert_eq!(world.app.prune().await.expect("pruned"), 1001);
    let left = world.app.tokens(&Default::default(), &admin).await.expect("a list");
    assert!(left.items.is_empty());
}

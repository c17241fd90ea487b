//! Who holds a channel, and what comes down it.

use muster_app::{Channel, ChannelOrder, MachineCaller};
use muster_model::SignedDuration;
use muster_testkit::world::{Device, World, enrolled};
use muster_wire::channel::Order;

use crate::support::{from, hours};

async fn connected(world: &World, device: &Device) -> (MachineCaller, Channel) {
    let enrolled = world.enroll(device).await;
    let caller = world.caller(&enrolled).await.expect("known");
    (caller, world.app.channel_open(&caller).await.expect("a channel"))
}

async fn is_online(world: &World) -> bool {
    world.machines().await[0].online
}

fn next(channel: &mut Channel) -> Option<ChannelOrder> {
    channel.orders.try_recv().ok()
}

#[tokio::test]
async fn a_machine_is_online_while_it_holds_its_channel_and_seen_for_ever() {
    let world = World::new().await;
    let (_, channel) = connected(&world, &Device::new("web-1")).await;
    assert!(is_online(&world).await);
    world.clock.advance(SignedDuration::from_secs(30));
    channel.heard(world.clock.now());
    let heard = world.clock.now();
    world.clock.advance(hours(1));
    world.app.channel_closed(channel).await;
    let machine = world.machines().await.remove(0);
    assert_eq!((machine.online, machine.last_seen), (false, Some(heard)));
}

#[tokio::test]
async fn the_steady_state_costs_no_write() {
    let world = World::new().await;
    let (_, channel) = connected(&world, &Device::new("web-1")).await;
    let writes = world.writes();
    for _ in 0..1000 {
        world.clock.advance(SignedDuration::from_secs(5));
        channel.heard(world.clock.now());
        assert!(is_online(&world).await);
    }
    world.app.flush_refusals().await;
    assert_eq!(world.writes(), writes);
    assert_eq!(world.machines().await[0].last_seen, Some(world.clock.now()));
    world.app.channel_closed(channel).await;
    assert_eq!(world.writes(), writes + 1, "its going is one");
}

#[tokio::test]
async fn orders_follow_what_operators_do() {
    let world = World::new().await;
    let (caller, mut channel) = connected(&world, &Device::new("web-1")).await;
    let admin = world.admin();
    let reason = || "for repair".parse().ok();
    world.app.suspend(caller.machine, reason(), &admin).await.expect("suspended");
    let said = Some("for repair".to_owned());
    assert_eq!(
        next(&mut channel),
        Some(ChannelOrder { order: Order::Suspend, reason: said.clone(), last: false })
    );
    world.app.suspend(caller.machine, reason(), &admin).await.expect("as it is");
    assert_eq!(next(&mut channel), None, "nothing changed, so nothing is ordered");
    world.app.resume(caller.machine, None, &admin).await.expect("resumed");
    assert_eq!(next(&mut channel).map(|order| order.order), Some(Order::Resume));
    world.app.retire(caller.machine, reason(), &admin).await.expect("retired");
    assert_eq!(next(&mut channel), Some(ChannelOrder { order: Order::Retire, reason: said, last: true }));
}

#[tokio::test]
async fn a_revoked_machine_is_told_so_once_and_for_all() {
    let world = World::new().await;
    let (caller, mut channel) = connected(&world, &Device::new("web-1")).await;
    world.app.revoke(caller.machine, None, None, true, &world.admin()).await.expect("told");
    assert_eq!(next(&mut channel), None, "a dry run orders nothing");
    world.app.revoke(caller.machine, None, None, false, &world.admin()).await.expect("revoked");
    let order = next(&mut channel).expect("an order");
    assert_eq!((order.order, order.last), (Order::Revoked, true));
}

#[tokio::test]
async fn whoever_holds_the_channel_of_a_replaced_key_is_cut_off() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let (_, mut channel) = connected(&world, &device).await;
    let token = world.one_time().await;
    let new = device.reinstalled();
    let csr = new.csr();
    let mut request = new.by_token(&token);
    request.csr = Some(data_encoding::BASE64.encode(&csr));
    request.previous = Some(device.vouches_for(&csr));
    enrolled(world.ask(request).await.expect("rekeyed"));
    assert_eq!(channel.orders.recv().await, None, "without a word: what took its place is not its end");
}

#[tokio::test]
async fn a_machine_hears_nothing_of_the_others() {
    let world = World::new().await;
    let (one, _kept) = connected(&world, &Device::new("web-1")).await;
    let (_, mut other) = connected(&world, &Device::new("web-2")).await;
    world.app.suspend(one.machine, None, &world.admin()).await.expect("suspended");
    world.app.leave(&one, &from(one)).await.expect("left");
    assert_eq!(next(&mut other), None);
}

#[tokio::test]
async fn a_newer_channel_takes_the_place_of_the_older_and_the_machine_never_looks_gone() {
    let world = World::new().await;
    let (caller, mut older) = connected(&world, &Device::new("web-1")).await;
    let newer = world.app.channel_open(&caller).await.expect("a channel");
    assert!(older.orders.recv().await.is_none(), "the older one is told to close");
    let writes = world.writes();
    world.app.channel_closed(older).await;
    assert!(is_online(&world).await);
    assert_eq!(world.writes(), writes, "its going is no going");
    world.app.channel_closed(newer).await;
    assert!(!is_online(&world).await);
}

#[tokio::test]
async fn whoever_was_online_when_the_server_died_is_offline_and_was_seen_until_then() {
    let mut world = World::new().await;
    let (_, _channel) = connected(&world, &Device::new("web-1")).await;
    world.clock.advance(hours(5));
    world.restart().await;
    let started = world.clock.now();
    world.clock.advance(hours(1));
    let machine = world.machines().await.remove(0);
    assert_eq!((machine.online, machine.last_seen), (false, Some(started)));
}

#[tokio::test]
async fn what_was_committed_is_followed_though_the_operator_hung_up() {
    let world = World::new().await;
    let (caller, mut channel) = connected(&world, &Device::new("web-1")).await;
    let gate = world.faults().gate("machine.act");
    let (app, admin) = (world.app.clone(), world.admin());
    let asked = tokio::spawn(async move { app.suspend(caller.machine, None, &admin).await });
    gate.arrived().await;
    asked.abort();
    assert!(asked.await.is_err_and(|ended| ended.is_cancelled()));
    gate.open();
    let order = channel.orders.recv().await.expect("an order");
    assert_eq!(order.order, Order::Suspend);
}

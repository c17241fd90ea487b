//! What the fleet did: counted where it happened, noted each minute, told in stretches.

use muster_app::Error;
use muster_model::SignedDuration;
use muster_testkit::world::{Device, World, machine_id};
use muster_wire::overview::{Happened, Overview, OverviewQuery};

use crate::support::{hours, is_row_9};

async fn overview(world: &World, hours: Option<u32>) -> Overview {
    world.app.overview(&OverviewQuery { hours }, &world.admin()).await.expect("an overview")
}

fn happened(enrolled: u64, ended: u64, refused: u64) -> Happened {
    Happened { enrolled, refused, ended }
}

#[tokio::test]
async fn who_comes_who_goes_and_who_is_refused_is_told_slot_by_slot() {
    let world = World::new().await;
    assert_eq!(overview(&world, None).await.pulses, []);
    let first = world.enroll(&Device::new("web-1")).await;
    let caller = world.caller(&first).await.expect("known");
    let channel = world.app.channel_open(&caller).await.expect("a channel");
    world.enroll(&Device::new("web-2")).await;
    let wrong = Device::new("web-3").by_token("mst_enroll_nothing");
    world.ask(wrong).await.expect_err("no token");
    let lapsed = world.lapsed_tokens().await.remove(0).1;
    assert!(is_row_9(world.ask(Device::new("web-3").by_token(&lapsed)).await));
    world.app.note_pulse().await.expect("noted");
    let seen = overview(&world, None).await;
    assert_eq!((seen.pulses.len(), seen.step), (1, 300));
    let slot = seen.pulses[0];
    assert_eq!((slot.online_least, slot.online_most, slot.machines), (Some(1), Some(1), Some(3)));
    // One of them spent a token, so that it is spent.
    assert_eq!((slot.happened.enrolled, slot.happened.ended, slot.happened.refused), (3, 0, 1));
    assert_eq!(seen.totals, slot.happened);
    assert_eq!((seen.machines.online, seen.machines.active), (1, 3));

    world.clock.advance(SignedDuration::from_mins(5));
    world.app.channel_closed(channel).await;
    world.app.retire(machine_id(&first.machine.id), None, &world.admin()).await.expect("retired");
    world.app.note_pulse().await.expect("noted");
    world.app.note_pulse().await.expect("noted again, and counted once");
    let seen = overview(&world, Some(1)).await;
    let told: Vec<_> =
        seen.pulses.iter().map(|slot| (slot.online_most, slot.machines, slot.happened)).collect();
    assert_eq!(told, [(Some(1), Some(3), happened(3, 0, 1)), (Some(0), Some(2), happened(0, 1, 0))]);
    assert!(seen.from <= seen.pulses[0].at && seen.pulses[1].at < seen.until);

    world.clock.advance(hours(2));
    assert_eq!(overview(&world, Some(1)).await.pulses, [], "it is further back");
    let wide = overview(&world, Some(2208)).await;
    assert_eq!((wide.pulses.len(), wide.step, wide.totals), (1, 8 * 3600, happened(3, 1, 1)));
    assert_eq!((wide.pulses[0].online_least, wide.pulses[0].online_most), (Some(0), Some(1)));
}

#[tokio::test]
async fn what_could_not_be_noted_is_noted_later_and_a_stop_loses_nothing() {
    let mut world = World::new().await;
    world.enroll(&Device::new("web-1")).await;
    world.app.store().seat().cut_off(true);
    world.app.note_pulse().await.expect_err("the store is away");
    world.app.store().seat().cut_off(false);
    world.clock.advance(SignedDuration::from_mins(10));
    world.app.flush_pulse().await.expect("noted at the end");
    let seen = overview(&world, None).await;
    let told: Vec<_> = seen.pulses.iter().map(|slot| (slot.online_most, slot.happened.enrolled)).collect();
    assert_eq!(told, [(None, 1)], "in the slot in which it happened; nobody looked who was there");
    world.restart().await;
    world.enroll(&Device::new("web-2")).await;
    world.app.note_pulse().await.expect("noted");
    assert_eq!(overview(&world, None).await.totals.enrolled, 2);
}

#[tokio::test]
async fn two_servers_count_what_each_did_and_see_the_same() {
    let world = World::new().await;
    let other = world.replica().await;
    world.enroll(&Device::new("web-1")).await;
    let wrong = Device::new("web-3").by_token(&world.lapsed_tokens().await.remove(0).1);
    other.enroll(wrong, &world.stranger()).await.expect_err("it has lapsed");
    for _ in 0..2 {
        world.app.note_pulse().await.expect("noted");
        other.note_pulse().await.expect("noted");
    }
    let seen = overview(&world, None).await;
    assert_eq!((seen.totals, seen.pulses[0].machines), (happened(2, 0, 1), Some(2)));
    assert_eq!(
        other.overview(&OverviewQuery::default(), &world.admin()).await.expect("the same").pulses,
        seen.pulses
    );
}

#[tokio::test]
async fn what_ends_and_what_runs_is_told_as_it_is_now() {
    let world = World::new().await;
    let mut request = Device::new("web-1").by_token(&world.one_time().await);
    request.attributes = [("agent_version".to_owned(), "0.9.1".to_owned())].into();
    world.ask(request).await.expect("in");
    let seen = overview(&world, None).await;
    let versions: Vec<_> = seen.versions.iter().map(|run| (run.version.as_deref(), run.machines)).collect();
    assert_eq!((&versions[..], seen.other_versions), (&[(Some("0.9.1"), 1)][..], 0));
    assert_eq!(seen.expiring.iter().map(|day| day.certificates).sum::<u64>(), 1, "{:?}", seen.expiring);
    let token = muster_wire::access::CreateToken {
        name: "deploys".to_owned(),
        role: None,
        scopes: Vec::new(),
        expires_in: Some(10 * 86_400),
    };
    world.app.create_token(token, None, &world.admin()).await.expect("made");
    let seen = overview(&world, None).await;
    let day = seen.expiring.iter().find(|day| day.api_tokens == 1).expect("its day");
    let end = world.clock.now() + hours(240);
    assert_eq!(day.day, muster_model::pulse::day_of(end));
}

#[tokio::test]
async fn a_span_is_within_what_is_kept() {
    let world = World::new().await;
    for hours in [0, 2209, u32::MAX] {
        let refused = world.app.overview(&OverviewQuery { hours: Some(hours) }, &world.admin()).await;
        assert!(matches!(refused, Err(Error::Malformed(_))), "{hours}: {refused:?}");
    }
}

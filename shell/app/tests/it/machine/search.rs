//! What a list is asked for in words.

use muster_testkit::world::{Device, World};
use muster_wire::ListQuery;
use muster_wire::machine::Machine;

use crate::reaper::plant;
use crate::support::{refusal, wrong_fields};

async fn found(world: &World, query: &ListQuery) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let query = ListQuery { cursor, ..query.clone() };
        let page = world.app.machines(&query, &world.admin()).await.expect("a search");
        names.extend(page.items.into_iter().map(|machine: Machine| machine.name));
        cursor = page.next;
        if cursor.is_none() {
            return names;
        }
    }
}

fn search(text: &str) -> ListQuery {
    ListQuery { search: Some(text.to_owned()), limit: Some(2), ..ListQuery::default() }
}

#[tokio::test]
async fn machines_that_are_there_are_told_from_those_that_are_not_over_any_pages() {
    let world = World::new().await;
    let mut channels = Vec::new();
    for n in 0..7 {
        let enrolled = world.enroll(&Device::new(&format!("web-{n}"))).await;
        let caller = world.caller(&enrolled).await.expect("known");
        if n % 3 == 0 {
            channels.push(world.app.channel_open(&caller).await.expect("a channel"));
        }
    }
    assert_eq!(found(&world, &search("online:yes")).await, ["web-0", "web-3", "web-6"]);
    assert_eq!(found(&world, &search("online:no web")).await, ["web-1", "web-2", "web-4", "web-5"]);
    assert_eq!(found(&world, &search("online:yes state:suspended")).await, [""; 0]);
    assert_eq!(found(&world, &search("online:yes site:default web-3")).await, ["web-3"]);
}

#[tokio::test]
async fn a_machine_that_calls_without_a_channel_is_there_as_lists_say_so_before_that_is_written() {
    let world = World::new().await;
    let machine = world.enroll(&Device::new("web-1")).await.machine.id;
    assert_eq!(found(&world, &search("online:yes")).await, [""; 0]);
    world.app.beat(world.founded.tenant, machine.parse().expect("an identifier")).await.expect("heard");
    assert_eq!(found(&world, &search("online:yes")).await, ["web-1"]);
    assert_eq!(found(&world, &search("online:no")).await, [""; 0]);
}

#[tokio::test]
async fn the_few_that_are_there_among_many_are_found_by_pages_that_may_be_empty() {
    let world = World::new().await;
    let planted = plant(&world, 9_000).await;
    let there = [planted[0], planted[5_000], planted[8_999]];
    for machine in there {
        world.app.beat(world.founded.tenant, machine).await.expect("heard");
    }
    let (mut query, mut pages) = (search("online:yes"), Vec::new());
    loop {
        let page = world.app.machines(&query, &world.admin()).await.expect("a page");
        pages.push(page.items.into_iter().map(|machine| machine.id).collect::<Vec<_>>());
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages.concat(), there.map(|machine| machine.to_string()));
    assert_eq!(pages.len(), 3, "a page looks at some four thousand: {pages:?}");
}

#[tokio::test]
async fn a_search_that_is_none_is_told_and_never_taken_for_words() {
    let world = World::new().await;
    world.enroll(&Device::new("web-1")).await;
    for wrong in ["stat:active", "online:perhaps", "label:", "state:happy", "site:Ä", "online:yes online:no"]
    {
        let told = world.app.machines(&search(wrong), &world.admin()).await;
        assert_eq!(wrong_fields(told).len(), 1, "{wrong}");
    }
    let unknown = world.app.machines(&search("site:nowhere"), &world.admin()).await;
    refusal(unknown);
    let twice = ListQuery { state: Some("active".into()), ..search("state:retired") };
    assert_eq!(wrong_fields(world.app.machines(&twice, &world.admin()).await), ["state"]);
    let same = ListQuery { state: Some("active".into()), ..search("state:active") };
    assert_eq!(found(&world, &same).await, ["web-1"]);
}

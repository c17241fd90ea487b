//! A suspended machine keeps its identity and its channel, and shows nothing to others.

use muster_app::Action;
use muster_model::Refusal;
use muster_testkit::world::{Device, World};
use muster_wire::enroll::TokenRequest;

use crate::support::{from, hours, refusal};

#[tokio::test]
async fn a_suspended_machine_may_renew_and_hold_its_channel_and_gets_no_token() {
    let world = World::new().await;
    let enrolled = world.enroll(&Device::new("web-1")).await;
    let before = world.caller(&enrolled).await.expect("known");
    world.app.suspend(before.machine, None, &world.admin()).await.expect("suspended");
    let caller = world.caller(&enrolled).await.expect("still known");
    assert!(caller.suspended);
    for (action, permitted) in
        [(Action::SelfRenew, true), (Action::Self_, true), (Action::SelfToken, false), (Action::Read, false)]
    {
        assert_eq!(action.permit(&from(caller).caller).is_ok(), permitted, "{action:?}");
    }
    let request = TokenRequest { audience: "vault".to_owned(), ttl_seconds: None };
    // Authenticated before it was suspended: the use case looks again.
    let minted = world.app.machine_token(&request, &before, &from(before)).await;
    assert_eq!(refusal(minted), Refusal::MachineSuspended);
    world.clock.advance(hours(13));
    world.app.renew(&caller, &from(caller)).await.expect("renewed");
    let channel = world.app.channel_open(&caller).await.expect("a channel");
    assert_eq!(world.app.registry().online(), 1);
    world.app.channel_closed(channel).await;

    world.app.resume(caller.machine, None, &world.admin()).await.expect("resumed");
    world.app.machine_token(&request, &before, &from(before)).await.expect("a token");
}

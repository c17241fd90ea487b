//! A revoked machine tries everything.

use data_encoding::BASE64;
use muster_app::{Error, MachineCaller};
use muster_model::{Refusal, SignedDuration};
use muster_testkit::world::{Device, World, enrolled, held};
use muster_wire::enroll::{EnrollRequest, Enrolled, TokenRequest};
use muster_wire::grant::CreateGrant;

use crate::support::{from, refusal, signed};

fn for_anybody() -> TokenRequest {
    TokenRequest { audience: "vault".to_owned(), ttl_seconds: None }
}

async fn ended(world: &World, device: &Device, how: &str) -> (Enrolled, MachineCaller) {
    let enrolled = world.enroll(device).await;
    let caller = world.caller(&enrolled).await.expect("known");
    let admin = world.admin();
    if how == "revoked" {
        world.app.revoke(caller.machine, None, None, false, &admin).await.expect("revoked");
    } else {
        world.app.retire(caller.machine, None, &admin).await.expect("retired");
    }
    (enrolled, caller)
}

#[tokio::test]
async fn q_07_nothing_a_machine_has_works_once_it_was_revoked_or_retired() {
    for how in ["revoked", "retired"] {
        let mut world = World::new().await;
        let device = Device::new("web-1");
        let (shown, stale) = ended(&world, &device, how).await;
        for round in ["at once", "after a restart", "a month later"] {
            assert_eq!(refusal(world.caller(&shown).await), Refusal::Revoked, "{how} {round}: certificate");
            let signed = signed(&world, &device, "/v1/machines/self/renew");
            let by_signature = world.app.by_signature(&signed.call(), &world.stranger()).await;
            assert_eq!(refusal(by_signature), Refusal::Revoked, "{how} {round}: signature");
            // Authenticated a moment before the end came.
            let renewed = world.app.renew(&stale, &from(stale)).await;
            assert_eq!(refusal(renewed), Refusal::Revoked, "{how} {round}: renew");
            let minted = world.app.machine_token(&for_anybody(), &stale, &from(stale)).await;
            assert_eq!(refusal(minted), Refusal::Revoked, "{how} {round}: token");
            let opened = world.app.channel_open(&stale).await.map(|_| "a channel");
            assert_eq!(refusal(opened), Refusal::Revoked, "{how} {round}: channel");
            assert_eq!(world.app.registry().online(), 0);
            world.restart().await;
            if round == "after a restart" {
                world.clock.advance(SignedDuration::from_hours(24 * 30));
            }
        }
    }
}

#[tokio::test]
async fn q_07_a_dead_key_enrolls_by_nothing_and_its_hardware_only_by_a_person() {
    for how in ["revoked", "retired"] {
        let world = World::new().await;
        let device = Device::new("web-1");
        ended(&world, &device, how).await;
        world.clock.advance(SignedDuration::from_hours(48));
        let any = CreateGrant { uses: Some(0), ..CreateGrant::default() };
        let token = world.token(any).await;
        assert_eq!(refusal(world.ask(device.by_token(&token)).await), Refusal::Revoked, "{how}: token");
        assert_eq!(refusal(world.ask(device.by_request()).await), Refusal::Revoked, "{how}: request");
        let reinstalled = device.reinstalled();
        let csr = reinstalled.csr();
        let vouched = EnrollRequest {
            csr: Some(BASE64.encode(&csr)),
            previous: Some(device.vouches_for(&csr)),
            ..reinstalled.by_token(&token)
        };
        assert_eq!(refusal(world.ask(vouched).await), Refusal::Revoked, "{how}: a rekey by the dead key");
        let waiting = held(world.ask(reinstalled.by_token(&token)).await.expect("held"));
        let reason = if how == "revoked" { "key_mismatch" } else { "was_removed" };
        assert_eq!(waiting.reason, reason);
        let keyless = world.ask(device.keyless(&token)).await.expect("held");
        assert_eq!(held(keyless).reason, reason, "{how}: without any key");
        assert_eq!(world.machines().await.len(), 1);
    }
}

#[tokio::test]
async fn q_07_a_revoked_bearer_key_is_refused_as_such() {
    let world = World::new().await;
    let token = world.one_time().await;
    let keyless = enrolled(world.ask(Device::new("legacy").keyless(&token)).await.expect("let in"));
    let secret = keyless.credential.bearer.expect("a bearer key");
    let caller = world.app.by_secret(&secret).await.expect("known");
    let id = caller.machine().expect("a machine").machine;
    world.app.revoke(id, None, None, false, &world.admin()).await.expect("revoked");
    assert_eq!(refusal(world.app.by_secret(&secret).await), Refusal::Revoked);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_end_and_ends_nothing() {
    let world = World::new().await;
    let enrolled = world.enroll(&Device::new("web-1")).await;
    let caller = world.caller(&enrolled).await.expect("known");
    let (writes, admin) = (world.writes(), world.admin());
    let told = world.app.revoke(caller.machine, None, None, true, &admin).await.expect("told");
    assert_eq!((told.credentials.clone(), told.dry_run), (vec![enrolled.credential.id.clone()], true));
    assert_eq!(world.writes(), writes);
    world.caller(&enrolled).await.expect("as good as before");
    let done = world.app.revoke(caller.machine, None, None, false, &admin).await.expect("revoked");
    assert_eq!(done.credentials, told.credentials, "it said what it would do");
}

#[tokio::test]
async fn one_credential_takes_its_key_with_it() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    let caller = world.caller(&first).await.expect("known");
    let only = first.credential.id.parse().ok();
    world.app.revoke(caller.machine, only, None, false, &world.admin()).await.expect("revoked");
    let renewed: Result<_, Error> = world.app.renew(&caller, &from(caller)).await;
    assert_eq!(refusal(renewed), Refusal::Revoked);
    let resumed = world.app.resume(caller.machine, None, &world.admin()).await;
    assert_eq!(refusal(resumed), Refusal::WrongState { verb: "resume", state: "revoked" });
}

//! Sites' keys that another server knew by a hash alone, until a machine shows them.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, SaltString};
use muster_app::{Error, KeylessClaim, SiteRef};
use muster_model::{Refusal, Secret, SecretForm, SecretKind};
use muster_testkit::world::{World, enrolled, held};
use muster_wire::enroll::{EnrollAnswer, Enrolled};
use muster_wire::site::{ImportKey, ImportedKey};

use super::keyless::asks;
use crate::support::{is_row_9, refusal, wrong_fields};

/// A key as the other server made it.
fn key(n: u8) -> String {
    Secret::formed(SecretForm::Prefixed, SecretKind::Enroll, [0; 10], [n; 32]).reveal()
}

/// What the other server kept of it.
fn phc(key: &str) -> String {
    let salt = SaltString::encode_b64(&[7; 16]).expect("a salt");
    Argon2::default().hash_password(key.as_bytes(), &salt).expect("a hash").to_string()
}

fn import(key: &str) -> ImportKey {
    ImportKey { phc: phc(key), version: None, fingerprint: None }
}

async fn bring(world: &World, site: &str, request: ImportKey) -> Result<ImportedKey, Error> {
    let site = SiteRef::Code(site.parse().expect("a code"));
    world.app.import_key(&site, request, &world.admin()).await
}

async fn ask(world: &World, claim: KeylessClaim) -> Result<EnrollAnswer, Error> {
    world.app.enroll_keyless(claim, || Ok(()), &world.stranger()).await
}

fn at(site: &str, claim: KeylessClaim) -> KeylessClaim {
    KeylessClaim { site: site.parse().expect("a code"), ..claim }
}

fn bearer(enrolled: &Enrolled) -> String {
    enrolled.credential.bearer.clone().expect("a bearer key")
}

async fn generation(world: &World) -> String {
    let sites = world.app.sites(&Default::default(), &world.admin()).await.expect("sites");
    sites.items[0].enrollment_key.clone().expect("a key")
}

/// The hash is checked once; then the key is one like every other.
#[tokio::test]
async fn the_first_that_shows_it_is_let_in_and_nobody_is_checked_by_the_hash_again() {
    let world = World::new().await;
    let imported = bring(&world, "default", ImportKey { version: Some(3), ..import(&key(1)) }).await;
    assert_eq!(imported.expect("imported").generation, "v3 (????)");
    let writes = world.writes();
    let first = enrolled(ask(&world, asks(&key(1), "WS-01")).await.expect("let in"));
    assert_eq!(world.writes(), writes + 1, "admission and verifier are one transaction");
    assert_eq!(world.app.password_hashes_run(), 1);
    let shown = key(1).parse::<Secret>().expect("a key").short_fingerprint();
    assert_eq!(generation(&world).await, format!("v3 ({:02X}{:02X})", shown[0], shown[1]));
    let again = enrolled(ask(&world, asks(&key(1), "WS-01")).await.expect("the same again"));
    assert_eq!(bearer(&again), bearer(&first));
    let other = KeylessClaim { hardware_id: "muid_b".parse().expect("an id"), ..asks(&key(1), "WS-02") };
    enrolled(ask(&world, other).await.expect("let in"));
    assert!(is_row_9(ask(&world, asks(&key(2), "WS-01")).await));
    assert_eq!(world.app.password_hashes_run(), 1, "no hash waits, so none is run");
    let actions: Vec<_> = world.audit().await.into_iter().map(|entry| entry.action).collect();
    for action in ["site.import_key", "machine.enroll", "site.prove_key"] {
        assert!(actions.iter().any(|found| found == action), "{action} in {actions:?}");
    }
}

#[tokio::test]
async fn whenever_the_server_dies_the_same_first_call_gets_one_machine_and_one_key() {
    for (died_after, runs) in [(false, 2), (true, 1)] {
        let mut world = World::new().await;
        bring(&world, "default", import(&key(1))).await.expect("imported");
        match died_after {
            true => world.faults().after("machine.enroll"),
            false => world.faults().before("machine.enroll"),
        }
        assert!(matches!(ask(&world, asks(&key(1), "WS-01")).await, Err(Error::Store(_))));
        let before = world.app.password_hashes_run();
        world.restart().await;
        let first = enrolled(ask(&world, asks(&key(1), "WS-01")).await.expect("let in"));
        assert_eq!(before + world.app.password_hashes_run(), runs, "died after: {died_after}");
        let again = enrolled(ask(&world, asks(&key(1), "WS-01")).await.expect("the same again"));
        assert_eq!((bearer(&again), world.machines().await.len()), (bearer(&first), 1));
        assert!(world.app.by_secret(&bearer(&first)).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_first_calls_at_once_are_one_machine_and_cost_one_run_or_a_few() {
    let world = Arc::new(World::new().await);
    bring(&world, "default", import(&key(1))).await.expect("imported");
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..8 {
        let world = Arc::clone(&world);
        let claim = KeylessClaim {
            hardware_id: format!("muid_{}", n % 2).parse().expect("an id"),
            ..asks(&key(1), &format!("WS-{}", n % 2))
        };
        asking.spawn(async move { (n % 2, ask(&world, claim).await) });
    }
    let mut keys = [Vec::new(), Vec::new()];
    for (which, answer) in asking.join_all().await {
        keys[which].push(bearer(&enrolled(answer.expect("let in"))));
    }
    for keys in &mut keys {
        keys.dedup();
        assert_eq!(keys.len(), 1, "the same call, the same key");
    }
    assert_eq!(world.machines().await.len(), 2);
    assert!(world.app.password_hashes_run() < 8, "who waited for a turn looks again first");
    let proofs = world.audit().await.into_iter().filter(|entry| entry.action == "site.prove_key").count();
    assert_eq!(proofs, 1);
}

/// Two calls whose keys were both checked before either was decided.
#[tokio::test]
async fn a_check_that_another_one_overtook_is_decided_by_the_verifier() {
    let world = World::new().await;
    bring(&world, "default", import(&key(1))).await.expect("imported");
    let gate = world.faults().gate("machine.enroll");
    let late = ask(&world, asks(&key(1), "WS-01"));
    let (late, ()) = tokio::join!(late, async {
        gate.arrived().await;
        let other = KeylessClaim { hardware_id: "muid_b".parse().expect("an id"), ..asks(&key(1), "WS-02") };
        enrolled(ask(&world, other).await.expect("let in"));
        gate.open();
    });
    enrolled(late.expect("let in"));
    assert_eq!((world.app.password_hashes_run(), world.machines().await.len()), (2, 2));
}

#[tokio::test]
async fn whoever_must_wait_for_a_person_has_shown_it_too() {
    let world = World::new().await;
    world.site("strict", |site| site.approval = true).await;
    bring(&world, "strict", import(&key(1))).await.expect("imported");
    let first = held(ask(&world, at("strict", asks(&key(1), "WS-01"))).await.expect("held"));
    let again = held(ask(&world, at("strict", asks(&key(1), "WS-01"))).await.expect("held"));
    assert_eq!((first.hold, world.app.password_hashes_run()), (again.hold, 1));
}

/// "Timing oracle turned around": counted, not timed. While a key waits to be shown, every wrong site and every wrong key
/// costs one run; a site without such a key costs what one with it does.
#[tokio::test]
async fn q_09_every_refusal_costs_the_same_number_of_runs() {
    let world = World::new().await;
    world.site("plain", |_| {}).await;
    let native = world.app.rotate_key(&"plain".parse().expect("a code"), None, &world.admin()).await;
    bring(&world, "default", import(&key(1))).await.expect("imported");
    let ended = format!("{}x", native.expect("a key").key);
    for (site, shown) in [
        ("default", key(2)),
        ("default", "secret".into()),
        ("default", "cek_secret".into()),
        ("default", key(1).to_uppercase()),
        ("default", ended.clone()),
        ("plain", key(1)),
        ("plain", ended),
        ("nowhere", key(1)),
        ("nowhere", String::new()),
    ] {
        let before = world.app.password_hashes_run();
        assert!(is_row_9(ask(&world, at(site, asks(&shown, "WS-01"))).await), "{site} {shown}");
        assert_eq!(world.app.password_hashes_run(), before + 1, "{site} {shown}");
    }
    assert!(world.machines().await.is_empty());
}

/// "Random codes get unlimited verifications": whoever may not cause what is costly is sent away whatever it names.
#[tokio::test]
async fn a_source_that_has_had_enough_is_sent_away_before_any_run_whatever_it_names() {
    let world = World::new().await;
    let enough = || Err(Refusal::SlowDown { retry_after: 6 });
    let stranger = world.stranger();
    let asked =
        |site: &'static str| world.app.enroll_keyless(at(site, asks(&key(1), "WS-01")), enough, &stranger);
    assert!(is_row_9(asked("default").await), "nothing costly is done, so nobody is asked");
    bring(&world, "default", import(&key(1))).await.expect("imported");
    for site in ["default", "nowhere"] {
        assert_eq!(refusal(asked(site).await), Refusal::SlowDown { retry_after: 6 }, "{site}");
    }
    assert_eq!(world.app.password_hashes_run(), 0);
}

#[tokio::test]
async fn a_key_is_brought_once_however_often_and_never_where_it_was_ended() {
    let world = World::new().await;
    world.site("other", |_| {}).await;
    let first = bring(&world, "default", import(&key(1))).await.expect("imported");
    let writes = world.writes();
    let again = bring(&world, "default", import(&key(1))).await.expect("the same");
    assert_eq!((&again.grant, again.shown, world.writes()), (&first.grant, false, writes));
    assert_eq!(refusal(bring(&world, "other", import(&key(1))).await).code(), "name_taken");
    enrolled(ask(&world, asks(&key(1), "WS-01")).await.expect("let in"));
    let again = bring(&world, "default", import(&key(1))).await.expect("the same");
    assert_eq!((&again.grant, again.shown), (&first.grant, true));
    world.app.rotate_key(&"default".parse().expect("a code"), None, &world.admin()).await.expect("rotated");
    assert_eq!(refusal(bring(&world, "default", import(&key(1))).await).code(), "wrong_state");
    assert!(is_row_9(ask(&world, asks(&key(1), "WS-09")).await));
}

/// A hash of an ended generation is gone with it: nothing is run for it.
#[tokio::test]
async fn a_key_that_was_rotated_before_anybody_showed_it_opens_nothing() {
    let world = World::new().await;
    bring(&world, "default", import(&key(1))).await.expect("imported");
    world.app.rotate_key(&"default".parse().expect("a code"), None, &world.admin()).await.expect("rotated");
    assert!(is_row_9(ask(&world, asks(&key(1), "WS-01")).await));
    assert_eq!(world.app.password_hashes_run(), 0);
}

#[tokio::test]
async fn a_hash_of_another_form_or_cost_a_number_and_a_fingerprint_that_are_none_are_named() {
    let world = World::new().await;
    let good = import(&key(1));
    let costly = ImportKey { phc: good.phc.replace("m=19456", "m=4194304"), ..good.clone() };
    assert_eq!(wrong_fields(bring(&world, "default", costly).await), ["phc"]);
    // Its last character holds bits that belong to nothing.
    let cut = ImportKey { phc: format!("{}/", &good.phc[..good.phc.len() - 1]), ..good.clone() };
    assert_eq!(wrong_fields(bring(&world, "default", cut).await), ["phc"]);
    let odd = ImportKey { version: Some(0), fingerprint: Some("7F2".into()), ..good.clone() };
    assert_eq!(wrong_fields(bring(&world, "default", odd).await), ["version", "fingerprint"]);
    assert!(!format!("{good:?}").contains(&good.phc));
    let known = ImportKey { version: Some(9), fingerprint: Some("7f2A".into()), ..good };
    assert_eq!(bring(&world, "default", known).await.expect("imported").generation, "v9 (7F2A)");
}

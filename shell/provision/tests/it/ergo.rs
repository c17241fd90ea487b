//! Ergo: no orphan, no double, no account of somebody else changed, whatever goes wrong on the way.

use muster_model::SignedDuration;
use muster_testkit::ergo::{FakeErgo, Fault};
use muster_testkit::world::machine_id;
use muster_wire::account::Reconcile;

use super::support::{Scene, ergo, ergo_with, id};

const FOREIGN: (&str, &str) = ("bridge", "known-to-its-owner-alone");

#[tokio::test]
async fn an_account_is_made_rotated_locked_and_let_in_again() {
    let fake = FakeErgo::start().await;
    let scene = Scene::with(ergo(&fake, true)).await;
    let made = scene.create("w-two").await;
    assert_eq!(made.account.state, "pending");
    assert_eq!(scene.create("W-TWO").await, made, "asking again gives the same");
    scene.settle().await;
    assert_eq!(scene.shown(&made.account).await.state, "live");
    assert!(fake.lets_in("w-two", &made.passphrase));
    let admin = scene.world.admin();
    let app = &scene.world.app;
    let rotated = app.rotate_account(id(&made.account), Some("once"), &admin).await.expect("rotated");
    let again = app.rotate_account(id(&made.account), Some("once"), &admin).await.expect("rotated");
    assert_eq!(again.passphrase, rotated.passphrase, "a lost answer is given again");
    scene.settle().await;
    assert!(fake.lets_in("w-two", &rotated.passphrase) && !fake.lets_in("w-two", &made.passphrase));
    fake.connect("W-Two");
    scene.suspend().await;
    scene.settle().await;
    assert!(!fake.lets_in("w-two", &rotated.passphrase));
    assert_eq!(fake.sessions(), [""; 0], "live sessions end");
    scene.resume().await;
    scene.settle().await;
    assert!(fake.lets_in("w-two", &rotated.passphrase), "the pause is over");
    scene.revoke().await;
    scene.settle().await;
    assert!(!fake.lets_in("w-two", &rotated.passphrase));
    assert_eq!(scene.shown(&made.account).await.state, "locked");
    assert_eq!(fake.accounts().len(), 1);
}

/// Weakness 1: registering reset the password of any account.
#[tokio::test]
async fn somebody_elses_account_is_a_conflict_and_never_changed_until_it_is_adopted() {
    let fake = FakeErgo::start().await;
    fake.make(FOREIGN.0, FOREIGN.1);
    let scene = Scene::with(ergo(&fake, true)).await;
    let made = scene.create("Bridge").await;
    scene.settle().await;
    assert_eq!(scene.shown(&made.account).await.state, "conflict");
    scene.suspend().await;
    scene.settle().await;
    scene.resume().await;
    scene.settle().await;
    scene.world.app.retry_account(id(&made.account), &scene.world.admin()).await.expect("tried again");
    scene.settle().await;
    assert!(fake.lets_in(FOREIGN.0, FOREIGN.1), "its owner gets in as before");
    let calls = fake.calls();
    let changing =
        |call: &&String| !call.starts_with("/v1/ns/saregister") && !call.starts_with("/v1/check_auth");
    assert_eq!(calls.iter().find(changing), None, "nothing that could change it was even asked");
    let admin = scene.world.admin();
    let adopted = scene.world.app.adopt_account(id(&made.account), &admin).await.expect("adopted");
    scene.settle().await;
    assert!(fake.lets_in(FOREIGN.0, &adopted.passphrase));
    assert_eq!(scene.shown(&made.account).await.state, "live");
}

/// What was made by an order whose answer was lost is locked as well: no orphan.
#[tokio::test]
async fn an_account_whose_making_was_never_confirmed_is_locked_with_its_machine() {
    for fault in [Fault::AnswerLost, Fault::AnswerNever, Fault::BrokenAfter, Fault::Silent] {
        let fake = FakeErgo::start().await;
        let scene = Scene::with(ergo(&fake, false)).await;
        fake.fail([fault, fault]);
        let made = scene.create("w-two").await;
        scene.world.app.provision().await.expect("the store answers");
        scene.revoke().await;
        scene.settle().await;
        assert_eq!(scene.shown(&made.account).await.state, "locked", "{fault:?}");
        assert!(!fake.lets_in("w-two", &made.passphrase), "{fault:?}");
        assert_eq!(fake.accounts().len(), 1, "a name that may still come is taken: {fault:?}");
    }
}

#[tokio::test]
async fn what_fails_too_often_waits_for_an_operator_who_has_it_tried_again() {
    let fake = FakeErgo::start().await;
    let scene = Scene::with(ergo(&fake, false)).await;
    fake.fail([Fault::Broken; 5]);
    let made = scene.create("w-two").await;
    scene.settle().await;
    let shown = scene.shown(&made.account).await;
    assert_eq!(
        (shown.state.as_str(), shown.attempts, shown.error.as_deref()),
        ("dead", Some(5), Some("failed"))
    );
    assert_eq!(shown.error_text.as_deref(), Some("HTTP 500"));
    assert_eq!(scene.world.app.provision().await.expect("an answer").failed, 0, "nobody tries any more");
    scene.world.app.retry_account(id(&made.account), &scene.world.admin()).await.expect("tried again");
    scene.settle().await;
    assert_eq!(scene.shown(&made.account).await.state, "live");
}

/// Weakness 7: one slow Ergo blocked everything.
#[tokio::test]
async fn while_another_system_keeps_silent_everything_else_goes_on() {
    let fake = FakeErgo::start().await;
    let scene = Scene::with(ergo(&fake, false)).await;
    fake.fail([Fault::Silent]);
    let made = scene.create("w-two").await;
    let working = scene.world.app.clone();
    let work = tokio::spawn(async move { working.provision().await });
    while fake.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    scene.suspend().await;
    assert_eq!(scene.shown(&made.account).await.wanted, "locked", "decided while the call was under way");
    assert_eq!(work.await.expect("no panic").expect("the store answers").failed, 1);
    scene.settle().await;
    assert_eq!(scene.shown(&made.account).await.state, "locked");
}

#[tokio::test]
async fn drift_is_told_by_a_dry_run_and_brought_back_by_the_other() {
    let fake = FakeErgo::start().await;
    let scene = Scene::with(ergo(&fake, false)).await;
    let (one, two) = (scene.create("one").await, scene.create("two").await);
    scene.settle().await;
    let admin = scene.world.admin();
    let reconcile = async |dry_run| {
        let request = Reconcile { dry_run, cursor: None };
        scene.world.app.reconcile(&request, &admin).await.expect("looked")
    };
    assert_eq!((reconcile(false).await.looked_at, reconcile(false).await.drifted), (2, vec![]));
    fake.forget("one");
    fake.make("two", "changed-behind-our-back");
    let told = reconcile(true).await;
    let mut found: Vec<_> = told.drifted.iter().map(|drift| drift.found.as_str()).collect();
    found.sort_unstable();
    assert_eq!(
        (found, told.drifted.iter().any(|drift| drift.mended)),
        (vec!["missing", "passphrase"], false)
    );
    scene.settle().await;
    assert!(!fake.lets_in("one", &one.passphrase), "a dry run changes nothing");
    assert_eq!(reconcile(false).await.drifted.len(), 2);
    scene.settle().await;
    assert!(fake.lets_in("one", &one.passphrase) && fake.lets_in("two", &two.passphrase));
    assert_eq!(reconcile(true).await.drifted, []);
}

#[tokio::test]
async fn a_removed_account_is_locked_where_it_cannot_be_forgotten_and_its_name_stays_ours() {
    let fake = FakeErgo::start().await;
    let scene = Scene::with(ergo(&fake, true)).await;
    let made = scene.create("w-two").await;
    scene.settle().await;
    let admin = scene.world.admin();
    scene.world.app.remove_account(id(&made.account), &admin).await.expect("removed");
    scene.settle().await;
    assert_eq!(scene.shown(&made.account).await.state, "removed");
    assert!(!fake.lets_in("w-two", &made.passphrase));
    let anew = scene.create("w-two").await;
    scene.settle().await;
    assert_eq!(scene.shown(&anew.account).await.state, "conflict", "it comes back by an operator alone");
}

/// Weakness 10: what was reaped or retired kept its password.
#[tokio::test]
async fn a_retired_machines_account_is_locked_and_can_still_be_read() {
    let fake = FakeErgo::start().await;
    let scene = Scene::with(ergo(&fake, false)).await;
    let made = scene.create("w-two").await;
    scene.settle().await;
    let admin = scene.world.admin();
    scene.world.app.retire(machine_id(&scene.machine), None, &admin).await.expect("retired");
    scene.settle().await;
    assert_eq!(scene.shown(&made.account).await.state, "locked");
    assert!(!fake.lets_in("w-two", &made.passphrase));
}

#[tokio::test]
async fn a_wrong_token_is_no_reason_to_give_an_account_up_at_once() {
    let fake = FakeErgo::start().await;
    let settings = muster_provision::ErgoSettings {
        url: fake.url(),
        token: "wrong".to_owned().into(),
        roots: None,
        operator: None,
        call: None,
    };
    let scene = Scene::with(muster_provision::Ergo::new(settings).expect("a connector")).await;
    let made = scene.create("w-two").await;
    scene.world.app.provision().await.expect("the store answers");
    let shown = scene.shown(&made.account).await;
    assert_eq!((shown.state.as_str(), shown.error.as_deref()), ("pending", Some("unauthorized")));
}

/// Ergo says in prose alone that an operator may not suspend; sessions would go on unseen.
#[tokio::test]
async fn an_operator_who_may_not_suspend_is_no_success() {
    let fake = FakeErgo::start().await;
    let scene = Scene::with(ergo_with(&fake, Some("weak"))).await;
    let made = scene.create("w-two").await;
    scene.settle().await;
    fake.connect("w-two");
    scene.suspend().await;
    assert_eq!(scene.world.app.provision().await.expect("the store answers").failed, 1);
    let shown = scene.shown(&made.account).await;
    assert_eq!((shown.state.as_str(), shown.error.as_deref()), ("pending", Some("unauthorized")));
    assert!(!fake.lets_in("w-two", &made.passphrase), "the passphrase has ended all the same");
}

/// A relay rotates by itself when it is not let in: that must not undo what a person decided.
#[tokio::test]
async fn a_suspension_by_a_person_is_not_lifted_by_a_rotation() {
    let fake = FakeErgo::start().await;
    let scene = Scene::with(ergo(&fake, true)).await;
    let made = scene.create("w-two").await;
    scene.settle().await;
    fake.suspend("w-two", "spam");
    let admin = scene.world.admin();
    scene.world.app.rotate_account(id(&made.account), None, &admin).await.expect("rotated");
    scene.settle().await;
    assert_eq!(fake.accounts()[0].suspended.as_deref(), Some("spam"));
}

/// A suspended account looks to the API like none, and opens to no passphrase: what is ours is noted before.
#[tokio::test]
async fn an_account_that_is_locked_before_it_was_known_to_be_ours_is_no_conflict() {
    let fake = FakeErgo::start().await;
    let scene = Scene::with(ergo(&fake, true)).await;
    fake.fail([Fault::AnswerLost]);
    let made = scene.create("w-two").await;
    scene.world.app.provision().await.expect("the store answers");
    fake.connect("w-two");
    scene.revoke().await;
    scene.world.clock.advance(SignedDuration::from_mins(5));
    scene.world.app.provision().await.expect("the store answers");
    let shown = scene.shown(&made.account).await;
    assert_eq!((shown.provenance.as_str(), shown.state.as_str()), ("made", "pending"));
    scene.settle().await;
    assert_eq!(scene.shown(&made.account).await.state, "locked");
    assert_eq!(fake.sessions(), [""; 0]);
    let request = Reconcile { dry_run: true, cursor: None };
    let looked = scene.world.app.reconcile(&request, &scene.world.admin()).await.expect("looked");
    assert_eq!(looked.drifted, []);
}

//! What every connector must do, whatever goes wrong on the way: no orphan, no double, no account of somebody else changed.
//!
//! A connector is brought along with a system that fails as it is told; a line of `conforms!` runs it through everything.

use muster_app::Provisioner;
use muster_testkit::downstream::{Downstream, Fault};
use muster_testkit::ergo::FakeErgo;
use muster_testkit::receiver::FakeReceiver;
use muster_wire::account::AccountSecret;

use super::support::{self, Scene, id};
use super::webhook::webhook;

const FOREIGN: (&str, &str) = ("bridge", "known-to-its-owner-alone");

/// A connector, and the system that it reaches.
struct Stage<D> {
    there: D,
    scene: Scene,
}

impl<D: Downstream> Stage<D> {
    async fn new(there: D, connector: impl Provisioner) -> Self {
        there.make(FOREIGN.0, FOREIGN.1);
        Self { there, scene: Scene::with(connector).await }
    }

    async fn ordered(&self, faults: &[Fault]) -> AccountSecret {
        self.there.fail(faults);
        self.scene.create("w-two").await
    }

    async fn stands(&self, made: &AccountSecret, state: &str, what: &str) {
        self.scene.settle().await;
        let shown = self.scene.shown(&made.account).await;
        assert_eq!(shown.state, state, "{what}: {:?}", shown.error_text);
    }

    /// Nobody else's account was touched, and there is at most one of ours.
    fn is_tidy(&self, what: &str) {
        assert!(self.there.lets_in(FOREIGN.0, FOREIGN.1), "{what}: its owner gets in as before");
        let ours: Vec<String> = self.there.names().into_iter().filter(|name| name != FOREIGN.0).collect();
        assert!(ours.is_empty() || ours == ["w-two"], "{what}: {ours:?}");
    }
}

/// Whatever becomes of the first two calls (weaknesses 6 and 9: a lost answer, two changes at once), one account is there in the end, and it is the machine's.
async fn one_account_is_made<D: Downstream>(stage: Stage<D>, faults: &[Fault]) {
    let what = format!("{faults:?}");
    let made = stage.ordered(faults).await;
    stage.stands(&made, "live", &what).await;
    assert!(stage.there.lets_in("w-two", &made.passphrase), "{what}");
    assert_eq!(stage.there.names().len(), 2, "{what}");
    stage.is_tidy(&what);
}

/// The newest passphrase is the one that opens, and no older one does.
async fn a_rotation_arrives<D: Downstream>(stage: Stage<D>, faults: &[Fault]) {
    let what = format!("{faults:?}");
    let made = stage.ordered(&[]).await;
    stage.stands(&made, "live", &what).await;
    stage.there.fail(faults);
    let (app, admin) = (&stage.scene.world.app, stage.scene.world.admin());
    let first = app.rotate_account(id(&made.account), None, &admin).await.expect("rotated");
    app.provision().await.expect("the store answers");
    let second = app.rotate_account(id(&made.account), None, &admin).await.expect("rotated");
    stage.stands(&made, "live", &what).await;
    assert!(stage.there.lets_in("w-two", &second.passphrase), "{what}");
    for older in [made, first] {
        assert!(!stage.there.lets_in("w-two", &older.passphrase), "{what}");
    }
    stage.is_tidy(&what);
}

/// What was ordered for a machine that is over meanwhile lets nobody in: no orphan.
async fn what_is_over_lets_nobody_in<D: Downstream>(stage: Stage<D>, faults: &[Fault]) {
    let what = format!("{faults:?}");
    let made = stage.ordered(faults).await;
    stage.scene.world.app.provision().await.expect("the store answers");
    stage.scene.revoke().await;
    stage.stands(&made, "locked", &what).await;
    assert!(!stage.there.lets_in("w-two", &made.passphrase), "{what}");
    stage.is_tidy(&what);
}

/// A pause locks, and its end lets the same passphrase in.
async fn a_pause_is_a_pause<D: Downstream>(stage: Stage<D>, faults: &[Fault]) {
    let what = format!("{faults:?}");
    let made = stage.ordered(&[]).await;
    stage.stands(&made, "live", &what).await;
    stage.there.fail(faults);
    stage.scene.suspend().await;
    stage.stands(&made, "locked", &what).await;
    assert!(!stage.there.lets_in("w-two", &made.passphrase), "{what}");
    stage.there.fail(faults);
    stage.scene.resume().await;
    stage.stands(&made, "live", &what).await;
    assert!(stage.there.lets_in("w-two", &made.passphrase), "{what}");
    stage.is_tidy(&what);
}

/// A name that somebody else has is a conflict, and whatever is wanted of it changes nothing there.
async fn somebody_elses_is_left_alone<D: Downstream>(stage: Stage<D>, faults: &[Fault]) {
    let what = format!("{faults:?}");
    stage.there.fail(faults);
    let made = stage.scene.create("BRIDGE").await;
    stage.stands(&made, "conflict", &what).await;
    stage.scene.suspend().await;
    stage.stands(&made, "conflict", &what).await;
    let (app, admin) = (&stage.scene.world.app, stage.scene.world.admin());
    stage.there.fail(faults);
    app.retry_account(id(&made.account), &admin).await.expect("tried again");
    stage.stands(&made, "conflict", &what).await;
    app.remove_account(id(&made.account), &admin).await.expect("removed");
    stage.stands(&made, "removed", &what).await;
    assert_eq!(stage.there.names(), [FOREIGN.0], "{what}");
    stage.is_tidy(&what);
}

/// What is removed lets nobody in, whether or not the other system forgets it.
async fn what_is_removed_is_gone<D: Downstream>(stage: Stage<D>, faults: &[Fault]) {
    let what = format!("{faults:?}");
    let made = stage.ordered(faults).await;
    stage.scene.world.app.provision().await.expect("the store answers");
    let admin = stage.scene.world.admin();
    stage.scene.world.app.remove_account(id(&made.account), &admin).await.expect("removed");
    stage.stands(&made, "removed", &what).await;
    assert!(!stage.there.lets_in("w-two", &made.passphrase), "{what}");
    stage.is_tidy(&what);
}

/// Two faults in a row; nothing is wrong with what comes after them.
fn any_two() -> Vec<[Fault; 2]> {
    Fault::ALL.into_iter().flat_map(|first| Fault::ALL.map(|second| [first, second])).collect()
}

/// Each fault, twice.
fn each_twice() -> Vec<[Fault; 2]> {
    Fault::ALL.map(|fault| [fault, fault]).into()
}

/// So many deployments at once: what is waited for is time mostly, and with more of them calls would be late by themselves.
const AT_ONCE: usize = 9;

macro_rules! conforms {
    ($connector:ident, $stage:path: $($story:ident($faults:ident))*) => {
        mod $connector {
            $(
                #[tokio::test]
                async fn $story() {
                    for faults in super::$faults().chunks(super::AT_ONCE) {
                        let mut stories = tokio::task::JoinSet::new();
                        for faults in faults.to_vec() {
                            stories.spawn(async move { super::$story($stage().await, &faults).await });
                        }
                        stories.join_all().await;
                    }
                }
            )*
        }
    };
}

macro_rules! every_story {
    ($connector:ident, $stage:path) => {
        conforms!($connector, $stage:
            one_account_is_made(any_two)
            a_rotation_arrives(each_twice)
            what_is_over_lets_nobody_in(each_twice)
            a_pause_is_a_pause(each_twice)
            somebody_elses_is_left_alone(each_twice)
            what_is_removed_is_gone(each_twice)
        );
    };
}

async fn of_ergo() -> Stage<FakeErgo> {
    let fake = FakeErgo::start().await;
    let connector = support::ergo(&fake, false);
    Stage::new(fake, connector).await
}

async fn of_ergo_with_an_operator() -> Stage<FakeErgo> {
    let fake = FakeErgo::start().await;
    let connector = support::ergo(&fake, true);
    Stage::new(fake, connector).await
}

async fn of_webhook() -> Stage<FakeReceiver> {
    let fake = FakeReceiver::start().await;
    let connector = webhook(fake.url(), |address| address.is_loopback());
    Stage::new(fake, connector).await
}

every_story!(ergo, super::of_ergo);
every_story!(ergo_with_an_operator, super::of_ergo_with_an_operator);
every_story!(webhook_receiver, super::of_webhook);

//! Somebody has a copy of a machine's key and does what its agent would not: it is noticed, on every store.

use muster_app::{Error, MachineCaller};
use muster_lifecycle::fork::OnCopy;
use muster_model::{MachineId, Refusal, SignedDuration};
use muster_store::Store;
use muster_testkit::FixedClock;
use muster_testkit::reference::ReferenceStore;
use muster_testkit::world::{Device, World};
use muster_wire::alarm::Acknowledge;
use muster_wire::enroll::{Enrolled, IssuedCredential};

use crate::support::{from, refusal, signed};

struct Scene<S: Store> {
    world: World<S>,
    keys: Vec<Device>,
    first: Enrolled,
}

impl<S: Store> Scene<S> {
    async fn over(world: World<S>) -> Self {
        let keys: Vec<Device> = (0..4).map(|n| Device::new(&format!("key-{n}"))).collect();
        let first = world.enroll(&keys[0]).await;
        Self { world, keys, first }
    }

    fn id(&self) -> MachineId {
        self.first.machine.id.parse().expect("an identifier")
    }

    async fn rotate(&self, by: usize, next: usize) -> Result<IssuedCredential, Error> {
        let signed = signed(&self.world, &self.keys[by], "/v1/machines/self/rotate");
        let caller = self.world.app.by_signature(&signed.call(), &self.world.stranger()).await?;
        let caller = *caller.machine()?;
        let request = self.keys[by].rotates_to(&self.keys[next], [7; 16]);
        Ok(self.world.app.rotate(request, &caller, &from(caller)).await?.credential)
    }

    async fn shows(&self, certificate: &IssuedCredential, base: usize) -> Result<MachineCaller, Error> {
        self.world.caller_by(certificate, Some(&self.keys[base])).await
    }

    async fn causes(&self) -> Vec<String> {
        let entries = self.world.audit().await.into_iter();
        let told = entries.filter(|entry| entry.action == "machine.forked");
        told.filter_map(|entry| entry.detail.get("cause").cloned()).collect()
    }
}

mod rules {
    use super::*;

    pub(super) async fn q_18_a_thief_that_skips_the_key_that_vouched_is_told_and_the_owner_hears_no_end<
        S: Store,
    >(
        world: World<S>,
    ) {
        let scene = Scene::over(world).await;
        let owner = scene.shows(&scene.first.credential, 0).await.expect("known");
        let mut channel = scene.world.app.channel_open(&owner).await.expect("a channel");
        let stolen = scene.rotate(0, 1).await.expect("the key vouches, whoever has it");
        scene.shows(&stolen, 1).await.expect("used at once, with itself as the base");
        assert_eq!(scene.causes().await, ["base_skipped"]);
        assert_eq!(channel.orders.recv().await, None, "no order by which it would end itself");
        scene.shows(&scene.first.credential, 0).await.expect("it may still ask for a rotation");
        scene.shows(&stolen, 1).await.expect("the thief goes on");
        scene.world.clock.advance(SignedDuration::from_hours(2));
        for _ in 0..3 {
            assert_eq!(refusal(scene.shows(&scene.first.credential, 0).await), Refusal::Superseded);
        }
        assert_eq!(scene.causes().await, ["base_skipped", "superseded_key"], "once an hour");
        let shown = scene.world.machine(&scene.first.machine.id).await;
        assert_eq!(shown.machine.state, "active", "whoever has an old image stops no machine by it");
        assert_eq!(shown.rotation.expect("it has a key").forked_by.as_deref(), Some("superseded_key"));
    }

    pub(super) async fn what_was_told_of_a_copy_stands_until_somebody_has_looked<S: Store>(world: World<S>) {
        let scene = Scene::over(world).await;
        let (app, admin) = (&scene.world.app, scene.world.admin());
        scene.shows(&scene.first.credential, 0).await.expect("known");
        let stolen = scene.rotate(0, 1).await.expect("the key vouches, whoever has it");
        scene.shows(&stolen, 1).await.expect("used at once, with itself as the base");
        let open = app.alarms(&admin).await.expect("a list").items;
        let [alarm] = &open[..] else { panic!("{open:?}") };
        assert_eq!((&*alarm.action, alarm.cause.as_deref()), ("machine.forked", Some("base_skipped")));
        assert_eq!((&alarm.object, alarm.name.as_deref()), (&scene.first.machine.id, Some("key-0")));

        let looked =
            Acknowledge { object: alarm.object.clone(), until: alarm.last_at, reason: Some("me".into()) };
        let left = app.acknowledge(&looked, &admin).await.expect("acknowledged").items;
        assert_eq!(left, []);
        let shown = scene.world.machine(&scene.first.machine.id).await;
        assert_eq!(shown.rotation.expect("it has a key").forked_by, None);
        // What is told afterwards is told at once, although an hour has not passed.
        scene.world.clock.advance(SignedDuration::from_secs(5));
        scene.shows(&stolen, 1).await.expect("settled");
        refusal(scene.shows(&scene.first.credential, 0).await);
        let open = app.alarms(&admin).await.expect("a list").items;
        assert_eq!(
            open.iter().map(|alarm| alarm.cause.as_deref()).collect::<Vec<_>>(),
            [Some("superseded_key")]
        );

        for (object, code) in
            [(MachineId::new(1, [9; 10]).to_string(), "not_found"), ("grt_x".into(), "invalid")]
        {
            let nothing = Acknowledge { object, ..looked.clone() };
            let error = app.acknowledge(&nothing, &admin).await.expect_err("there is no such thing");
            let is_malformed = matches!(error, Error::Malformed(_));
            assert!(is_malformed == (code == "invalid"), "{error:?}");
        }
    }

    pub(super) async fn the_keys_of_a_paused_machine_rest_and_a_rotation_goes_on_where_it_was<S: Store>(
        world: World<S>,
    ) {
        let scene = Scene::over(world).await;
        let next = scene.rotate(0, 1).await.expect("proposed");
        let admin = scene.world.admin();
        scene.world.app.suspend(scene.id(), None, &admin).await.expect("paused");
        assert_eq!(refusal(scene.shows(&next, 0).await), Refusal::MachineSuspended);
        assert_eq!(refusal(scene.rotate(0, 2).await), Refusal::MachineSuspended);
        scene.shows(&scene.first.credential, 0).await.expect("its present key stays");
        scene.world.app.resume(scene.id(), None, &admin).await.expect("resumed");
        scene.shows(&next, 0).await.expect("it goes on");
        scene.shows(&next, 1).await.expect("its slot is durable");
        assert_eq!(scene.causes().await, Vec::<String>::new());
    }

    pub(super) async fn q_07_a_revoked_certificate_of_a_next_key_leaves_nothing_of_that_key<S: Store>(
        world: World<S>,
    ) {
        let scene = Scene::over(world).await;
        let stolen = scene.rotate(0, 1).await.expect("proposed");
        let credential = stolen.id.parse().expect("an identifier");
        let admin = scene.world.admin();
        scene.world.app.revoke(scene.id(), Some(credential), None, false, &admin).await.expect("revoked");
        let signed = signed(&scene.world, &scene.keys[1], "/v1/machines/self");
        let shown = scene.world.app.by_signature(&signed.call(), &scene.world.stranger()).await.map(drop);
        assert_eq!(refusal(shown), Refusal::Revoked);
        assert_eq!(refusal(scene.shows(&stolen, 0).await), Refusal::Revoked);
        scene.shows(&scene.first.credential, 0).await.expect("the present key is at work");
        assert_eq!(scene.world.machine(&scene.first.machine.id).await.machine.state, "active");
    }
}

macro_rules! on_both {
    ($($name:ident)+) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn on_sqlite() {
                rules::$name(World::new().await).await;
            }

            #[tokio::test]
            async fn on_the_reference() {
                let policy = |settings: &mut muster_app::Settings| settings.on_copy = OnCopy::Alarm;
                rules::$name(World::over(ReferenceStore::default(), FixedClock::default(), policy).await).await;
            }
        }
    )+};
}

on_both! {
    q_18_a_thief_that_skips_the_key_that_vouched_is_told_and_the_owner_hears_no_end
    what_was_told_of_a_copy_stands_until_somebody_has_looked
    the_keys_of_a_paused_machine_rest_and_a_rotation_goes_on_where_it_was
    q_07_a_revoked_certificate_of_a_next_key_leaves_nothing_of_that_key
}

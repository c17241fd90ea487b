use std::sync::Arc;
use std::time::Duration;

use muster_app::{Provisioner, Provisioners};
use muster_model::{AccountId, SignedDuration};
use muster_provision::{Ergo, ErgoSettings, IrcOperator};
use muster_testkit::ergo::{FakeErgo, OPER, TOKEN};
use muster_testkit::world::{Device, World, enrolled, machine_id};
use muster_wire::account::{Account, AccountSecret, CreateAccount};
use muster_wire::grant::CreateGrant;

/// So long a call may take in a test where the other system never answers.
pub(crate) const CALL: Duration = Duration::from_millis(300);

pub(crate) fn ergo(fake: &FakeErgo, operator: bool) -> Ergo {
    ergo_with(fake, operator.then_some("muster"))
}

/// One whose sessions an operator of this name ends.
pub(crate) fn ergo_with(fake: &FakeErgo, operator: Option<&str>) -> Ergo {
    let oper = |name: &str| IrcOperator::new(fake.irc(), name.to_owned(), OPER.to_owned().into());
    let operator = operator.map(|name| oper(name).expect("an operator"));
    let settings = ErgoSettings {
        url: fake.url(),
        token: TOKEN.to_owned().into(),
        roots: None,
        operator,
        call: Some(CALL),
    };
    Ergo::new(settings).expect("a connector")
}

/// A deployment with a machine, and one provisioner of the name `irc`.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) machine: String,
}

impl Scene {
    pub(crate) async fn with(provisioner: impl Provisioner) -> Self {
        let world = World::new().await;
        let name = "irc".parse().expect("a name");
        world.app.provide(Provisioners::default().with(name, Arc::new(provisioner), 5));
        let machine = a_machine(&world).await;
        Self { world, machine }
    }

    pub(crate) async fn create(&self, name: &str) -> AccountSecret {
        let request = CreateAccount { provisioner: "irc".to_owned(), name: name.to_owned() };
        let admin = self.world.admin();
        self.world.app.create_account(machine_id(&self.machine), request, &admin).await.expect("an account")
    }

    /// Works until nothing is due any more, each time after the longest wait.
    pub(crate) async fn settle(&self) {
        for _ in 0..20 {
            let round = self.world.app.provision().await.expect("the store answers");
            if round.reached + round.failed == 0 {
                return;
            }
            self.world.clock.advance(SignedDuration::from_mins(5));
        }
        panic!("it never comes to rest");
    }

    pub(crate) async fn shown(&self, account: &Account) -> Account {
        self.world.app.account(id(account), &self.world.admin()).await.expect("the account")
    }

    pub(crate) async fn suspend(&self) {
        self.world
            .app
            .suspend(machine_id(&self.machine), None, &self.world.admin())
            .await
            .expect("suspended");
    }

    pub(crate) async fn resume(&self) {
        self.world.app.resume(machine_id(&self.machine), None, &self.world.admin()).await.expect("resumed");
    }

    pub(crate) async fn revoke(&self) {
        let admin = self.world.admin();
        self.world.app.revoke(machine_id(&self.machine), None, None, false, &admin).await.expect("revoked");
    }
}

pub(crate) fn id(account: &Account) -> AccountId {
    account.id.parse().expect("an identifier")
}

async fn a_machine(world: &World) -> String {
    let created =
        world.app.create_grant(CreateGrant::default(), None, &world.admin()).await.expect("a grant");
    let device = Device::new("web-1");
    let request = device.by_token(&created.token);
    let answer = world.app.enroll(request, &world.stranger()).await.expect("it enrolls");
    enrolled(answer).machine.id
}

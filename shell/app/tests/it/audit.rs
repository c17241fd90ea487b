//! No change without its entry.

use std::collections::BTreeSet;

use muster_app::Error;
use muster_model::SignedDuration;
use muster_testkit::world::{Device, World, enrolled, held, machine_id};
use muster_wire::access::{CreateToken, Login};
use muster_wire::enroll::TokenRequest;
use muster_wire::grant::CreateGrant;
use muster_wire::hold::{Approve, Choice};
use muster_wire::machine::CreateMachine;

use crate::support::{from, hours, is_row_9};

/// Notes what a use case wrote and what it told.
struct Ledger<'w> {
    world: &'w World,
    writes: u64,
    end: u64,
}

impl<'w> Ledger<'w> {
    async fn open(world: &'w World) -> Self {
        Self { world, writes: world.writes(), end: world.audit_end().await }
    }

    /// The use case changed something, and told of it.
    async fn told(&mut self, what: &str) {
        let (writes, end) = (self.world.writes(), self.world.audit_end().await);
        assert!(writes > self.writes, "{what} wrote nothing");
        assert!(end > self.end, "{what} was not told");
        (self.writes, self.end) = (writes, end);
    }

    /// The use case changed nothing, and told of nothing.
    async fn silent(&mut self, what: &str) {
        assert_eq!((self.world.writes(), self.world.audit_end().await), (self.writes, self.end), "{what}");
    }
}

#[tokio::test]
async fn every_use_case_that_changes_something_is_told_and_repeating_it_is_not() -> Result<(), Error> {
    let world = World::new().await;
    let (app, admin, stranger) = (&world.app, world.admin(), world.stranger());
    let mut ledger = Ledger::open(&world).await;

    world.site("berlin", |_| {}).await;
    ledger.told("site.create").await;
    app.rotate_key(&"berlin".parse().expect("a code"), None, &admin).await?;
    ledger.told("site.rotate_key").await;
    let any = CreateGrant { uses: Some(0), site: Some("default".to_owned()), ..CreateGrant::default() };
    let grant = app.create_grant(any, None, &admin).await?;
    ledger.told("grant.create").await;
    let request = serde_json::json!({"name": "db-1", "site": "default"});
    let request: CreateMachine = serde_json::from_value(request).expect("a request");
    app.create_machine(request, None, &admin).await?;
    ledger.told("machine.create").await;

    let device = Device::new("web-1");
    let first = enrolled(app.enroll(device.by_token(&grant.token), &stranger).await?);
    ledger.told("machine.enroll").await;
    app.enroll(device.by_token(&grant.token), &stranger).await?;
    ledger.silent("the same enrollment again").await;
    let waiting = Device::new("web-2");
    let mut asks = waiting.by_request();
    asks.evidence = serde_json::json!({"site": "default"});
    let hold = held(app.enroll(asks.clone(), &stranger).await?);
    ledger.told("hold.open").await;
    app.enroll(asks, &stranger).await?;
    ledger.silent("the same hold again").await;
    let hold_id = hold.hold.parse().expect("an identifier");
    app.approve(hold_id, &Approve { choice: Some(Choice::New) }, &admin).await?;
    ledger.told("hold.approve").await;
    app.approve(hold_id, &Approve { choice: Some(Choice::New) }, &admin).await?;
    ledger.silent("the same approval again").await;
    let poll = waiting.signs(&app.nonce().nonce, "GET", &format!("/v1/enroll/{}", hold.hold), b"");
    app.collect(hold_id, &poll.call(), None).await?;
    ledger.told("credential.issue").await;

    let caller = world.caller(&first).await?;
    ledger.silent("authenticating").await;
    let signed = device.signs(&app.nonce().nonce, "POST", "/", b"");
    app.by_signature(&signed.call(), &stranger).await?;
    ledger.told("machine.signed_request").await;
    world.clock.advance(hours(13));
    app.renew(&caller, &from(caller)).await?;
    ledger.told("credential.renew").await;
    let request = TokenRequest { audience: "vault".to_owned(), ttl_seconds: None };
    app.machine_token(&request, &caller, &from(caller)).await?;
    ledger.told("token.mint").await;
    for round in ["first", "again"] {
        app.suspend(caller.machine, None, &admin).await?;
        if round == "first" { ledger.told("machine.suspend").await } else { ledger.silent("again").await }
    }
    app.resume(caller.machine, None, &admin).await?;
    ledger.told("machine.resume").await;
    app.revoke(caller.machine, None, None, false, &admin).await?;
    ledger.told("machine.revoke").await;
    app.retire(caller.machine, None, &admin).await?;
    ledger.told("machine.retire").await;
    app.revoke_grant(grant.grant.id.parse().expect("an identifier"), None, &admin).await?;
    ledger.told("grant.revoke").await;

    let token = CreateToken { name: "ci".to_owned(), role: None, scopes: Vec::new(), expires_in: None };
    let token = app.create_token(token, None, &admin).await?;
    ledger.told("token.create").await;
    app.revoke_token(token.token.id.parse().expect("an identifier"), &admin).await?;
    ledger.told("token.revoke").await;
    let link = app.login_link(world.founded.admin).await?;
    ledger.told("login link").await;
    let login = Login { login: link.split_once('#').expect("a fragment").1.to_owned() };
    let (session, _) = app.login(&login, &stranger).await?;
    ledger.told("session.open").await;
    app.logout(&session, &stranger).await?;
    ledger.told("logout").await;
    Ok(())
}

/// I-2 of the fault matrix.
#[tokio::test]
async fn every_credential_that_was_issued_has_its_entry() -> Result<(), Error> {
    let world = World::new().await;
    let token = world.token(CreateGrant { uses: Some(0), ..CreateGrant::default() }).await;
    let device = Device::new("web-1");
    let first = enrolled(world.ask(device.by_token(&token)).await?);
    let caller = world.caller(&first).await?;
    for _ in 0..3 {
        world.clock.advance(hours(13));
        world.app.renew(&caller, &from(caller)).await?;
    }
    let token = world.one_time().await;
    enrolled(world.ask(Device::new("legacy").keyless(&token)).await?);
    let told: BTreeSet<String> = world
        .audit()
        .await
        .into_iter()
        .filter_map(|entry| match entry.action.as_str() {
            "credential.issue" => Some(entry.object),
            // A bearer key is issued with the decision; the entry that names it names no key.
            "machine.enroll" if !entry.detail.contains_key("key") => entry.detail.get("credential").cloned(),
            _ => None,
        })
        .collect();
    let mut credentials = BTreeSet::new();
    for machine in world.machines().await {
        let shown = world.machine(&machine.id).await.credentials;
        credentials.extend(shown.into_iter().map(|credential| credential.id));
    }
    assert_eq!(credentials.len(), 5);
    assert_eq!(credentials, told);
    Ok(())
}

#[tokio::test]
async fn q_25_actor_object_and_source_come_from_the_server_and_no_secret_is_told() -> Result<(), Error> {
    let world = World::new().await;
    let token = world.one_time().await;
    let mut request = Device::new("web-1").by_token(&token);
    request.hostname = Some("actor=usr_0 <script>".to_owned());
    request.attributes.insert("token".to_owned(), "x".to_owned());
    let first = enrolled(world.ask(request).await?);
    world.app.suspend(machine_id(&first.machine.id), None, &world.admin()).await?;
    let log = world.audit().await;
    let find = |action: &str| log.iter().find(|entry| entry.action == action).expect("told");
    let enroll = find("machine.enroll");
    assert_eq!((enroll.actor.as_str(), enroll.object.as_str()), ("anonymous", first.machine.id.as_str()));
    assert_eq!(enroll.source.as_deref(), Some("192.0.2.7"));
    assert_eq!(enroll.detail["hostname"], "actor=usr_0 <script>", "client values are data");
    assert_eq!(find("machine.suspend").actor, world.founded.admin.to_string());
    let text = serde_json::to_string(&log).expect("JSON");
    assert!(!text.contains(&token) && !text.contains("mst_"), "no secret of any kind");
    Ok(())
}

#[tokio::test]
async fn refusals_are_told_at_once_and_coalesced_when_they_flood() {
    let world = World::new().await;
    let unknown = muster_model::Secret::new(muster_model::SecretKind::Enroll, [9; 10], [9; 32]).reveal();
    let device = Device::new("web-1");
    let end = world.audit_end().await;
    assert!(is_row_9(world.ask(device.by_token(&unknown)).await));
    let told = world.audit_since(end).await;
    assert_eq!(told.len(), 1, "the first is there before its answer");
    assert_eq!((told[0].action.as_str(), told[0].reason.as_str()), ("machine.enroll", "not_entitled"));
    assert_eq!(told[0].source.as_deref(), Some("192.0.2.7"));

    for _ in 0..99 {
        assert!(is_row_9(world.ask(device.by_token(&unknown)).await));
    }
    assert_eq!(world.audit_since(end).await.len(), 1);
    world.app.flush_refusals().await;
    let told = world.audit_since(end).await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].detail["repeated"], "99");
    world.app.flush_refusals().await;
    world.app.flush_refusals().await;
    assert_eq!(world.audit_since(end).await.len(), 2, "silence is not told");
}

#[tokio::test]
async fn a_storm_of_refusals_is_an_alarm_once_an_hour() {
    let world = World::new().await;
    let unknown = muster_model::Secret::new(muster_model::SecretKind::Enroll, [9; 10], [9; 32]).reveal();
    let device = Device::new("web-1");
    let storm = async || {
        for _ in 0..601 {
            assert!(is_row_9(world.ask(device.by_token(&unknown)).await));
        }
        world.app.flush_refusals().await;
        world.app.alarms(&world.admin()).await.expect("a list").items
    };
    let told = storm().await;
    let [alarm] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&*alarm.action, &*alarm.object), ("refusals.storm", "deployment"));
    assert_eq!((alarm.cause.as_deref(), &*alarm.detail["refused"]), (Some("not_entitled"), "machine.enroll"));
    assert_eq!(storm().await[0].times, 1, "it goes on");
    world.clock.advance(hours(1));
    world.app.look(None).await.expect("it looks as often as ever");
    assert_eq!(storm().await[0].times, 2);
}

#[tokio::test]
async fn refused_operators_are_told_with_their_name() {
    let world = World::new().await;
    let unknown = machine_id(&muster_model::MachineId::new(1, [1; 10]).to_string());
    let end = world.audit_end().await;
    world.app.suspend(unknown, None, &world.admin()).await.expect_err("no such machine");
    let told = world.audit_since(end).await;
    assert_eq!((told[0].action.as_str(), told[0].reason.as_str()), ("machine.suspend", "not_found"));
    assert_eq!(told[0].actor, world.founded.admin.to_string());
}

#[tokio::test]
async fn q_48_what_cannot_be_told_does_not_happen() {
    let world = World::new().await;
    let first = world.enroll(&Device::new("web-1")).await;
    world.faults().before("machine.act");
    let id = machine_id(&first.machine.id);
    world.app.suspend(id, None, &world.admin()).await.expect_err("the store failed");
    assert_eq!(world.machine(&first.machine.id).await.machine.state, "active");
    world.clock.advance(SignedDuration::from_secs(1));
    world.app.suspend(id, None, &world.admin()).await.expect("it works again");
}

#[tokio::test]
async fn a_filter_that_names_nothing_is_told_so_before_any_database_sees_it() {
    use muster_wire::audit::AuditQuery;
    let world = World::new().await;
    for odd in ["\0", "a b", "ö", &"x".repeat(65)] {
        let query = AuditQuery { actor: Some(odd.to_owned()), ..AuditQuery::default() };
        let refused = world.app.audit(&query, &world.admin()).await.expect_err("no name");
        assert!(matches!(refused, Error::Malformed(_)), "{odd:?}: {refused:?}");
    }
    let query = AuditQuery { object: Some("deployment".to_owned()), ..AuditQuery::default() };
    assert!(!world.app.audit(&query, &world.admin()).await.expect("a page").items.is_empty());
}

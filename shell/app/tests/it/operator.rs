//! Operators: made, changed, disabled, and let in by a link.

use muster_app::{App, Caller, Origin, Store};
use muster_model::{OperatorId, OperatorRole, Refusal};
use muster_testkit::world::World;
use muster_wire::ListQuery;
use muster_wire::access::{CreateToken, Login};
use muster_wire::operator::{CreateOperator, DisableOperator, EditOperator, Operator};

use crate::support::{refusal, wrong_fields};

fn wished(name: &str, role: &str) -> CreateOperator {
    CreateOperator { name: name.to_owned(), role: Some(role.to_owned()) }
}

async fn made(world: &World, name: &str, role: &str) -> Operator {
    world.app.create_operator(wished(name, role), None, &world.admin()).await.expect("an operator")
}

fn id(operator: &Operator) -> OperatorId {
    operator.id.parse().expect("an identifier")
}

fn to(role: &str) -> EditOperator {
    EditOperator { role: Some(role.to_owned()), ..EditOperator::default() }
}

fn login(url: &str) -> Login {
    Login { login: url.split_once("/login#").expect("a fragment").1.to_owned() }
}

/// The secret of a session that an operator opened by a link.
async fn session(world: &World, operator: &Operator) -> String {
    let link = world.app.operator_link(id(operator), &world.admin()).await.expect("a link");
    world.app.login(&login(&link), &world.stranger()).await.expect("a session").0
}

async fn origin<S: Store>(app: &App<S>, secret: &str) -> Origin {
    Origin { caller: app.by_secret(secret).await.expect("known"), source: None }
}

async fn token(world: &World, origin: &Origin, role: &str) -> String {
    let wished = CreateToken {
        name: "ci".to_owned(),
        role: Some(role.to_owned()),
        scopes: Vec::new(),
        expires_in: Some(3600),
    };
    world.app.create_token(wished, None, origin).await.expect("a token").secret
}

async fn role(world: &World, secret: &str) -> Option<OperatorRole> {
    match world.app.by_secret(secret).await {
        Ok(Caller::Operator(operator)) => Some(operator.role),
        _ => None,
    }
}

fn disable() -> DisableOperator {
    DisableOperator::default()
}

#[tokio::test]
async fn an_operator_gets_in_by_a_link_and_may_what_its_role_may() {
    let world = World::new().await;
    let ada = made(&world, "Ada", "operator").await;
    assert_eq!((ada.role.as_str(), ada.state.as_str()), ("operator", "enabled"));
    let caller = origin(&world.app, &session(&world, &ada).await).await.caller;
    let Caller::Operator(caller) = caller else { panic!("not an operator") };
    assert_eq!((caller.operator, caller.role), (id(&ada), OperatorRole::Operator));
    let silent = CreateOperator { name: "eve".to_owned(), role: None };
    let silent = world.app.create_operator(silent, None, &world.admin()).await.expect("an operator");
    assert_eq!(silent.role, "viewer", "the least where nothing is said");
    let odd = world.app.create_operator(wished("", "root"), None, &world.admin()).await;
    assert_eq!(wrong_fields(odd), ["name", "role"]);
    for name in [ada.id.as_str(), "Ad\u{3164}a", "Ada\u{115f}", "A\u{34f}da"] {
        let odd = world.app.create_operator(wished(name, "viewer"), None, &world.admin()).await;
        assert_eq!(wrong_fields(odd), ["name"], "{name:?} is taken for another one");
    }
}

#[tokio::test]
async fn q_10_a_name_is_one_name_however_it_is_written() {
    let world = World::new().await;
    let ada = made(&world, "Zo\u{eb}", "viewer").await;
    for name in ["zo\u{eb}", "ZOE\u{308}", "Admin", "\u{ff21}dmin"] {
        let again = world.app.create_operator(wished(name, "viewer"), None, &world.admin()).await;
        assert_eq!(refusal(again), Refusal::NameTaken { what: "operator" }, "{name}");
    }
    let taken = EditOperator { name: Some("ADMIN".to_owned()), ..EditOperator::default() };
    let taken = world.app.edit_operator(id(&ada), taken, &world.admin()).await;
    assert_eq!(refusal(taken), Refusal::NameTaken { what: "operator" });
}

#[tokio::test]
async fn the_same_request_twice_makes_one_operator() {
    let world = World::new().await;
    let admin = world.admin();
    let first = world.app.create_operator(wished("ada", "viewer"), Some("k-1"), &admin).await.expect("made");
    assert_eq!(
        world.app.create_operator(wished("ada", "viewer"), Some("k-1"), &admin).await.expect("the same"),
        first
    );
    let other = world.app.create_operator(wished("eve", "viewer"), Some("k-1"), &admin).await;
    assert_eq!(refusal(other), Refusal::IdempotencyMismatch);
}

#[tokio::test]
async fn q_33_whoever_is_disabled_is_nobody_at_once_and_what_it_had_does_not_come_back() {
    let world = World::new().await;
    let ada = made(&world, "ada", "admin").await;
    let opened = session(&world, &ada).await;
    let api = token(&world, &origin(&world.app, &opened).await, "admin").await;
    let link = world.app.operator_link(id(&ada), &world.admin()).await.expect("a link");
    let dry = DisableOperator { dry_run: true };
    let told = world.app.disable_operator(id(&ada), &dry, &world.admin()).await.expect("told");
    assert_eq!((told.sessions, told.tokens, told.links, told.dry_run), (1, 1, 1, true));
    assert_eq!(role(&world, &api).await, Some(OperatorRole::Admin), "nothing was done");
    let done = world.app.disable_operator(id(&ada), &disable(), &world.admin()).await.expect("disabled");
    assert_eq!((done.sessions, done.tokens, done.links, done.dry_run), (1, 1, 1, false));
    assert_eq!(done.operator.state, "disabled");
    let entry = world.audit().await.pop().expect("an entry");
    assert_eq!((entry.action.as_str(), entry.object.as_str()), ("operator.disable", ada.id.as_str()));
    assert_eq!(entry.detail.get("ended").map(String::as_str), Some("3"));
    for secret in [&opened, &api] {
        assert!(matches!(refusal(world.app.by_secret(secret).await), Refusal::NotAuthenticated { .. }));
    }
    let spent = world.app.login(&login(&link), &world.stranger()).await;
    assert!(matches!(refusal(spent), Refusal::NotAuthenticated { .. }));
    let none = world.app.operator_link(id(&ada), &world.admin()).await;
    assert!(matches!(refusal(none), Refusal::WrongState { state: "disabled", .. }));
    world.app.enable_operator(id(&ada), &world.admin()).await.expect("enabled");
    assert_eq!((role(&world, &opened).await, role(&world, &api).await), (None, None));
    session(&world, &ada).await;
}

#[tokio::test]
async fn q_33_a_request_in_hand_when_its_operator_is_disabled_or_lowered_does_nothing_more() {
    let world = World::new().await;
    let (ada, eve) = (made(&world, "ada", "admin").await, made(&world, "eve", "admin").await);
    // Let in before, and settled after: the body of a request may be long on its way.
    let before = origin(&world.app, &session(&world, &ada).await).await;
    let api = token(&world, &before, "admin").await;
    let by_token = origin(&world.app, &api).await;
    world.app.disable_operator(id(&ada), &disable(), &world.admin()).await.expect("disabled");
    for late in [&before, &by_token] {
        let again = refusal(world.app.enable_operator(id(&ada), late).await);
        assert!(matches!(again, Refusal::NotAuthenticated { .. }), "{again:?}");
        let friend = world.app.create_operator(wished("friend", "admin"), None, late).await;
        assert!(matches!(refusal(friend), Refusal::NotAuthenticated { .. }));
    }
    let entry = world.audit().await.pop().expect("an entry");
    assert_eq!((entry.action.as_str(), entry.reason.as_str()), ("operator.create", "not_authenticated"));

    let kept = origin(&world.app, &session(&world, &eve).await).await;
    let api = token(&world, &kept, "admin").await;
    let by_token = origin(&world.app, &api).await;
    world.app.edit_operator(id(&eve), to("viewer"), &world.admin()).await.expect("lowered");
    let back = refusal(world.app.edit_operator(id(&eve), to("admin"), &kept).await);
    assert!(matches!(back, Refusal::NotAuthenticated { .. }), "its session ended: {back:?}");
    let back = refusal(world.app.edit_operator(id(&eve), to("admin"), &by_token).await);
    assert!(matches!(back, Refusal::Forbidden { .. }), "its token is worth less: {back:?}");
}

#[tokio::test]
async fn what_is_confined_lets_nobody_in_and_makes_nothing_that_is_not() {
    let world = World::new().await;
    let ada = made(&world, "ada", "viewer").await;
    let wished_token = |scopes: &[&str], role: Option<&str>| CreateToken {
        name: "ci".to_owned(),
        role: role.map(ToOwned::to_owned),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        expires_in: Some(60),
    };
    let admin = world.admin();
    let made = world.app.create_token(wished_token(&["admin"], None), None, &admin).await.expect("a token");
    let confined = origin(&world.app, &made.secret).await;
    let refused = [
        refusal(world.app.create_token(wished_token(&[], Some("admin")), None, &confined).await),
        refusal(world.app.create_operator(wished("eve", "admin"), None, &confined).await),
        refusal(world.app.edit_operator(id(&ada), to("admin"), &confined).await),
        refusal(world.app.disable_operator(id(&ada), &disable(), &confined).await),
        refusal(world.app.operator_link(id(&ada), &confined).await),
    ];
    for refused in refused {
        assert!(matches!(refused, Refusal::Forbidden { .. }), "{refused:?}");
    }
    world.app.create_token(wished_token(&["admin"], None), None, &confined).await.expect("confined, too");
}

#[tokio::test]
async fn q_33_whoever_is_lowered_logs_in_anew_and_its_tokens_are_worth_the_lesser_at_once() {
    let world = World::new().await;
    let ada = made(&world, "ada", "admin").await;
    let opened = session(&world, &ada).await;
    let api = token(&world, &origin(&world.app, &opened).await, "admin").await;
    let low = token(&world, &origin(&world.app, &opened).await, "viewer").await;
    let lowered = world.app.edit_operator(id(&ada), to("operator"), &world.admin()).await.expect("lowered");
    assert_eq!((lowered.sessions, lowered.tokens, lowered.links), (1, 0, 0));
    assert_eq!(role(&world, &opened).await, None);
    assert_eq!(role(&world, &api).await, Some(OperatorRole::Operator));
    assert_eq!(role(&world, &low).await, Some(OperatorRole::Viewer), "never more than the token's own");
    let caller = origin(&world.app, &session(&world, &ada).await).await.caller;
    assert!(matches!(caller, Caller::Operator(caller) if caller.role == OperatorRole::Operator));
}

#[tokio::test]
async fn the_last_admin_is_neither_disabled_nor_lowered() {
    let world = World::new().await;
    let first = world.founded.admin;
    let gone = world.app.disable_operator(first, &disable(), &world.admin()).await;
    assert_eq!(refusal(gone), Refusal::LastAdmin);
    let lowered = world.app.edit_operator(first, to("operator"), &world.admin()).await;
    assert_eq!(refusal(lowered), Refusal::LastAdmin);
    let ada = made(&world, "ada", "admin").await;
    world.app.disable_operator(first, &disable(), &world.admin()).await.expect("there is another one");
    let last = world.app.disable_operator(id(&ada), &disable(), &world.admin()).await;
    assert_eq!(refusal(last), Refusal::LastAdmin);
}

/// Whoever sits on the host is an admin whatever became of the one that the deployment was founded with.
#[tokio::test]
async fn the_host_gets_in_although_the_founding_admin_is_disabled() {
    let mut world = World::new().await;
    let ada = made(&world, "ada", "admin").await;
    let first = world.founded.admin;
    world.app.disable_operator(first, &disable(), &world.admin()).await.expect("disabled");
    let link = world.app.login_link(first).await.expect("a link");
    let (opened, _) = world.app.login(&login(&link), &world.stranger()).await.expect("a session");
    let caller = origin(&world.app, &opened).await.caller;
    assert!(matches!(caller, Caller::Operator(caller) if caller.operator == id(&ada)));
    let api = token(&world, &world.admin(), "admin").await;
    assert_eq!(role(&world, &api).await, Some(OperatorRole::Admin));
    world.restart().await;
    assert_eq!(role(&world, &api).await, Some(OperatorRole::Admin));
}

#[tokio::test]
async fn nobody_prolongs_what_it_has_shown_by_a_link_of_its_own() {
    let world = World::new().await;
    let ada = made(&world, "ada", "admin").await;
    let eve = made(&world, "eve", "admin").await;
    let by_ada = origin(&world.app, &session(&world, &ada).await).await;
    let own = world.app.operator_link(id(&ada), &by_ada).await;
    assert_eq!(refusal(own), Refusal::Forbidden { action: "login_link.create" });
    let wished = CreateToken {
        name: "ci".to_owned(),
        role: None,
        scopes: vec!["admin".to_owned()],
        expires_in: Some(60),
    };
    let confined = world.app.create_token(wished, None, &world.admin()).await.expect("a token").secret;
    let confined = origin(&world.app, &confined).await;
    let by_program = world.app.operator_link(id(&eve), &confined).await;
    assert_eq!(refusal(by_program), Refusal::Forbidden { action: "login_link.create" });
    world.app.operator_link(id(&eve), &by_ada).await.expect("an admin lets another in");
}

#[tokio::test]
async fn operators_are_listed_in_pages_the_newest_first() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        made(&world, name, "viewer").await;
    }
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let query = ListQuery { limit: Some(2), cursor, ..ListQuery::default() };
        let page = world.app.operators(&query, &world.admin()).await.expect("a page");
        assert!(page.items.len() <= 2);
        names.extend(page.items.into_iter().map(|one| one.name));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(names, ["c", "b", "a", "admin"]);
    let found = async |state: Option<&str>, search: Option<&str>, site: Option<&str>| {
        let [state, search, site] = [state, search, site].map(|text| text.map(ToOwned::to_owned));
        let query = ListQuery { state, search, site, ..ListQuery::default() };
        world.app.operators(&query, &world.admin()).await.map(|page| page.items.len())
    };
    assert_eq!(found(Some("enabled"), None, None).await.expect("a page"), 4);
    assert_eq!(found(Some("disabled"), None, None).await.expect("a page"), 0);
    assert_eq!(found(None, Some("ADM"), None).await.expect("a page"), 1);
    assert_eq!(wrong_fields(found(Some("x"), None, None).await), ["state"]);
    assert_eq!(wrong_fields(found(None, None, Some("home")).await), ["site"]);
    let missing = world.app.operator(OperatorId::new(1, [9; 10]), &world.admin()).await;
    assert_eq!(refusal(missing), Refusal::NotFound { what: "operator" });
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_told_nowhere() {
    let world = World::new().await;
    let ada = made(&world, "ada", "viewer").await;
    let entries = world.audit().await.len();
    let same = world.app.edit_operator(id(&ada), to("viewer"), &world.admin()).await.expect("as it was");
    assert_eq!(same.operator, ada);
    world.app.enable_operator(id(&ada), &world.admin()).await.expect("it is");
    assert_eq!(world.audit().await.len(), entries);
}

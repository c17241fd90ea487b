//! Operators' tokens, login links and sessions.

use muster_app::Caller;
use muster_model::{OperatorRole, Refusal};
use muster_testkit::world::World;
use muster_wire::access::{CreateToken, Login};

use crate::support::{refusal, wrong_fields};

async fn link(world: &World) -> Login {
    let url = world.app.login_link(world.founded.admin).await.expect("a link");
    let (_, secret) = url.split_once("/login#").expect("the secret is in the fragment");
    Login { login: secret.to_owned() }
}

fn token(role: &str) -> CreateToken {
    CreateToken {
        name: "ci".to_owned(),
        role: Some(role.to_owned()),
        scopes: Vec::new(),
        expires_in: Some(3600),
    }
}

fn is_nobody<T: std::fmt::Debug>(result: Result<T, muster_app::Error>) -> bool {
    matches!(refusal(result), Refusal::NotAuthenticated { .. })
}

#[tokio::test]
async fn a_login_link_opens_one_session_once() {
    let world = World::new().await;
    let link = link(&world).await;
    let (session, life) = world.app.login(&link, &world.stranger()).await.expect("a session");
    assert_eq!(life, world.app.settings().session_life);
    let Caller::Operator(caller) = world.app.by_secret(&session).await.expect("known") else {
        panic!("not an operator");
    };
    assert_eq!(
        (caller.operator, caller.role, caller.local),
        (world.founded.admin, OperatorRole::Admin, false)
    );
    assert!(is_nobody(world.app.login(&link, &world.stranger()).await), "spent");
    assert!(is_nobody(world.app.by_secret(&link.login).await), "a link is no session");
    assert!(
        is_nobody(world.app.login(&Login { login: session }, &world.stranger()).await),
        "nor the reverse"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn q_05_a_login_link_that_is_used_many_times_at_once_opens_one_session() {
    let world = World::new().await;
    let link = link(&world).await;
    let (origin, app) = (world.stranger(), &world.app);
    let (a, b, c, d) = tokio::join!(
        app.login(&link, &origin),
        app.login(&link, &origin),
        app.login(&link, &origin),
        app.login(&link, &origin)
    );
    assert_eq!([a, b, c, d].into_iter().filter(Result::is_ok).count(), 1);
}

#[tokio::test]
async fn links_and_sessions_and_tokens_end() {
    let world = World::new().await;
    let late = link(&world).await;
    world.clock.advance(world.app.settings().login_life);
    assert!(is_nobody(world.app.login(&late, &world.stranger()).await));

    let (session, life) = world.app.login(&link(&world).await, &world.stranger()).await.expect("a session");
    let made = world.app.create_token(token("viewer"), None, &world.admin()).await.expect("a token");
    world.app.by_secret(&made.secret).await.expect("known");
    world.clock.advance(life);
    assert!(is_nobody(world.app.by_secret(&session).await));
    assert!(is_nobody(world.app.by_secret(&made.secret).await));
}

#[tokio::test]
async fn a_session_that_was_closed_and_a_token_that_was_revoked_are_nothing_any_more() {
    let world = World::new().await;
    let (session, _) = world.app.login(&link(&world).await, &world.stranger()).await.expect("a session");
    world.app.logout(&session, &world.stranger()).await.expect("closed");
    assert!(is_nobody(world.app.by_secret(&session).await));
    let closed = world.audit().await.pop().expect("an entry");
    assert_eq!(closed.action, "token.revoke");
    assert_eq!(closed.actor, world.founded.admin.to_string(), "whoever holds the session closed it");

    let made = world.app.create_token(token("admin"), None, &world.admin()).await.expect("a token");
    let id = made.token.id.parse().expect("an identifier");
    world.app.revoke_token(id, &world.admin()).await.expect("revoked");
    assert!(is_nobody(world.app.by_secret(&made.secret).await));
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_hold() {
    let world = World::new().await;
    for (maker, role, fine) in [
        (OperatorRole::Operator, "admin", false),
        (OperatorRole::Viewer, "operator", false),
        (OperatorRole::Operator, "operator", true),
        (OperatorRole::Admin, "admin", true),
    ] {
        let made = world.app.create_token(token(role), None, &world.operator(maker)).await;
        assert_eq!(made.is_ok(), fine, "{maker:?} makes {role}");
    }
}

#[tokio::test]
async fn a_secret_opens_only_what_it_was_made_for() {
    let world = World::new().await;
    let enroll = world.one_time().await;
    let made = world.app.create_token(token("admin"), None, &world.admin()).await.expect("a token");
    for secret in [enroll.as_str(), &link(&world).await.login] {
        assert!(is_nobody(world.app.by_secret(secret).await));
    }
    // The same bytes under another word have another checksum and another hash.
    for word in ["session", "bearer", "login"] {
        assert!(is_nobody(world.app.by_secret(&made.secret.replace("api", word)).await), "{word}");
    }
    let shown =
        serde_json::to_string(&world.app.tokens(&Default::default(), &world.admin()).await.expect("a list"));
    assert!(!shown.expect("JSON").contains("mst_"), "Q-28: a list shows no secret");
}

#[tokio::test]
async fn a_token_says_by_its_scopes_or_by_its_role_what_it_may_do_and_not_by_both() {
    let world = World::new().await;
    let wished = |role: Option<&str>, scopes: &[&str]| CreateToken {
        name: "relay".to_owned(),
        role: role.map(str::to_owned),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        expires_in: None,
    };
    let admin = world.admin();
    let make = |wished| world.app.create_token(wished, None, &admin);
    let made = make(wished(None, &["introspect"])).await.expect("a token").token;
    assert_eq!((made.role.as_str(), made.scopes), ("viewer", vec!["introspect".to_owned()]));
    assert_eq!(wrong_fields(make(wished(Some("viewer"), &["introspect"])).await), ["scopes"]);
    assert_eq!(wrong_fields(make(wished(None, &["introspect", "root"])).await), ["scopes"]);
}

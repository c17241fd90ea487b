//! Passwords, and what becomes of who guesses them.

use std::net::IpAddr;

use muster_app::{Caller, Error, Origin};
use muster_model::{Refusal, SignedDuration};
use muster_store::Store;
use muster_testkit::world::World;
use muster_wire::access::{CreateToken, Login, PasswordLogin, SetPassword};
use muster_wire::operator::{CreateOperator, DisableOperator};

use crate::support::{refusal, wrong_fields};

pub(crate) const GOOD: &str = "correct horse battery";

pub(crate) fn from(address: &str) -> Origin {
    Origin { caller: Caller::Anonymous, source: Some(address.parse::<IpAddr>().expect("an address")) }
}

fn shown(name: &str, password: &str) -> PasswordLogin {
    PasswordLogin { name: name.to_owned(), password: password.to_owned(), code: None }
}

fn wished(password: &str, present: Option<&str>) -> SetPassword {
    SetPassword { password: password.to_owned(), present: present.map(str::to_owned) }
}

pub(crate) async fn origin<S: Store>(world: &World<S>, secret: &str) -> Origin {
    Origin { caller: world.app.by_secret(secret).await.expect("it counts"), source: None }
}

pub(crate) async fn operator<S: Store>(world: &World<S>, name: &str) -> muster_model::OperatorId {
    let wished = CreateOperator { name: name.to_owned(), role: Some("operator".to_owned()) };
    let made = world.app.create_operator(wished, None, &world.admin()).await.expect("an operator");
    made.id.parse().expect("an identifier")
}

/// A session by a fresh link.
pub(crate) async fn by_link<S: Store>(world: &World<S>, id: muster_model::OperatorId) -> String {
    let url = world.app.operator_link(id, &world.admin()).await.expect("a link");
    let login = Login { login: url.split_once('#').expect("a fragment").1.to_owned() };
    world.app.login(&login, &world.stranger()).await.expect("a session").0
}

/// A session of the admin, by a link made on the server's own host.
async fn by_own_link(world: &World) -> String {
    let url = world.app.login_link(world.founded.admin).await.expect("a link");
    let login = Login { login: url.split_once('#').expect("a fragment").1.to_owned() };
    world.app.login(&login, &world.stranger()).await.expect("a session").0
}

/// A token of the admin.
pub(crate) async fn token<S: Store>(world: &World<S>, role: &str, scopes: &[&str]) -> String {
    let wished = CreateToken {
        name: "ci".to_owned(),
        role: scopes.is_empty().then(|| role.to_owned()),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        expires_in: None,
    };
    world.app.create_token(wished, None, &world.admin()).await.expect("a token").secret
}

/// An operator with a password, and a session of theirs.
pub(crate) async fn with_password<S: Store>(
    world: &World<S>,
    name: &str,
) -> (muster_model::OperatorId, String) {
    let id = operator(world, name).await;
    let session = by_link(world, id).await;
    let own = origin(world, &session).await;
    let renewed = world.app.set_password(&wished(GOOD, None), &own).await.expect("the link is fresh");
    (id, renewed.0)
}

async fn login(world: &World, name: &str, password: &str, origin: &Origin) -> Result<String, Error> {
    world.app.login_by_password(&shown(name, password), origin).await.map(|(secret, _)| secret)
}

#[tokio::test]
async fn q_33_a_password_ends_every_other_session_and_link_and_renews_the_own_one() {
    let world = World::new().await;
    let ada = operator(&world, "Ada").await;
    let (one, two) = (by_link(&world, ada).await, by_link(&world, ada).await);
    let link = world.app.operator_link(ada, &world.admin()).await.expect("a link");
    let own = origin(&world, &one).await;
    let (renewed, life) = world.app.set_password(&wished(GOOD, None), &own).await.expect("set");
    assert!(life > SignedDuration::ZERO && renewed != one);
    for ended in [&one, &two] {
        assert!(world.app.by_secret(ended).await.is_err(), "it has ended");
    }
    let link = Login { login: link.split_once('#').expect("a fragment").1.to_owned() };
    assert!(world.app.login(&link, &world.stranger()).await.is_err(), "it has ended");
    let opened = login(&world, "ada", GOOD, &from("192.0.2.1")).await.expect("the password is right");
    assert_ne!(opened, renewed);
    let Caller::Operator(caller) = origin(&world, &opened).await.caller else { panic!("an operator") };
    assert_eq!((caller.operator, caller.role.as_str()), (ada, "operator"));
    assert!(world.app.by_secret(&renewed).await.is_ok(), "logging in ends nothing");
}

#[tokio::test]
async fn the_present_one_is_asked_for_but_of_who_has_just_come_by_a_link() {
    let world = World::new().await;
    let (ada, session) = with_password(&world, "Ada").await;
    for (password, field) in [("too short", "password"), (&*"x".repeat(1025), "password")] {
        let own = origin(&world, &session).await;
        assert_eq!(wrong_fields(world.app.set_password(&wished(password, None), &own).await), [field]);
    }
    let next = "another one entirely";
    // The link was good for one, and who came in by the password knows it.
    let by_password = login(&world, "ada", GOOD, &from("192.0.2.1")).await.expect("in");
    for session in [&by_password, &session] {
        let own = origin(&world, session).await;
        assert_eq!(wrong_fields(world.app.set_password(&wished(next, None), &own).await), ["present"]);
    }
    let late = origin(&world, &by_link(&world, ada).await).await;
    world.clock.advance(SignedDuration::from_mins(11));
    assert_eq!(wrong_fields(world.app.set_password(&wished(next, None), &late).await), ["present"]);
    let own = origin(&world, &session).await;
    for _ in 0..5 {
        let wrong = wished(next, Some("wrong horse battery"));
        assert_eq!(wrong_fields(world.app.set_password(&wrong, &own).await), ["present"]);
    }
    let right = wished(next, Some(GOOD));
    let slow = world.app.set_password(&right, &own).await;
    assert_eq!(refusal(slow), Refusal::SlowDown { retry_after: 5 }, "who took a cookie does not guess on");
    world.clock.advance(SignedDuration::from_secs(5));
    world.app.set_password(&right, &own).await.expect("the present one is right");
    assert!(login(&world, "ada", GOOD, &from("192.0.2.1")).await.is_err());
    assert!(login(&world, "ada", next, &from("192.0.2.1")).await.is_ok());
    // Forgotten: a link lets one in who sets another.
    let own = origin(&world, &by_link(&world, ada).await).await;
    world.app.set_password(&wished(GOOD, None), &own).await.expect("by a fresh link");
    assert!(login(&world, "ada", GOOD, &from("192.0.2.1")).await.is_ok());
    assert!(matches!(
        world.app.set_password(&wished(GOOD, None), &world.admin()).await,
        Err(Error::Refused(_))
    ));
}

/// Not even whoever has an API token of an admin learns whether a password is right.
#[tokio::test]
async fn a_token_neither_sets_a_password_nor_tries_one() {
    let world = World::new().await;
    let admin = world.founded.admin;
    let own = origin(&world, &by_own_link(&world).await).await;
    world.app.set_password(&wished(GOOD, None), &own).await.expect("set");
    let token = token(&world, "admin", &[]).await;
    let by_token = origin(&world, &token).await;
    assert!(matches!(&by_token.caller, Caller::Operator(caller) if caller.operator == admin));
    let runs = world.app.password_hashes_run();
    for present in [None, Some(GOOD), Some("wrong horse battery")] {
        let refused =
            refusal(world.app.set_password(&wished("another one entirely", present), &by_token).await);
        assert_eq!(refused, Refusal::Forbidden { action: "password.set" });
    }
    assert_eq!(world.app.password_hashes_run(), runs);
    assert!(login(&world, "admin", GOOD, &from("192.0.2.1")).await.is_ok());
}

#[tokio::test]
async fn whatever_is_wrong_costs_the_same_and_is_answered_the_same() {
    let world = World::new().await;
    with_password(&world, "Ada").await;
    let (eve, _) = with_password(&world, "Eve").await;
    operator(&world, "Silent").await;
    world.app.disable_operator(eve, &DisableOperator::default(), &world.admin()).await.expect("disabled");
    let cases = [
        ("ada", "wrong horse battery"),
        ("nobody", GOOD),
        ("eve", GOOD),
        ("silent", GOOD),
        ("ada", ""),
        ("", ""),
    ];
    for (n, (name, password)) in cases.into_iter().enumerate() {
        let (runs, writes) = (world.app.password_hashes_run(), world.writes());
        let refused = refusal(login(&world, name, password, &from(&format!("192.0.2.{}", n + 1))).await);
        assert_eq!(refused, Refusal::NotAuthenticated { cause: "password" }, "{name}");
        assert_eq!(world.app.password_hashes_run() - runs, 1, "{name}");
        assert_eq!(world.writes() - writes, 1, "{name}");
    }
}

#[tokio::test]
async fn q_10_who_guesses_waits_and_nobody_else_does() {
    let mut world = World::new().await;
    with_password(&world, "Zo\u{eb}").await;
    let thief = from("2001:db8:1:2::1");
    // One counter, however the name is written, and whichever address of the network it comes from.
    for (n, name) in
        ["zo\u{eb}", "ZOE\u{308}", " Zo\u{eb} ", "\u{ff3a}o\u{eb}", "zOE\u{308}"].into_iter().enumerate()
    {
        let origin = from(&format!("2001:db8:1:2::{}", n + 1));
        let refused = refusal(login(&world, name, "wrong horse battery", &origin).await);
        assert_eq!(refused, Refusal::NotAuthenticated { cause: "password" }, "{name}");
    }
    world.restart().await;
    let runs = world.app.password_hashes_run();
    let slow = refusal(login(&world, "zo\u{eb}", GOOD, &thief).await);
    assert_eq!(slow, Refusal::SlowDown { retry_after: 5 }, "not even the right one");
    assert_eq!(world.app.password_hashes_run(), runs, "and nothing is hashed for it");
    for other in ["2001:db8:1:3::1", "192.0.2.7"] {
        assert!(login(&world, "zo\u{eb}", GOOD, &from(other)).await.is_ok(), "{other}");
    }
    let again = refusal(login(&world, "zoe\u{308}", GOOD, &thief).await);
    assert_eq!(again, Refusal::SlowDown { retry_after: 5 }, "who got in elsewhere freed nobody else");
    world.clock.advance(SignedDuration::from_secs(5));
    assert!(login(&world, "zo\u{eb}", GOOD, &thief).await.is_ok(), "a delay is no lock");
}

#[tokio::test]
async fn q_10_one_source_that_tries_many_names_waits_as_well() {
    let world = World::new().await;
    with_password(&world, "Ada").await;
    let thief = from("192.0.2.66");
    for n in 0..30 {
        let refused = refusal(login(&world, &format!("name {n}"), GOOD, &thief).await);
        assert_eq!(refused, Refusal::NotAuthenticated { cause: "password" }, "{n}");
    }
    assert_eq!(refusal(login(&world, "ada", GOOD, &thief).await), Refusal::SlowDown { retry_after: 5 });
    assert!(login(&world, "ada", GOOD, &from("192.0.2.67")).await.is_ok());
}

/// Behind a proxy that nobody configured all the world comes from the host.
#[tokio::test]
async fn q_10_the_host_is_counted_as_one_and_slows_down_nobody_who_did_not_fail_there() {
    let world = World::new().await;
    with_password(&world, "Ada").await;
    with_password(&world, "Eve").await;
    let host = |n: usize| match n % 4 {
        0 => Origin { caller: Caller::Anonymous, source: None },
        1 => from("::1"),
        2 => from("::ffff:127.0.0.9"),
        _ => from(&format!("127.0.{}.{}", n / 250, n % 250)),
    };
    for n in 0..300 {
        let name = if n == 0 { "eve".to_owned() } else { format!("name {n}") };
        let refused = refusal(login(&world, &name, "wrong horse battery", &host(n)).await);
        assert_eq!(refused, Refusal::NotAuthenticated { cause: "password" }, "{n}");
    }
    for n in 0..4 {
        let slow = refusal(login(&world, "eve", GOOD, &host(n)).await);
        assert_eq!(slow, Refusal::SlowDown { retry_after: 5 }, "{n}");
        assert!(login(&world, "ada", GOOD, &host(n)).await.is_ok(), "nobody tried that name: {n}");
    }
    assert!(login(&world, "eve", GOOD, &from("192.0.2.67")).await.is_ok());
}

//! Repeating a marked request is safe: the same answer, secrets and all.

use muster_app::Origin;
use muster_model::{OperatorRole, Refusal, SignedDuration};
use muster_testkit::world::World;
use muster_wire::access::CreateToken;
use muster_wire::grant::CreateGrant;
use muster_wire::machine::CreateMachine;
use muster_wire::site::CreateSite;
use serde_json::Value;

use crate::support::refusal;

const WRITES: [&str; 5] = ["site", "key", "grant", "machine", "token"];

/// Makes something, marked with a key; another variant asks for something else.
async fn make(
    world: &World,
    what: &str,
    variant: &str,
    key: Option<&str>,
    origin: &Origin,
) -> Result<Value, muster_app::Error> {
    let app = &world.app;
    let json = |value: Result<Value, serde_json::Error>| value.expect("JSON");
    match what {
        "site" => {
            let (code, approval) = (variant.to_owned(), false);
            let request = CreateSite { code, approval, requests: true, reimage: None, seats: None };
            app.create_site(request, key, origin).await.map(|made| json(serde_json::to_value(made)))
        }
        "key" => {
            let code = if variant == "one" { "default" } else { "other" }.parse().expect("a code");
            app.rotate_key(&code, key, origin).await.map(|made| json(serde_json::to_value(made)))
        }
        "grant" => {
            let labels = [("v".to_owned(), variant.to_owned())].into();
            let site = Some("default".to_owned());
            let request = CreateGrant { labels, site, ..CreateGrant::default() };
            app.create_grant(request, key, origin).await.map(|made| json(serde_json::to_value(made)))
        }
        "machine" => {
            let request = serde_json::json!({"name": variant, "site": "default"});
            let request: CreateMachine = serde_json::from_value(request).expect("a request");
            app.create_machine(request, key, origin).await.map(|made| json(serde_json::to_value(made)))
        }
        _ => {
            let request =
                CreateToken { name: variant.to_owned(), role: None, scopes: Vec::new(), expires_in: None };
            app.create_token(request, key, origin).await.map(|made| json(serde_json::to_value(made)))
        }
    }
}

#[tokio::test]
async fn a_marked_request_that_is_repeated_gets_the_same_answer_and_writes_nothing() {
    for what in WRITES {
        let mut world = World::new().await;
        world.site("other", |_| {}).await;
        let admin = world.admin();
        let first = make(&world, what, "one", Some("k-1"), &admin).await.expect(what);
        world.clock.advance(SignedDuration::from_secs(90));
        let writes = world.writes();
        assert_eq!(make(&world, what, "one", Some("k-1"), &admin).await.expect(what), first, "{what}");
        assert_eq!(world.writes(), writes, "{what}");
        world.restart().await;
        let writes = world.writes();
        assert_eq!(make(&world, what, "one", Some("k-1"), &admin).await.expect(what), first, "{what}");
        assert_eq!(world.writes(), writes, "{what}");
    }
}

#[tokio::test]
async fn a_mark_is_good_for_one_request_of_one_caller() {
    for what in WRITES {
        let world = World::new().await;
        world.site("other", |_| {}).await;
        let admin = world.admin();
        let first = make(&world, what, "one", Some("k-1"), &admin).await.expect(what);
        let other = make(&world, what, "two", Some("k-1"), &admin).await;
        assert_eq!(refusal(other), Refusal::IdempotencyMismatch, "{what}");
        let elsewhere = make(&world, "grant", "x", Some("k-1"), &admin).await;
        assert_eq!(refusal(elsewhere), Refusal::IdempotencyMismatch, "{what}: another verb");
        assert_ne!(make(&world, what, "two", Some("k-2"), &admin).await.expect(what), first, "{what}");
    }
}

#[tokio::test]
async fn without_a_mark_every_request_makes_another_thing() {
    for what in ["key", "grant", "machine", "token"] {
        let world = World::new().await;
        world.site("other", |_| {}).await;
        let admin = world.admin();
        let first = make(&world, what, "one", None, &admin).await.expect(what);
        assert_ne!(make(&world, what, "one", None, &admin).await.expect(what), first, "{what}");
    }
}

#[tokio::test]
async fn a_lost_commit_is_found_again_by_its_mark() {
    for (what, decision) in [
        ("site", "site.create"),
        ("key", "site.rotate_key"),
        ("grant", "grant.create"),
        ("machine", "machine.create"),
        ("token", "token.create"),
    ] {
        let world = World::new().await;
        let admin = world.admin();
        world.faults().after(decision);
        make(&world, what, "one", Some("k-1"), &admin).await.expect_err("the answer was lost");
        let writes = world.writes();
        make(&world, what, "one", Some("k-1"), &admin).await.expect("the answer");
        assert_eq!(world.writes(), writes, "{what}: it was made before");
    }
}

#[tokio::test]
async fn a_caller_with_less_rights_does_not_get_the_answer_of_one_with_more() {
    let world = World::new().await;
    let admin = world.operator(OperatorRole::Admin);
    let request = |role: &str| CreateToken {
        name: "ci".to_owned(),
        role: Some(role.to_owned()),
        scopes: Vec::new(),
        expires_in: None,
    };
    world.app.create_token(request("admin"), Some("k-1"), &admin).await.expect("made");
    let operator = world.operator(OperatorRole::Operator);
    let stolen = world.app.create_token(request("admin"), Some("k-1"), &operator).await;
    assert_eq!(refusal(stolen), Refusal::Forbidden { action: "token.create" });
}

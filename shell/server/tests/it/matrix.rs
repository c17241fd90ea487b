//! Who may do what to which object: every route that names one × everybody × {own, of another site, ended, of another
//! tenant, of nobody}.
//!
//! Whoever may not, hears the same whatever the object is. Whoever may, hears of what another tenant has as of what there
//! is none of, and reaches everything else.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use muster_app::Provisioners;
use muster_model::MachineId;
use muster_testkit::world::{Device, held};
use muster_wire::access::CreateToken;
use muster_wire::account::CreateAccount;
use muster_wire::enroll::Enrolled;
use muster_wire::grant::CreateGrant;
use muster_wire::operator::{CreateOperator, DisableOperator};
use serde_json::json;

use crate::body::{Obedient, well_formed};
use crate::face::{Answer, Face, with};
use crate::identifiers::{of_another_tenant, routes, unknown};
use crate::principals::{EVERYBODY, Principal, mounted};

/// One thing of each kind: what is somebody's own, what is of another site, and what has ended.
struct Ground(Vec<(&'static str, &'static str, String)>);

const REACHED: [&str; 3] = ["own", "of another site", "ended"];

impl Ground {
    async fn new(face: &Face) -> Self {
        let hook = "hook".parse().expect("a name");
        face.world.app.provide(Provisioners::default().with(hook, Arc::new(Obedient), 1));
        face.world.site("berlin", |_| {}).await;
        let mut ground =
            Self(vec![("site", REACHED[0], "default".to_owned()), ("site", REACHED[1], "berlin".to_owned())]);
        ground.machines(face).await;
        ground.doors(face).await;
        ground.people(face).await;
        ground.0.push(("entry", REACHED[0], "1".to_owned()));
        ground
    }

    fn put(&mut self, noun: &'static str, which: usize, id: impl Into<String>) {
        self.0.push((noun, REACHED[which], id.into()));
    }

    async fn machines(&mut self, face: &Face) {
        let admin = face.world.admin();
        for (which, site) in ["default", "berlin", "default"].into_iter().enumerate() {
            let enrolled = joined(face, site).await;
            let id: MachineId = enrolled.machine.id.parse().expect("an identifier");
            let name = format!("account-{which}");
            let account = CreateAccount { provisioner: "hook".to_owned(), name };
            let account = face.world.app.create_account(id, account, &admin).await.expect("an account");
            if REACHED[which] == "ended" {
                face.world.app.retire(id, None, &admin).await.expect("retired");
            }
            self.put("account", which, account.account.id);
            self.put("machine", which, enrolled.machine.id);
        }
    }

    async fn doors(&mut self, face: &Face) {
        let (admin, app) = (face.world.admin(), &face.world.app);
        for (which, site) in ["default", "berlin", "default"].into_iter().enumerate() {
            let grant = CreateGrant { site: Some(site.to_owned()), ..CreateGrant::default() };
            let grant = app.create_grant(grant, None, &admin).await.expect("a grant").grant.id;
            let mut asks = Device { hardware_id: None, ..Device::new("asks") }.by_request();
            asks.evidence = json!({ "site": site });
            let hold = held(face.world.ask(asks).await.expect("held")).hold;
            if REACHED[which] == "ended" {
                app.revoke_grant(grant.parse().expect("an identifier"), None, &admin).await.expect("revoked");
                app.reject(hold.parse().expect("an identifier"), None, &admin).await.expect("rejected");
            }
            self.put("grant", which, grant);
            self.put("hold", which, hold);
        }
    }

    async fn people(&mut self, face: &Face) {
        let (admin, app) = (face.world.admin(), &face.world.app);
        for which in [0, 2] {
            let token: CreateToken = serde_json::from_value(json!({"name": "ci"})).expect("a request");
            let token = app.create_token(token, None, &admin).await.expect("a token").token.id;
            let name = format!("somebody-{which}");
            let operator: CreateOperator =
                serde_json::from_value(json!({ "name": name })).expect("a request");
            let operator = app.create_operator(operator, None, &admin).await.expect("an operator").id;
            if REACHED[which] == "ended" {
                app.revoke_token(token.parse().expect("an identifier"), &admin).await.expect("revoked");
                let id = operator.parse().expect("an identifier");
                app.disable_operator(id, &DisableOperator::default(), &admin).await.expect("disabled");
            }
            self.put("token", which, token);
            self.put("operator", which, operator);
        }
    }

    fn of<'a>(&'a self, noun: &'a str) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.0.iter().filter(move |(known, ..)| *known == noun).map(|(_, which, id)| (*which, id.as_str()))
    }
}

async fn joined(face: &Face, site: &str) -> Enrolled {
    let token = face.world.token(CreateGrant { site: Some(site.to_owned()), ..CreateGrant::default() }).await;
    let device = Device { hardware_id: None, ..Device::new("web") };
    muster_testkit::world::enrolled(face.world.ask(device.by_token(&token)).await.expect("let in"))
}

async fn asked(face: &Face, principal: Principal, method: &str, path: &str, body: &[u8]) -> Answer {
    let shown = principal.shows_with(face, method, path, body).await;
    let request =
        Request::builder().method(method).uri(path).body(Body::from(body.to_vec())).expect("a request");
    let request = with(request, "content-type", "application/json");
    let request = shown.headers.iter().fold(request, |request, (name, value)| with(request, name, value));
    face.send(shown.peer, request).await
}

#[tokio::test]
async fn q_23_q_24_everybody_reaches_of_every_route_what_they_may_and_learns_nothing_of_what_is_not_theirs() {
    for principal in EVERYBODY {
        let face = Face::new().await;
        let ground = Ground::new(&face).await;
        let foreign = of_another_tenant(&face).await;
        for (method, path, noun) in routes() {
            let route = mounted().into_iter().find(|route| route.method == method && route.path == path);
            let action = route.expect("it is mounted").action;
            let body =
                if method == "GET" { Vec::new() } else { well_formed(&path, "").to_string().into_bytes() };
            let fill = |id: &str| path.replace(&format!("{{{noun}}}"), id);
            let what = format!("{principal:?} {method} {path}");
            let nobodys = asked(&face, principal, &method, &fill(&unknown(&noun)), &body).await;
            let theirs = &foreign.iter().find(|(known, _)| *known == noun).expect("a thing of each kind").1;
            let theirs = asked(&face, principal, &method, &fill(theirs), &body).await;
            assert_eq!(
                (theirs.status, theirs.without_id()),
                (nobodys.status, nobodys.without_id()),
                "{what}"
            );
            let caller = principal.shows_with(&face, &method, &path, &body).await.caller;
            for (which, id) in ground.of(&noun) {
                let answer = asked(&face, principal, &method, &fill(id), &body).await;
                let what = format!("{what}, {which}: {answer:?}");
                if action.permit(&caller).is_err() {
                    assert_eq!(
                        (answer.status, answer.without_id()),
                        (nobodys.status, nobodys.without_id()),
                        "{what}"
                    );
                    continue;
                }
                assert_eq!(nobodys.status, StatusCode::NOT_FOUND, "{what}");
                assert!(!answer.status.is_server_error(), "{what}");
                let shut = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
                // Its machines are hosts, which do nothing under a nick.
                let is_of_agents = path.contains("/engagement");
                assert!(is_of_agents || !shut.contains(&answer.status), "{what}");
            }
        }
    }
}

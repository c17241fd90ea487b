//! What a path names: foreign, unknown and malformed are one answer.

use http::{Request, StatusCode};
use muster_app::Action;
use muster_lifecycle::{
    AccessChange, AccountChange, Change, Context, CredentialChange, GrantChange, HoldChange, MachineChange,
    Plan, SiteChange, TenantChange,
};
use muster_model::{AccessTokenId, AccountId, GrantId, HoldId, MachineId, OperatorId, Refusal};
use muster_store::{AuditFilter, Decision, Lists, Reads, Store, StoreError, Unscoped};
use muster_testkit::Kit;
use muster_testkit::world::Device;
use serde_json::json;

use crate::face::{Answer, Face, get, post, with};
use crate::principals::mounted;

/// Writes what another tenant has.
struct Written {
    changes: Vec<Change>,
    context: Context,
}

impl Decision for Written {
    const NAME: &'static str = "test.written";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        let entry = self.context.entry(Self::NAME, muster_model::Object::Deployment, "test");
        Ok(Plan::new((), self.changes.clone(), entry))
    }
}

/// Identifiers of things that another tenant really has, by the name that paths give them.
pub(crate) async fn of_another_tenant(face: &Face) -> Vec<(&'static str, String)> {
    let kit = Kit::numbered(9);
    let (site, operator) = (kit.site(), kit.operator());
    let (machine, hold, grant) = (kit.machine(&site), kit.hold(&site), kit.grant(&site));
    let (token, account) = (kit.access_token(&operator), kit.account(&machine));
    let tenant = muster_model::Tenant { id: kit.tenant, ..kit.tenant() };
    let mut ids = vec![
        ("machine", machine.id.to_string()),
        ("hold", hold.id.to_string()),
        ("grant", grant.id.to_string()),
        ("token", token.id.to_string()),
        ("operator", operator.id.to_string()),
        ("account", account.id.to_string()),
        ("site", site.code.to_string()),
    ];
    let credential = kit.credential(&machine);
    let changes = vec![
        TenantChange::Create(tenant).into(),
        SiteChange::Create(site).into(),
        MachineChange::Create(machine).into(),
        AccountChange::Create(account).into(),
        CredentialChange::Reserve(credential).into(),
        HoldChange::Open(hold).into(),
        GrantChange::Create(grant).into(),
        AccessChange::CreateOperator(operator).into(),
        AccessChange::CreateToken(token).into(),
    ];
    let written = Written { changes, context: kit.context(0) };
    face.world.app.store().settle(written).await.expect("written");
    let mut reads = face.world.app.store().reader().await.expect("a reader");
    let log = AuditFilter { limit: 1, ..AuditFilter::default() };
    let told = reads.audit(kit.tenant, &log).await.expect("entries");
    ids.push(("entry", told[0].seq.to_string()));
    ids
}

pub(crate) fn unknown(noun: &str) -> String {
    match noun {
        "machine" => MachineId::new(5, [5; 10]).to_string(),
        "hold" => HoldId::new(5, [5; 10]).to_string(),
        "grant" => GrantId::new(5, [5; 10]).to_string(),
        "operator" => OperatorId::new(5, [5; 10]).to_string(),
        "token" => AccessTokenId::new(5, [5; 10]).to_string(),
        "account" => AccountId::new(5, [5; 10]).to_string(),
        "entry" => "999999999999".to_owned(),
        _ => "nowhere".to_owned(),
    }
}

/// What is no identifier of this kind at all.
fn malformed(noun: &str) -> Vec<String> {
    let mut all: Vec<String> =
        ["x", "null", "0", "*", "mch_", "'%20OR%201=1", "%00", "%ff", "self%20"].map(str::to_owned).into();
    if noun != "site" {
        let known = unknown(noun);
        all.push(known.to_uppercase());
        all.push(format!("{known}0"));
        all.push(known[..known.len() - 1].to_owned());
        all.push(unknown(if noun == "machine" { "grant" } else { "machine" }));
    }
    all.push("a".repeat(4000));
    all
}

/// Every route that takes an identifier, as its method, path and the name of the identifier in it.
pub(crate) fn routes() -> Vec<(String, String, String)> {
    let named = |path: &str| Some(path.split_once('{')?.1.split_once('}')?.0.to_owned());
    let routes = mounted().into_iter().filter(|route| route.action != Action::Public);
    routes.filter_map(|route| named(&route.path).map(|noun| (route.method, route.path, noun))).collect()
}

async fn asked(face: &Face, method: &str, path: &str) -> Answer {
    let mut request = if method == "GET" { get(path) } else { post(path, &json!({})) };
    *request.method_mut() = method.parse().expect("a method");
    face.admin(request).await
}

#[tokio::test]
async fn q_23_foreign_unknown_and_malformed_identifiers_are_the_same_404() {
    let face = Face::new().await;
    let foreign = of_another_tenant(&face).await;
    let machines = face.world.machines().await;
    assert!(routes().len() >= 11, "{:?}", routes());
    for (method, path, noun) in routes() {
        let (_, theirs) = foreign.iter().find(|(name, _)| *name == noun).expect("a thing of each kind");
        let fill = |id: &str| path.replace(&format!("{{{noun}}}"), id);
        let expected = asked(&face, &method, &fill(&unknown(&noun))).await;
        assert_eq!((expected.status, expected.code()), (StatusCode::NOT_FOUND, "not_found".to_owned()));
        let mut ids = malformed(&noun);
        ids.push(theirs.clone());
        for id in ids {
            let answer = asked(&face, &method, &fill(&id)).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path} {id}");
            assert_eq!(answer.without_id(), expected.without_id(), "{method} {path} {id}");
        }
    }
    assert_eq!(face.world.machines().await, machines);
}

#[tokio::test]
async fn q_23_what_another_tenant_has_is_in_no_list() {
    let face = Face::new().await;
    let foreign = of_another_tenant(&face).await;
    let lists = mounted()
        .into_iter()
        .filter(|route| route.method == "GET" && route.action != Action::Public && !route.path.contains('{'));
    let mut read = 0;
    for route in lists {
        let answer = face.admin(get(&route.path)).await;
        if !answer.status.is_success() {
            continue;
        }
        read += 1;
        // A place in the log is a number, which stands for many things.
        for (noun, id) in foreign.iter().filter(|(noun, _)| *noun != "entry") {
            assert!(!answer.text().contains(id), "{} of {noun} in {}", id, route.path);
        }
    }
    assert!(read >= 7, "machines, holds, sites, grants, tokens, audit and status: {read}");
}

#[tokio::test]
async fn q_23_a_poll_for_a_foreign_hold_is_one_for_no_hold() {
    let face = Face::new().await;
    let foreign = of_another_tenant(&face).await;
    let device = Device::new("web-1");
    let mine = face.world.ask(device.by_request()).await.expect("held");
    let other = Device::new("web-2");
    let mine = muster_testkit::world::held(mine).hold;
    let mut bodies = Vec::new();
    for id in [unknown("hold"), foreign[1].1.clone(), mine, "x".to_owned()] {
        let path = format!("/v1/enroll/{id}");
        let signed = other.signs(&face.world.app.nonce().nonce, "GET", &path, b"");
        let answer = face.stranger(with(get(&path), "muster-signature", &signed.header.to_string())).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}");
        bodies.push(answer.without_id());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

/// Two hundred ways to say "the file beside".
fn traversals() -> Vec<String> {
    let ups = [
        "../",
        "..%2f",
        "..%2F",
        "%2e%2e/",
        "%2e%2e%2f",
        "%252e%252e%252f",
        "..%5c",
        "%2e%2e%5c",
        "..%255c",
        "....//",
        "..;/",
        "%c0%ae%c0%ae%c0%af",
        "..%00/",
        "%5c%5chost%5cshare%5c",
        "%2f%2fhost%2fshare%2f",
        "file:%2f%2f%2f",
        "..%u2216",
    ];
    let targets = ["etc/passwd", "pepper", "muster.db", "ca%2froot-a.key"];
    let mut all = Vec::new();
    for up in ups {
        for target in targets {
            for depth in 1..=3 {
                all.push(format!("{}{target}", up.repeat(depth)));
            }
        }
    }
    all
}

#[tokio::test]
async fn q_11_no_path_leads_out() {
    let face = Face::new().await;
    let payloads = traversals();
    assert!(payloads.len() >= 200, "{}", payloads.len());
    for payload in &payloads {
        for base in ["/v1/machines/", "/v1/sites/", "/assets/", "/"] {
            let path = format!("{base}{payload}");
            let Ok(request) = Request::get(&path).body(axum::body::Body::empty()) else { continue };
            let answer = face.admin(request).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            assert!(!answer.text().contains("root:"), "{path}");
            answer.problem();
        }
    }
}

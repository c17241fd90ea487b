//! Existing clients that trust public authorities alone, at a listener with a certificate of the operator's own.
//!
//! 1. The operator's authority certifies `127.0.0.1`; configuration and `doctor` find both files well.
//! 2. A client that trusts that authority enrolls over its wire, by TLS. Nobody else's certificate is shown there, nothing
//!    but the wires is served, and an agent of Muster's own is not taken.
//! 3. The pair is exchanged for one that does not fit: `config check`, `doctor` and the next start say so, with one voice.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::support::{Home, Http, Server, json, muster, text};

/// An authority that public clients trust.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a root").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certifies this host, and writes the pair where the operator keeps it.
    fn certify(&self, home: &Home) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        home.write("fullchain.pem", &params.signed_by(&key, &self.issuer).expect("a leaf").pem());
        home.write("privkey.pem", &key.serialize_pem());
    }
}

fn started(authority: &Authority) -> Server {
    let home = Home::new();
    authority.certify(&home);
    let path = |name: &str| home.path().join(name).display().to_string();
    let config =
        format!("[compat]\ncertificate = '{}'\nkey = '{}'\n", path("fullchain.pem"), path("privkey.pem"));
    let dir = home.path().join("server");
    Server::at(home, dir, &config, &["--compat-listen", "127.0.0.1:0"])
}

#[test]
fn a_client_that_trusts_the_operators_authority_enrolls_over_tls() {
    let authority = Authority::new();
    let server = started(&authority);
    let address = server.told("compat_url").strip_prefix("https://").expect("TLS");
    let client = Http::public(address, &authority.pem, b"http/1.1");

    server.muster(&["site", "create", "ACME-PHX"]);
    let key = text(&server.muster(&["site", "rotate-key", "ACME-PHX", "--form", "cek"])["key"]);
    let body = json!({
        "site_code": "ACME-PHX", "enrollment_key": key, "machine_uid": "muid_tls", "hostname": "WS-01", "labels": {}
    });
    let answer = client.post("/api/enroll", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(text(&answer.json()["key"]).starts_with("cak_"));
    assert_eq!(client.get("/v1/machines").status, 404, "the wires alone are served there");

    let unknown = Http::trusting(address, server.dir()).try_send("GET", "/", &[], b"");
    assert!(unknown.is_err_and(|error| error.to_string().contains("UnknownIssuer")));
    for protocol in [b"muster/1".as_slice(), b"h2"] {
        let refused = Http::public(address, &authority.pem, protocol).try_send("GET", "/", &[], b"");
        assert!(refused.is_err_and(|error| error.to_string().contains("NoApplicationProtocol")));
    }
}

#[test]
fn a_pair_that_does_not_fit_is_told_by_check_doctor_and_start() {
    let authority = Authority::new();
    let mut server = started(&authority);
    server.muster(&["config", "check"]);
    let check = |server: &Server| {
        let report = json(&server.run(&["doctor", "--output", "json"]));
        let checks = report["checks"].as_array().expect("a list").clone();
        checks.into_iter().find(|check| check["name"] == "own certificate").expect("it is looked at")
    };
    assert_eq!(check(&server)["status"], "ok");

    let stray = KeyPair::generate().expect("a key").serialize_pem();
    server.home().write("privkey.pem", &stray);
    let why = "does not fit the first certificate";
    let found = check(&server);
    assert!(found["status"] == "fail" && found.to_string().contains(why), "{found}");
    server.stop();
    for (code, said) in [server.fails(&["config", "check"]), server.refuses_to_start("127.0.0.1:0")] {
        assert!(code == 78 && said.contains("privkey.pem") && said.contains(why), "{code}: {said}");
    }
    authority.certify(server.home());
    server.start();
}

#[test]
fn a_certificate_without_its_key_is_an_error_of_the_configuration() {
    let home = Home::new();
    home.write("muster.toml", "[compat]\ncertificate = '/nonexistent'\n");
    let output = muster(home.path()).args(["config", "check"]).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("compat.certificate is set and compat.key is not"), "{said}");
}

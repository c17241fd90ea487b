//! Who may call a host: the port of a wrenn host as its agent opens it, with what register answered, and real TLS.
//!
//! 1. The operator gets a caller's certificate; the key is made here, and the server sees only its public half.
//! 2. The host's port lets in that caller, who knows the host by the authorities that it was told.
//! 3. A machine's certificate, which the same deployment issued, does not open it.
//! 4. The audit log has the serial of both certificates, and no key.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection, version,
};
use serde_json::{Value, json};

use crate::support::{Device, Server, text, token_in};

/// Somebody's certificate and key, PEM.
struct Shown {
    chain: String,
    key: String,
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("certificates")
}

fn key(pem: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("a key")
}

fn roots(pem: &str) -> Arc<RootCertStore> {
    let mut store = RootCertStore::empty();
    chain(pem).into_iter().for_each(|root| store.add(root).expect("an authority"));
    Arc::new(store)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// TLS 1.3 that lets in whoever has a certificate of `ca_cert_pem`, as the agent does it.
fn host(answer: &Value) -> Arc<ServerConfig> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(&text(&answer["ca_cert_pem"])), provider());
    let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13]);
    let config = config.expect("TLS 1.3").with_client_cert_verifier(verifier.build().expect("an authority"));
    let (chain, key) = (chain(&text(&answer["cert_pem"])), key(&text(&answer["key_pem"])));
    Arc::new(config.with_single_cert(chain, key).expect("they fit"))
}

fn caller(shown: &Shown, authorities: &str) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13]);
    let config = config.expect("TLS 1.3").with_root_certificates(roots(authorities));
    Arc::new(config.with_client_auth_cert(chain(&shown.chain), key(&shown.key)).expect("they fit"))
}

/// Whether the caller knew the host, and whether the host let it in.
fn call(host: &Arc<ServerConfig>, caller: Arc<ClientConfig>, name: &str) -> (bool, bool) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let there: SocketAddr = listener.local_addr().expect("bound");
    let config = Arc::clone(host);
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut server: Connection = ServerConnection::new(config).expect("a configuration").into();
        is_through(&mut server, &mut stream)
    });
    let mut stream = TcpStream::connect(there).expect("the host");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client: Connection = ClientConnection::new(caller, name).expect("a configuration").into();
    let knew = is_through(&mut client, &mut stream);
    drop(stream);
    (knew, served.join().expect("the host stands"))
}

fn is_through(connection: &mut Connection, stream: &mut TcpStream) -> bool {
    while connection.is_handshaking() {
        if connection.complete_io(stream).is_err() {
            return false;
        }
    }
    true
}

/// A host that an operator gave an address, registered: what the agent was answered.
fn registered(server: &Server) -> Value {
    let made = server.muster(&["machine", "create", "host-1", "--label", "address=127.0.0.1"]);
    let body = json!({"token": token_in(&text(&made["invite"])), "arch": "amd64", "cpu_cores": 2,
        "memory_mb": 24105, "disk_gb": 251, "address": "10.0.0.5:50051"});
    let answer = server.http().post("/v1/hosts/register", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it was written")
}

#[test]
fn a_host_lets_in_who_an_operator_certified_and_no_machine() {
    let server = Server::up(&[]);
    let answer = registered(&server);
    let host = host(&answer);
    let dir = server.home().path().join("caller");
    let out = dir.display().to_string();
    let certify = ["caller", "certify", "wrenn-cp", "--out", &out];
    let made = server.muster(&certify);
    let authorities = read(&dir.join("hosts-ca.crt"));
    let mode = |name: &str| fs::metadata(dir.join(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("wrenn-cp.key"), mode("wrenn-cp.crt")), (0o600, 0o600));
    let shown = Shown { chain: read(&dir.join("wrenn-cp.crt")), key: read(&dir.join("wrenn-cp.key")) };
    assert_eq!(call(&host, caller(&shown, &authorities), "127.0.0.1"), (true, true));
    assert!(!call(&host, caller(&shown, &authorities), "10.0.0.5").1, "what a host says of its address");

    // The next certificate is of the same key, and a key that is kept elsewhere is never seen.
    assert_ne!(server.muster(&certify)["serial"], made["serial"]);
    assert_eq!(read(&dir.join("wrenn-cp.key")), shown.key);
    let elsewhere = Device::new();
    let csr = server.home().write("elsewhere.csr", &pem_request(&elsewhere.csr())).display().to_string();
    server.muster(&["caller", "certify", "elsewhere", "--out", &out, "--csr", &csr, "--expires", "15m"]);
    assert!(!dir.join("elsewhere.key").exists());
    let shown = Shown { chain: read(&dir.join("elsewhere.crt")), key: elsewhere.key_pem() };
    assert_eq!(call(&host, caller(&shown, &authorities), "127.0.0.1"), (true, true));

    // A machine of the same deployment is no caller, with or without what stands above it.
    let device = Device::new();
    let machine = device.enroll(&server.http(), &server.token()).json();
    let certificate = text(&machine["credential"]["certificate"]);
    for chain in [certificate.clone(), format!("{certificate}{authorities}")] {
        let machine = Shown { chain, key: device.key_pem() };
        assert!(!call(&host, caller(&machine, &authorities), "127.0.0.1").1, "a machine called a host");
    }
}

#[test]
fn every_certificate_of_a_host_and_of_a_caller_is_in_the_audit_log_by_its_serial() {
    let server = Server::up(&[]);
    let answer = registered(&server);
    let dir = server.home().path().join("caller");
    let made = server.muster(&["caller", "certify", "wrenn-cp", "--out", &dir.display().to_string()]);
    let refresh = json!({"refresh_token": answer["refresh_token"]});
    let next = server.http().post("/v1/hosts/auth/refresh", &refresh).json();
    let log = server.audit();
    let told = |action: &str, field: &str| -> Vec<Value> {
        let of = log.iter().filter(|entry| entry["action"] == action);
        of.filter_map(|entry| entry["detail"].get(field)).cloned().collect()
    };
    assert_eq!(told("caller.certify", "serial"), [made["serial"].clone()]);
    assert_eq!(told("caller.certify", "name"), ["wrenn-cp"]);
    assert_eq!(told("machine.enroll", "serving_serial"), [serial(&answer)]);
    assert_eq!(told("credential.refresh", "serving_serial"), [serial(&next)]);
    let text = serde_json::to_string(&log).expect("JSON");
    assert!(!text.contains("PRIVATE KEY"));
}

/// Serial number of the certificate in an answer, as `openssl x509 -serial` shows it but in lower case.
fn serial(answer: &Value) -> String {
    let chain = chain(&text(&answer["cert_pem"]));
    // RFC 5280 §4.1: version, then the serial number, are the first two fields.
    let version = [0xa0, 0x03, 0x02, 0x01, 0x02, 0x02];
    let der = chain[0].as_ref();
    let at = der.windows(version.len()).position(|part| part == version).expect("version 3") + version.len();
    let number = &der[at + 1..=at + usize::from(der[at])];
    data_encoding::HEXLOWER
        .encode(number.strip_prefix(&[0]).filter(|rest| rest.len() == 16).unwrap_or(number))
}

fn pem_request(base64: &str) -> String {
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{base64}\n-----END CERTIFICATE REQUEST-----\n")
}

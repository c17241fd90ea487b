//! The server is spoken to in secret, and is who it should be where that is asked for.

use std::fs;

use muster_store::Store;
use muster_store_postgres::{OpenError, PostgresStore, Settings};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

use crate::support::{server, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_verified_by_name_and_issuer() {
    let Some((server, _)) = server().await else { return };
    let home = tempfile::tempdir().expect("a directory");
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an issuer")
    };
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned()];
    let certificate =
        CertificateParams::new(names).expect("parameters").signed_by(&key, &ours).expect("signed");
    server.use_tls(&certificate.pem(), &key.serialize_pem());
    let file = |name: &str, pem: String| {
        let path = home.path().join(name);
        fs::write(&path, pem).expect("written");
        path
    };
    let (ours, theirs) = (file("ours.pem", ours.pem()), file("theirs.pem", theirs.pem()));
    let url = |host: &str, mode: &str| format!("postgres://postgres@{host}:{}/muster{mode}", server.port());
    let opened = async |url: String, ca: Option<&std::path::PathBuf>| {
        let settings = Settings { ca_file: ca.cloned(), ..settings(url) };
        let store = PostgresStore::open(settings).await?;
        store.check().await.expect("it answers");
        Ok::<_, OpenError>(())
    };
    opened(url("127.0.0.1", ""), Some(&ours)).await.expect("verified");
    opened(url("127.0.0.1", "?sslmode=verify-full"), Some(&ours)).await.expect("verified");
    opened(url("127.0.0.1", "?sslmode=require"), None).await.expect("hidden, whoever it is");
    opened(url("127.0.0.1", ""), None).await.expect("as the server likes");
    for (host, mode, ca) in [
        ("127.0.0.1", "", &theirs),
        ("127.0.0.1", "?sslmode=require", &theirs),
        ("localhost", "?sslmode=verify-full", &ours),
    ] {
        let refused = opened(url(host, mode), Some(ca)).await;
        assert!(matches!(refused, Err(OpenError::Unreachable { .. })), "{host} {mode}: {refused:?}");
    }
    let missing = home.path().join("nowhere.pem");
    let refused = opened(url("127.0.0.1", ""), Some(&missing)).await;
    assert!(matches!(refused, Err(OpenError::Tls(_))), "{refused:?}");
}

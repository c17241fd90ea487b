//! Who gets which configuration, and who is refused how.

use rustls::{AlertDescription, Error, HandshakeKind, version};

use super::*;

fn alert_of(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// Connects and sends more than the server will read, as a client does that does not wait for its verdict: with
/// bytes unread the socket would be reset, and the alert lost with it.
async fn alert_for(address: SocketAddr, config: ClientConfig) -> Option<AlertDescription> {
    let refused = match connect_tls(address, config).await {
        Ok(mut stream) => {
            stream.write_all(&[b'x'; 32 * 1024]).await.expect("sent");
            let refused = stream.read_to_end(&mut Vec::new()).await.err();
            let (mut socket, _) = stream.into_inner();
            assert_eq!(socket.read(&mut [0]).await.expect("closed, not reset"), 0);
            refused
        }
        Err(error) => Some(error),
    };
    alert_of(&refused.expect("the client is refused"))
}

#[tokio::test]
async fn a_browser_is_never_asked_for_a_certificate() {
    let authority = Authority::new();
    let server = Running::tls(&authority).await;
    for alpn in [&[b"h2".as_slice(), b"http/1.1"] as &[&[u8]], &[b"http/1.1"], &[]] {
        let shown = Shown::new(authority.sign(&machine(&[MACHINE_URI])));
        let stream =
            connect_tls(server.address, client(&authority, alpn, shown.clone())).await.expect("connected");
        let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(chosen.as_deref(), alpn.first().copied());
        if chosen.as_deref() != Some(b"h2") {
            assert!(ask(stream).await.expect("an answer").ends_with("\r\n\r\ntls"));
        }
        assert!(!shown.was_asked(), "{alpn:?}");
    }
}

#[tokio::test]
async fn an_agent_is_asked_and_known_by_its_certificate() {
    let authority = Authority::new();
    let server = Running::tls(&authority).await;
    for alpn in [&[ALPN_MUSTER] as &[&[u8]], &[b"h2", ALPN_MUSTER]] {
        let shown = Shown::new(authority.sign(&machine(&[MACHINE_URI])));
        let stream =
            connect_tls(server.address, client(&authority, alpn, shown.clone())).await.expect("connected");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN_MUSTER));
        let answer = ask(stream).await.expect("an answer");
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("machine mch_00000000000000000000000004")
        );
        assert!(shown.was_asked());
    }
}

#[tokio::test]
async fn a_refused_agent_reads_why() {
    let authority = Authority::new();
    let server = Running::tls(&authority).await;
    let good = || machine(&[MACHINE_URI]);
    let mut expired = good();
    expired.not_after = date_time_ymd(2020, 1, 1);
    let mut no_usage = good();
    no_usage.extended_key_usages.clear();
    let mut for_servers = good();
    for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let other_domain = MACHINE_URI.replace("fleet.test", "fleet.test.evil");
    let upper_case = MACHINE_URI.replace("/mch_0", "/mch_O");
    let cases = [
        ("expired", Shown::new(authority.sign(&expired)), AlertDescription::CertificateExpired),
        ("another root", Shown::new(Authority::named("other").sign(&good())), AlertDescription::UnknownCA),
        ("our root's name", Shown::new(Authority::new().sign(&good())), AlertDescription::DecryptError),
        ("no usage", Shown::new(authority.sign(&no_usage)), AlertDescription::UnsupportedCertificate),
        ("for servers", Shown::new(authority.sign(&for_servers)), AlertDescription::UnsupportedCertificate),
        ("no name", Shown::new(authority.sign(&machine(&[]))), AlertDescription::AccessDenied),
        (
            "two names",
            Shown::new(authority.sign(&machine(&[MACHINE_URI, MACHINE_URI]))),
            AlertDescription::AccessDenied,
        ),
        ("domain", Shown::new(authority.sign(&machine(&[&other_domain]))), AlertDescription::AccessDenied),
        ("spelling", Shown::new(authority.sign(&machine(&[&upper_case]))), AlertDescription::AccessDenied),
        ("none", Arc::default(), AlertDescription::CertificateRequired),
    ];
    for (what, shown, alert) in cases {
        let refused = alert_for(server.address, client(&authority, &[ALPN_MUSTER], shown)).await;
        assert_eq!(refused, Some(alert), "{what}");
    }
}

#[tokio::test]
async fn q43_an_agent_cannot_come_with_tls_12() {
    let authority = Authority::new();
    let server = Running::tls(&authority).await;
    let old = |alpn: &[u8]| {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS12])
            .expect("versions")
            .with_root_certificates({
                let mut roots = RootCertStore::empty();
                roots.add(authority.root.der().clone()).expect("a root");
                roots
            })
            .with_client_cert_resolver(Shown::new(authority.sign(&machine(&[MACHINE_URI]))));
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    };
    assert_eq!(alert_for(server.address, old(ALPN_MUSTER)).await, Some(AlertDescription::ProtocolVersion));
    assert!(connect_tls(server.address, old(b"http/1.1")).await.is_ok());
}

#[tokio::test]
async fn q42_a_ticket_of_the_open_side_never_stands_in_for_a_certificate() {
    let authority = Authority::new();
    let server = Running::tls(&authority).await;
    let open = client(&authority, &[b"http/1.1"], Arc::default());
    // The same client with its session memory, now as an agent.
    let mut agent = open.clone();
    agent.alpn_protocols = vec![ALPN_MUSTER.to_vec()];
    let kind = |stream: &TlsStream<TcpStream>| stream.get_ref().1.handshake_kind();

    let first = connect_tls(server.address, open.clone()).await.expect("connected");
    assert_ne!(kind(&first), Some(HandshakeKind::Resumed));
    ask(first).await.expect("an answer, and tickets before it");
    let second = connect_tls(server.address, open).await.expect("connected");
    assert_eq!(kind(&second), Some(HandshakeKind::Resumed));
    ask(second).await.expect("an answer");
    assert_eq!(alert_for(server.address, agent).await, Some(AlertDescription::CertificateRequired));
}

#[tokio::test]
async fn an_agent_proves_its_key_every_time() {
    let authority = Authority::new();
    let server = Running::tls(&authority).await;
    let config = client(&authority, &[ALPN_MUSTER], Shown::new(authority.sign(&machine(&[MACHINE_URI]))));
    for _ in 0..2 {
        let stream = connect_tls(server.address, config.clone()).await.expect("connected");
        assert_ne!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        ask(stream).await.expect("an answer");
    }
}

#[test]
fn q42_without_usable_roots_there_is_nothing_to_listen_with() {
    let authority = Authority::new();
    let with = |roots| {
        let (leaf, key) = authority.server();
        TlsConfigs::new(authority.material(leaf, key, roots)).expect_err("no configurations")
    };
    assert!(matches!(with(Vec::new()), TlsError::NoRoots));
    let broken = CertificateDer::from(b"not a certificate".to_vec());
    let bundle = vec![authority.root.der().clone(), broken];
    assert!(matches!(with(bundle), TlsError::Root { index: 1, .. }));
}

#[test]
fn a_key_that_is_not_the_certificates_makes_no_configuration() {
    let authority = Authority::new();
    let ((leaf, _), (_, other_key)) = (authority.server(), authority.server());
    let material = authority.material(leaf, other_key, vec![authority.root.der().clone()]);
    assert!(matches!(TlsConfigs::new(material), Err(TlsError::Certificate(_))));
}

#[tokio::test]
async fn a_renewed_certificate_serves_the_next_handshake() {
    let authority = Authority::new();
    let configs = authority.configs().shared();
    let listening = configs.clone();
    let server =
        Running::start(ServeSettings::default(), router(), |socket| Listener::tls(socket, listening)).await;
    let leaf_seen = async || {
        let config = client(&authority, &[b"http/1.1"], Arc::default());
        let stream = connect_tls(server.address, config).await.expect("connected");
        stream.get_ref().1.peer_certificates().expect("a chain")[0].clone().into_owned()
    };
    let before = leaf_seen().await;
    assert_eq!(leaf_seen().await, before);
    configs.store(Arc::new(authority.configs()));
    assert_ne!(leaf_seen().await, before);
}

#[tokio::test]
async fn a_certificate_of_the_operators_serves_public_clients_and_takes_no_machines() {
    let authority = Authority::new();
    let own = |name: &str| {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let issuer = Issuer::from_params(&authority.params, &authority.key);
        let chain = params.signed_by(&key, &issuer).expect("a leaf").pem();
        let now = "2030-01-01T00:00:00Z".parse().expect("a time");
        OwnCertificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes(), now).expect("they fit")
    };
    let configs = own("localhost").configs.shared();
    let listening = configs.clone();
    let server =
        Running::start(ServeSettings::default(), router(), |socket| Listener::tls(socket, listening)).await;
    for versions in [[&version::TLS12], [&version::TLS13]] {
        let shown = Shown::new(authority.sign(&machine(&[MACHINE_URI])));
        let stream = connect_tls(server.address, public(&authority, &versions, shown.clone())).await;
        let stream = stream.expect("connected");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        assert!(ask(stream).await.expect("an answer").ends_with("\r\n\r\ntls"));
        assert!(!shown.was_asked());
    }
    let agent = client(&authority, &[ALPN_MUSTER], Shown::new(authority.sign(&machine(&[MACHINE_URI]))));
    assert_eq!(alert_for(server.address, agent).await, Some(AlertDescription::NoApplicationProtocol));

    configs.store(Arc::new(own("elsewhere").configs));
    let renewed = client(&authority, &[b"http/1.1"], Arc::default());
    assert!(connect_tls(server.address, renewed).await.is_err(), "the next handshake shows the next one");
}

/// A client of its own time, which offers HTTP/2 before HTTP/1.1.
fn public(
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
    shown: Arc<Shown>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root.der().clone()).expect("a root");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_cert_resolver(shown);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

#[tokio::test]
async fn http2_is_spoken_where_alpn_chose_it() {
    let authority = Authority::new();
    let server = Running::tls(&authority).await;
    let stream =
        connect_tls(server.address, client(&authority, &[b"h2"], Arc::default())).await.expect("connected");
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.expect("settings");
    tokio::spawn(connection);
    let request =
        http::Request::get("https://localhost/").body(axum::body::Body::empty()).expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    assert_eq!((response.status(), response.version()), (http::StatusCode::OK, http::Version::HTTP_2));
}

#[tokio::test]
async fn an_agent_that_speaks_http2_anyway_is_not_understood() {
    let authority = Authority::new();
    let server = Running::tls(&authority).await;
    let config = client(&authority, &[ALPN_MUSTER], Shown::new(authority.sign(&machine(&[MACHINE_URI]))));
    let mut stream = connect_tls(server.address, config).await.expect("connected");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    let closed = stream.read_to_end(&mut answer).await;
    assert!(closed.is_ok() || closed.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof));
    assert!(answer.is_empty(), "no SETTINGS frame");
}

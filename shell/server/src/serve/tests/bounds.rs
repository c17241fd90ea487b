//! Time-outs, counts, and what the local socket knows.

use std::os::unix::fs::PermissionsExt;

use tokio::net::UnixStream;

use super::*;

/// Reads to the end and tells how long that took on the test's clock.
async fn seconds_to_end(stream: &mut TcpStream) -> u64 {
    let start = Instant::now();
    let mut rest = Vec::new();
    // A reset is an end too.
    if let Err(error) = stream.read_to_end(&mut rest).await {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    start.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn q37_a_silent_tls_client_is_closed_after_five_seconds() {
    let server = Running::tls(&Authority::new()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    assert_eq!(seconds_to_end(&mut stream).await, 5);
}

#[tokio::test(start_paused = true)]
async fn q37_half_a_client_hello_is_closed_after_five_seconds() {
    let server = Running::tls(&Authority::new()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.expect("sent");
    assert_eq!(seconds_to_end(&mut stream).await, 5);
}

#[tokio::test(start_paused = true)]
async fn q37_half_a_header_is_closed_after_ten_seconds() {
    let server = Running::plain(ServeSettings::default(), router()).await;
    for sent in [b"".as_slice(), b"GET / HTTP/1.1\r\nhost: loc"] {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        stream.write_all(sent).await.expect("sent");
        let seconds = seconds_to_end(&mut stream).await;
        assert!((10..=11).contains(&seconds), "{seconds}");
    }
}

async fn one_request(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = [0; 512];
    let read = stream.read(&mut answer).await.expect("an answer");
    assert!(answer[..read].ends_with(b"plain"));
}

#[tokio::test(start_paused = true)]
async fn q37_a_kept_connection_is_closed_after_sixty_idle_seconds() {
    let server = Running::plain(ServeSettings::default(), router()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    one_request(&mut stream).await;
    let seconds = seconds_to_end(&mut stream).await;
    assert!((59..=61).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn q37_a_slow_second_request_has_the_header_time_and_not_the_idle_time() {
    // On the real clock, because a paused one runs on to the next timer while bytes are under way.
    let hour = Duration::from_secs(3_600);
    let short = Duration::from_millis(50);
    let settings = ServeSettings { header_timeout: short, idle_timeout: hour, ..ServeSettings::default() };
    let server = Running::plain(settings, router()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    one_request(&mut stream).await;
    stream.write_all(b"GET /").await.expect("sent");
    let closed = timeout(Duration::from_secs(30), seconds_to_end(&mut stream)).await;
    assert!(closed.is_ok(), "closed long before the idle time");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_its_time_is_not_cut() {
    let patient = get(|| async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        "plain"
    });
    let server = Running::plain(ServeSettings::default(), Router::new().route("/", patient)).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    one_request(&mut stream).await;
}

#[tokio::test]
async fn one_connection_more_than_a_source_may_have_is_closed_and_the_next_is_served() {
    let settings = ServeSettings { max_per_loopback: 2, ..ServeSettings::default() };
    let server = Running::plain(settings, router()).await;
    let mut first = TcpStream::connect(server.address).await.expect("connected");
    let mut second = TcpStream::connect(server.address).await.expect("connected");
    one_request(&mut first).await;
    one_request(&mut second).await;
    let mut third = TcpStream::connect(server.address).await.expect("connected");
    assert_eq!(third.read(&mut [0]).await.unwrap_or(0), 0, "closed without a word");
    // Answered to its end, the first has given its place back.
    ask(first).await.expect("an answer");
    loop {
        let fourth = TcpStream::connect(server.address).await.expect("connected");
        if ask(fourth).await.is_ok_and(|answer| answer.ends_with("plain")) {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_header_section_over_the_bound_is_refused() {
    let server = Running::plain(ServeSettings::default(), router()).await;
    let long = |bytes: usize| {
        format!("GET / HTTP/1.1\r\nhost: l\r\nx: {}\r\nconnection: close\r\n\r\n", "a".repeat(bytes))
    };
    let many = format!("GET / HTTP/1.1\r\n{}connection: close\r\n\r\n", "x: y\r\n".repeat(64));
    for (head, status) in
        [(long(8_000), "200"), (long(17_000), "431"), (long(1_700_000), "431"), (many, "431")]
    {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        // The server may answer and close before everything is sent.
        if let Err(error) = stream.write_all(head.as_bytes()).await {
            assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe));
            continue;
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("a status line");
        assert_eq!(std::str::from_utf8(&answer[9..]), Ok(status));
    }
}

#[tokio::test]
async fn the_local_socket_knows_who_calls_and_has_its_mode_from_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("muster.sock");
    std::fs::write(&path, "left by a crash").expect("written");
    let listener = Listener::bind_unix(&path, 0o600).expect("bound");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (_shutdown, draining) = shutdown();
    tokio::spawn(serve(listener, router(), Acceptance::default(), ServeSettings::default(), draining));
    let answer = ask(UnixStream::connect(&path).await.expect("connected")).await.expect("an answer");
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    assert!(answer.ends_with(&format!("unix {uid} {gid} {}", std::process::id())), "{answer}");
}

#[tokio::test]
async fn q19_connections_are_counted_under_fixed_labels() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let text = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let server = Running::plain(ServeSettings::default(), router()).await;
    ask(TcpStream::connect(server.address).await.expect("connected")).await.expect("an answer");
    server.stop().await;
    let text = text.render();
    assert!(text.contains(r#"muster_connections_total{transport="plain",outcome="served"} 1"#), "{text}");
    assert!(text.contains(r#"muster_connections_open{transport="plain"} 0"#), "{text}");
}

#[tokio::test]
async fn a_client_that_is_to_get_no_answer_gets_not_one_byte_and_the_next_is_served() {
    let routes = Router::new().route("/silent", get(|| async { (Extension(HangUp), "an answer") }));
    let routes = routes.merge(router());
    let server = Running::plain(ServeSettings::default(), routes).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    stream.write_all(b"GET /silent HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.expect("closed in order");
    assert_eq!(read, b"");
    one_request(&mut TcpStream::connect(server.address).await.expect("a connection")).await;
    server.stop().await;
}

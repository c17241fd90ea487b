//! Ending: what runs finishes, what does not finish is cut, nothing new comes in.

use tokio::sync::Notify;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::*;

/// A route that says when it runs and answers when told.
fn gated() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (say, wait) = (entered.clone(), go.clone());
    let handler = get(move || async move {
        say.notify_one();
        wait.notified().await;
        "done"
    });
    (Router::new().route("/", handler), entered, go)
}

#[tokio::test]
async fn a_request_in_flight_is_answered_and_nobody_new_is_served() {
    let (router, entered, go) = gated();
    let server = Running::plain(ServeSettings::default(), router).await;
    let address = server.address;
    let asking = tokio::spawn(async move { ask(TcpStream::connect(address).await?).await });
    entered.notified().await;
    server.shutdown.trigger();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    assert_eq!(server.served.await.expect("no panic"), Drained { cut: 0 });
    assert!(asking.await.expect("no panic").expect("an answer").ends_with("done"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_finish_is_cut_when_the_drain_time_is_over() {
    let (router, entered, _never) = gated();
    let server = Running::plain(ServeSettings::default(), router).await;
    let address = server.address;
    let asking = tokio::spawn(async move { ask(TcpStream::connect(address).await?).await });
    entered.notified().await;
    let start = Instant::now();
    assert_eq!(server.stop().await, Drained { cut: 1 });
    assert_eq!(start.elapsed().as_secs(), 10);
    let answer = asking.await.expect("no panic");
    assert!(answer.is_err() || answer.is_ok_and(|text| text.is_empty()));
}

#[tokio::test]
async fn a_kept_connection_without_a_request_does_not_hold_up_the_end() {
    let server = Running::plain(ServeSettings::default(), router()).await;
    let mut kept = TcpStream::connect(server.address).await.expect("connected");
    kept.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    assert!(kept.read(&mut [0; 512]).await.expect("an answer") > 0);
    assert_eq!(server.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn an_upgraded_connection_holds_its_place_and_hears_of_the_end() {
    let authority = Authority::new();
    let configs = authority.configs().shared();
    let settings = ServeSettings { max_per_loopback: 1, ..ServeSettings::default() };
    let server = Running::start(settings, router(), |socket| Listener::tls(socket, configs)).await;
    let config = client(&authority, &[ALPN_MUSTER], Shown::new(authority.sign(&machine(&[MACHINE_URI]))));
    let stream = connect_tls(server.address, config.clone()).await.expect("connected");
    let (mut channel, _) = client_async("wss://localhost/ws", stream).await.expect("upgraded");
    for text in ["one", "two"] {
        futures_util::SinkExt::send(&mut channel, Frame::text(text)).await.expect("sent");
        let echoed = futures_util::StreamExt::next(&mut channel).await.expect("a frame").expect("intact");
        assert_eq!(echoed, Frame::text(text));
    }
    assert!(connect_tls(server.address, config).await.is_err(), "the place is taken");
    assert_eq!(server.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn an_upgraded_connection_that_does_not_listen_is_waited_for_and_then_counted_as_cut() {
    let deaf = get(|upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(|mut socket| async move { while socket.recv().await.is_some() {} })
    });
    let settings = ServeSettings { drain_timeout: Duration::from_millis(50), ..ServeSettings::default() };
    let server = Running::plain(settings, Router::new().route("/ws", deaf)).await;
    let stream = TcpStream::connect(server.address).await.expect("connected");
    let (_channel, _) = client_async("ws://localhost/ws", stream).await.expect("upgraded");
    assert_eq!(server.stop().await, Drained { cut: 1 });
}

#[tokio::test]
async fn a_dropped_switch_ends_serving() {
    let server = Running::plain(ServeSettings::default(), router()).await;
    drop(server.shutdown);
    assert_eq!(server.served.await.expect("no panic"), Drained { cut: 0 });
}

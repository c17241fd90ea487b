//! The webhook: who may be asked, and what the answers mean.

use std::net::IpAddr;

use muster_provision::{Webhook, WebhookSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::{CALL, Scene};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) fn webhook(url: String, allowed: fn(IpAddr) -> bool) -> Webhook {
    let (secret, allowed) = (SECRET.to_owned().into(), Box::new(allowed));
    let call = Some(CALL);
    Webhook::new(WebhookSettings { url, secret, roots: None, allowed, call }).expect("a connector")
}

/// Answers each call with the next status, and gives what it was asked.
async fn receiver(statuses: &'static [u16]) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let task = tokio::spawn(async move {
        let mut asked = Vec::new();
        for status in statuses {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let mut text = String::new();
            while !text.ends_with("}}") {
                let mut bytes = [0; 4096];
                let read = stream.read(&mut bytes).await.expect("a request");
                text.push_str(std::str::from_utf8(&bytes[..read]).expect("text"));
            }
            let answer = format!(
                "HTTP/1.1 {status} -\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.expect("answered");
            asked.push(text);
        }
        asked
    });
    (url, task)
}

#[tokio::test]
async fn q_12_a_private_address_is_not_asked_unless_it_is_excepted() {
    let (url, asked) = receiver(&[]).await;
    let scene = Scene::with(webhook(url, |_| false)).await;
    let made = scene.create("w-two").await;
    scene.settle().await;
    let shown = scene.shown(&made.account).await;
    assert_eq!((shown.state.as_str(), shown.error.as_deref()), ("dead", Some("refused")));
    assert!(asked.await.expect("no panic").is_empty());
}

#[tokio::test]
async fn a_message_is_repeated_under_its_identifier_until_it_is_taken_and_no_redirect_followed() {
    let (url, asked) = receiver(&[500, 302, 204]).await;
    let scene = Scene::with(webhook(url, |address| address.is_loopback())).await;
    let made = scene.create("w-two").await;
    scene.settle().await;
    assert_eq!(scene.shown(&made.account).await.state, "live");
    let asked = asked.await.expect("no panic");
    let id = format!("webhook-id: {}-v1\r\n", made.account.id);
    for message in &asked {
        assert!(message.contains(&id) && message.contains("webhook-signature: v1,"), "{message}");
        assert!(
            message.contains(r#""type":"account.live""#) && message.contains(&made.passphrase),
            "{message}"
        );
    }
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn a_receiver_that_knows_another_account_of_the_name_says_so() {
    let (url, _) = receiver(&[409]).await;
    let scene = Scene::with(webhook(url, |address| address.is_loopback())).await;
    let made = scene.create("w-two").await;
    scene.settle().await;
    assert_eq!(scene.shown(&made.account).await.state, "conflict");
}

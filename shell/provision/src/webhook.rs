//! A signed webhook (Standard Webhooks): whoever answers it makes the accounts.
//!
//! The identifier of a message is the account and the version of the wish, so that a message which comes twice is
//! recognised. The receiver answers 2xx when what is wanted is there, and 409 where there is an account that is not ours.
//!
//! Where the address leads is looked up once, and that address is connected to. Private, loopback, link-local and
//! translated addresses are refused unless the configuration excepts them; redirects are not followed (Q-12).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use muster_app::{Delivered, Doing, Found, Order, Provisioner};
use muster_model::{Mishap, MishapKind, Wanted};
use reqwest::{StatusCode, Url};
use rustls::ClientConfig;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::http::{self, SetupError, mishap};

const CALL: Duration = Duration::from_secs(10);

/// Whether an address is excepted from what is refused.
pub type Allowed = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Where a webhook goes.
pub struct WebhookSettings {
    /// Its address.
    pub url: String,
    /// The secret that it is signed with: `whsec_` and base64.
    pub secret: Zeroizing<String>,
    /// Certificates to trust, as PEM; those of the system where nothing is said.
    pub roots: Option<Vec<u8>>,
    /// Addresses that are excepted from what is refused.
    pub allowed: Allowed,
    /// How long one call may take; ten seconds where nothing is said.
    pub call: Option<Duration>,
}

/// The connector to one receiver.
pub struct Webhook {
    url: Url,
    key: Zeroizing<Vec<u8>>,
    tls: ClientConfig,
    allowed: Allowed,
    call: Duration,
}

impl Webhook {
    /// Makes the connector. Nothing is asked yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: WebhookSettings) -> Result<Self, SetupError> {
        let WebhookSettings { url, secret, roots, allowed, call } = settings;
        let text = secret.trim().strip_prefix("whsec_").ok_or(SetupError::Secret)?;
        let key = Zeroizing::new(BASE64.decode(text.as_bytes()).or(Err(SetupError::Secret))?);
        if key.len() < 24 {
            return Err(SetupError::Secret);
        }
        let tls = http::tls(roots.as_deref())?;
        Ok(Self { url: http::address(&url)?, key, tls, allowed, call: call.unwrap_or(CALL) })
    }

    /// Where the message goes: looked up once, and taken where every address it has may be.
    async fn place(&self) -> Result<(String, SocketAddr), Mishap> {
        let host = self.url.host_str().unwrap_or_default().to_owned();
        let port = self.url.port_or_known_default().unwrap_or(443);
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let found = tokio::net::lookup_host((bare.as_str(), port)).await;
        let found: Vec<SocketAddr> =
            found.or(Err(mishap(MishapKind::Unreachable, "its host is not found")))?.collect();
        if found.iter().any(|at| is_inside(at.ip()) && !(self.allowed)(at.ip())) {
            return Err(mishap(MishapKind::Refused, "its address is private and not excepted"));
        }
        let first = found.first().ok_or_else(|| mishap(MishapKind::Unreachable, "its host is not found"))?;
        Ok((host, *first))
    }

    async fn send(&self, order: &Order) -> Result<Delivered, Mishap> {
        let (host, address) = self.place().await?;
        let client = http::client(self.tls.clone(), self.call, Some((&host, address)))
            .or(Err(mishap(MishapKind::Failed, "no client")))?;
        let message = Message::of(order);
        let signature = message.signature(&self.key);
        let request = client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", message.at.to_string())
            .header("webhook-signature", signature)
            .body(message.body.as_str().to_owned());
        let response = request.send().await.map_err(|error| http::unreached(&error))?;
        match response.status() {
            status if status.is_success() => Ok(Delivered::Reached { ours: true }),
            StatusCode::CONFLICT => Ok(Delivered::Foreign),
            StatusCode::GONE | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
                let status = response.status().as_u16();
                Err(mishap(MishapKind::Refused, &format!("HTTP {status}")))
            }
            status => Err(http::denied(status)),
        }
    }
}

impl Provisioner for Webhook {
    fn deliver<'a>(&'a self, order: &'a Order) -> Doing<'a, Delivered> {
        Box::pin(async move { self.send(order).await.unwrap_or_else(Delivered::Failed) })
    }

    fn look<'a>(&'a self, _: &'a Order) -> Doing<'a, Result<Found, Mishap>> {
        Box::pin(async { Ok(Found::Untold) })
    }
}

struct Message {
    id: String,
    at: i64,
    body: Zeroizing<String>,
}

impl Message {
    fn of(order: &Order) -> Self {
        let at = order.at.as_second();
        let mut data = serde_json::json!({
            "account": order.account.to_string(),
            "machine": order.machine.to_string(),
            "name": order.name.as_str(),
            "version": order.version,
            "known": order.ours,
        });
        if order.wanted == Wanted::Live {
            data["passphrase"] = order.passphrase.reveal().into();
        }
        let body = serde_json::json!({
            "type": format!("account.{}", order.wanted.as_str()),
            "timestamp": order.at.to_string(),
            "data": data,
        });
        Self {
            id: format!("{}-v{}", order.account, order.version),
            at,
            body: Zeroizing::new(body.to_string()),
        }
    }

    /// `v1,` and the MAC over identifier, time and body, as the standard has it.
    fn signature(&self, key: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        mac.update(format!("{}.{}.", self.id, self.at).as_bytes());
        mac.update(self.body.as_bytes());
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

/// Whether an address is not one of the public internet.
fn is_inside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_inside_v4(v4),
        IpAddr::V6(v6) => is_inside_v6(v6),
    }
}

fn is_inside_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_inside_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    let is_translated = (a == 0x64 && b == 0xff9b) || a == 0x2002 || (a == 0x2001 && b == 0);
    let is_global = a & 0xe000 == 0x2000;
    let is_documentation = a == 0x2001 && b == 0xdb8 || (a == 0x3fff && b < 0x1000);
    is_translated || !is_global || is_documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_12_what_is_not_of_the_public_internet_is_inside() {
        for inside in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "::7f00:1",
            "fec0::1",
        ] {
            assert!(is_inside(inside.parse().expect("an address")), "{inside}");
        }
        for outside in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(!is_inside(outside.parse().expect("an address")), "{outside}");
        }
    }

    #[test]
    fn a_message_is_signed_as_the_standard_has_it() {
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            at: 1_614_265_330,
            body: Zeroizing::new(r#"{"test": 2432232314}"#.to_owned()),
        };
        let key = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        assert_eq!(message.signature(&key), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_none_and_an_address_that_tells_it_to_others_are_refused() {
        let webhook = |url: &str, secret: &str| {
            Webhook::new(WebhookSettings {
                url: url.to_owned(),
                secret: Zeroizing::new(secret.to_owned()),
                roots: None,
                allowed: Box::new(|_| false),
                call: None,
            })
            .err()
        };
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert!(webhook("https://example.org/hook", secret).is_none());
        assert!(matches!(webhook("http://example.org/hook", secret), Some(SetupError::Plain)));
        assert!(matches!(webhook("https://u:p@example.org/", secret), Some(SetupError::Address)));
        assert!(matches!(webhook("file:///etc/passwd", secret), Some(SetupError::Address)));
        for bad in ["secret", "whsec_", "whsec_c2hvcnQ=", "whsec_%%"] {
            assert!(matches!(webhook("https://example.org/", bad), Some(SetupError::Secret)), "{bad}");
        }
    }
}

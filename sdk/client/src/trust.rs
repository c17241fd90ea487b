//! First contact: asking an address who it is, and believing it only where a pin says so.
//!
//! 1. `GET /v1/trust` without verifying anybody, sending nothing secret. 2. Keep the one root whose pin was given; the
//!    rest of that answer is a stranger's word and is dropped. 3. Connect again, trusting that root alone, and ask for
//!    the whole bundle. No root with the pin: stop.

use muster_wire::invite::CaPin;
use muster_wire::trust::Trust;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::request::Client;
use crate::{ClientError, tls};

const MAX_TRUST: usize = 64 * 1024;

/// What a verified server says of its trust bundle.
#[derive(Debug, Clone)]
pub struct PinnedTrust {
    /// The bundle, read over a connection that the pinned root vouches for.
    pub trust: Trust,
    /// The pinned root.
    pub root: CertificateDer<'static>,
}

/// Fetches the root that the pin names. The result is as good as the pin; nothing else of the answer is used.
pub async fn pinned_root(url: &str, pin: CaPin) -> Result<CertificateDer<'static>, ClientError> {
    let client = Client::over_tls(url, tls::config_for_first_contact()?, None)?;
    let trust: Trust = client.get_bounded("/v1/trust", MAX_TRUST).await?;
    choose(&trust, pin, url)
}

/// Fetches the trust bundle over a connection that the pinned root vouches for.
pub async fn first_contact(url: &str, pin: CaPin) -> Result<PinnedTrust, ClientError> {
    let root = pinned_root(url, pin).await?;
    let client = Client::https(url, [root.clone()], None)?;
    let trust = client.get_bounded("/v1/trust", MAX_TRUST).await?;
    Ok(PinnedTrust { trust, root })
}

fn choose(trust: &Trust, pin: CaPin, server: &str) -> Result<CertificateDer<'static>, ClientError> {
    let mut offered = Vec::new();
    for text in &trust.roots {
        let root = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|error| ClientError::Certificate { source: Box::new(error) })?;
        let found = tls::pin_of(&root)?;
        if found == pin {
            return Ok(root);
        }
        offered.push(found);
    }
    Err(ClientError::PinMismatch { server: server.to_owned(), expected: pin, offered })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-signed P-256 root of a test deployment, good until 2126.
    const ROOT: &str = include_str!("../tests/data/root.pem");
    const PIN: &str = include_str!("../tests/data/root.pin");

    fn trust(roots: &[&str]) -> Trust {
        Trust {
            version: 1,
            trust_domain: "muster.test".into(),
            roots: roots.iter().map(|r| (*r).to_owned()).collect(),
            pins: vec![],
        }
    }

    #[test]
    fn q_44_the_root_is_chosen_by_the_hash_of_its_key_not_by_what_the_server_calls_it() {
        let pin: CaPin = PIN.parse().expect("a pin");
        let root = choose(&trust(&[ROOT]), pin, "https://a").expect("the root with this pin");
        assert_eq!(tls::pin_of(&root).expect("a certificate"), pin);
    }

    #[test]
    fn q_44_a_server_with_another_root_is_refused_and_both_pins_are_named() {
        let expected = CaPin([1; 32]);
        let error = choose(&trust(&[ROOT]), expected, "https://a").expect_err("another root");
        let text = error.to_string();
        assert!(text.contains(PIN.trim()) && text.contains(&expected.to_string()), "{text}");
    }

    #[test]
    fn a_root_that_cannot_be_read_is_refused() {
        let error = choose(&trust(&["not a certificate"]), CaPin([1; 32]), "https://a").expect_err("no PEM");
        assert!(matches!(error, ClientError::Certificate { .. }));
    }
}

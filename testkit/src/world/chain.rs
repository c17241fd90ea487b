//! What a machine was given to show, as a TLS library looks at it: who signed whom. Times are the test clock's business.

use x509_parser::prelude::{FromDer, X509Certificate};

/// The first certificate of a PEM file, DER.
///
/// # Panics
/// Where there is none.
pub fn leaf(pem: &str) -> Vec<u8> {
    all(pem).next().expect("a certificate")
}

/// Whether each certificate is signed by the one after it, and the last one by a root.
///
/// # Panics
/// Where something is no certificate.
pub(super) fn leads_to(pem: &str, roots: &[String]) -> bool {
    let chain: Vec<Vec<u8>> = all(pem).collect();
    let below = chain.windows(2).all(|pair| is_signed_by(&pair[0], &pair[1]));
    let last = chain.last().expect("a certificate");
    below && chain.len() > 1 && roots.iter().any(|root| is_signed_by(last, &leaf(root)))
}

fn is_signed_by(below: &[u8], above: &[u8]) -> bool {
    let read = |der| X509Certificate::from_der(der).expect("a certificate").1;
    let (below, above) = (read(below), read(above));
    below.issuer() == above.subject() && below.verify_signature(Some(above.public_key())).is_ok()
}

fn all(pem: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    pem.split("-----BEGIN CERTIFICATE-----").skip(1).map(|rest| {
        let (body, _) = rest.split_once("-----END").expect("its end");
        let base64: String = body.split_whitespace().collect();
        data_encoding::BASE64.decode(base64.as_bytes()).expect("base64")
    })
}

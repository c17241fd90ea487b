//! TLS towards the server: 1.3, our own roots alone, the clock of the port.
//!
//! Three ways: verified without a certificate (`http/1.1`), verified with the machine's certificate (`muster/1`), and
//! two narrow ones that see no secret: first contact (nothing verified) and asking a server for the hour (everything
//! verified but the hour).

use std::sync::Arc;

use jiff::Timestamp;
use muster_agent_core::Verdict;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::net::fault::judge;
use crate::ports::Clock;
use crate::store::Enrolled;

const PLAIN: &[u8] = b"http/1.1";
const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Verified, without a certificate of our own.
pub(crate) fn verified(roots: &[String], clock: &Arc<Clock>) -> Result<Arc<ClientConfig>, Verdict> {
    let config = builder(clock)?.with_root_certificates(store(roots)?).with_no_client_auth();
    Ok(finish(config, PLAIN))
}

/// Verified, showing the machine's certificate.
pub(crate) fn mutual(enrolled: &Enrolled, clock: &Arc<Clock>) -> Result<Arc<ClientConfig>, Verdict> {
    // Its certificate is lost: as for one that is not taken, a signature of the key gets another.
    if enrolled.chain.is_empty() {
        return Err(Verdict::CertificateRefused);
    }
    let roots = store(&enrolled.identity.trust.roots)?;
    let config = builder(clock)?
        .with_root_certificates(roots)
        .with_client_auth_cert(enrolled.chain.clone(), enrolled.key.to_der())
        .map_err(|error| judge("using the machine certificate", &error))?;
    Ok(finish(config, muster_wire::ALPN))
}

/// Nothing verified: for asking a stranger for its roots, which a pin then judges. Nothing secret may be sent.
pub(crate) fn first_contact(clock: &Arc<Clock>) -> Result<Arc<ClientConfig>, Verdict> {
    let verifier = Arc::new(Stranger { provider: provider() });
    with_verifier(verifier, clock)
}

/// Verified in everything but the hour, for asking the hour. A server certificate that ended before `floor` (when our
/// own certificate began) is not taken: an old stolen key must not set our clock back.
pub(crate) fn any_hour(
    roots: &[String],
    floor: Timestamp,
    clock: &Arc<Clock>,
) -> Result<Arc<ClientConfig>, Verdict> {
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store(roots)?), provider())
        .build()
        .map_err(|error| judge("reading the trust bundle", &error))?;
    let verifier = Arc::new(AnyHour { inner, floor: u64::try_from(floor.as_second()).unwrap_or(0) });
    with_verifier(verifier, clock)
}

#[expect(clippy::disallowed_methods, reason = "first contact and asking the hour, see the head of this file")]
fn with_verifier(
    verifier: Arc<dyn ServerCertVerifier>,
    clock: &Arc<Clock>,
) -> Result<Arc<ClientConfig>, Verdict> {
    let config = builder(clock)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(finish(config, PLAIN))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn builder(
    clock: &Arc<Clock>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Verdict> {
    let clock: Arc<Clock> = Arc::clone(clock);
    ClientConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(VERSIONS)
        .map_err(|error| judge("setting up TLS", &error))
}

fn finish(mut config: ClientConfig, alpn: &[u8]) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![alpn.to_vec()];
    // A resumed session would carry an older certificate's standing into a new connection.
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn store(roots: &[String]) -> Result<RootCertStore, Verdict> {
    let mut store = RootCertStore::empty();
    for pem in roots {
        let root = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| judge("reading the trust bundle", &error))?;
        store.add(root).map_err(|error| judge("reading the trust bundle", &error))?;
    }
    // Without roots there is nobody to trust, and nothing is sent.
    if store.is_empty() {
        return Err(Verdict::Untrusted { what: "the trust bundle is empty".into() });
    }
    Ok(store)
}

#[derive(Debug)]
struct Stranger {
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct AnyHour {
    inner: Arc<WebPkiServerVerifier>,
    floor: u64,
}

impl ServerCertVerifier for Stranger {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyHour {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let at =
            |hour| self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, hour);
        let error = match at(now) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        let hour = match &error {
            Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })
                if not_after.as_secs() >= self.floor =>
            {
                *not_after
            }
            Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => *not_before,
            _ => return Err(error),
        };
        at(hour)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

//! What a failed connection means.
//!
//! A failure of the network or of TLS never says anything about the identity: it is "later", "not our server", or
//! "our certificate is not taken".

use std::error::Error;
use std::io;

use muster_agent_core::Verdict;
use rustls::{AlertDescription, CertificateError};

/// Judges an error by what lies at its root.
pub(crate) fn judge(doing: &str, error: &(dyn Error + 'static)) -> Verdict {
    let what = format!("{doing}: {}", sentence(error));
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Verdict::ClockOff { what },
            _ => Verdict::Untrusted { what },
        },
        Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
            Verdict::CertificateRefused
        }
        Some(
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | rustls::Error::InvalidMessage(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::PeerIncompatible(_)
            | rustls::Error::PeerMisbehaved(_)
            | rustls::Error::NoApplicationProtocol
            | rustls::Error::General(_),
        ) => Verdict::Untrusted { what },
        _ => Verdict::later(what),
    }
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
    )
}

fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error hides what it wraps from source() and shows it here.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The error and its causes in one line, without repetitions.
fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(error: rustls::Error) -> Verdict {
        judge("connecting", &io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn q_14_failures_of_the_network_never_say_more_than_they_can() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(matches!(judge("connecting", &refused), Verdict::Later { .. }));
        let name = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        assert!(matches!(wrapped(name), Verdict::Untrusted { .. }));
        let issuer = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert!(matches!(wrapped(issuer), Verdict::Untrusted { .. }));
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert!(matches!(wrapped(expired), Verdict::ClockOff { .. }));
        for alert in [AlertDescription::CertificateExpired, AlertDescription::CertificateRevoked] {
            assert_eq!(wrapped(rustls::Error::AlertReceived(alert)), Verdict::CertificateRefused);
        }
        let internal = rustls::Error::AlertReceived(AlertDescription::InternalError);
        assert!(matches!(wrapped(internal), Verdict::Later { .. }));
    }
}

//! `muster caller`: whoever calls machines that serve others, as the hosts of wrenn do.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use data_encoding::BASE64;
use jiff::Timestamp;
use muster_issuer::{OwnKey, files};
use muster_wire::caller::{CertifiedCaller, CertifyCaller};
use serde::Serialize;

use crate::compose::unusable;
use crate::context::Context;
use crate::durations::parse_seconds;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, relative};

/// A certification request is shorter.
const MAX_REQUEST: u64 = 64 * 1024;

/// Callers of machines that serve others.
#[derive(Debug, Subcommand)]
pub(crate) enum Caller {
    /// Get the certificate by which a program may call hosts. Again, for the next one of the same key.
    Certify(Certify),
}

/// For whom, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct Certify {
    /// Who calls, as hosts see it in the certificate.
    #[arg(value_name = "NAME")]
    name: String,
    /// A directory: NAME.key is made there where it is missing, NAME.crt and hosts-ca.crt are written anew.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A certification request (PEM or DER) of a key that is kept elsewhere; then no key is made.
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// How long it is good for (15m, 24h, 7d at most); a day where nothing is said.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    expires: Option<u32>,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    name: String,
    serial: String,
    expires_at: Timestamp,
    certificate: PathBuf,
    /// Where the key is, unless it is kept elsewhere.
    key: Option<PathBuf>,
    authorities: PathBuf,
}

/// Runs `muster caller`.
pub(crate) async fn run(context: &Context, verb: Caller) -> Result {
    let Caller::Certify(args) = verb;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if args.name.starts_with('.') || !args.name.chars().all(plain) {
        return Err(Failure::usage("a name is letters, digits, `-`, `_` and `.`, and begins with no dot"));
    }
    let client = context.client().await?;
    if !args.out.exists() {
        files::make_dir(&args.out).map_err(unusable)?;
    }
    let place = |end: &str| args.out.join(format!("{}.{end}", args.name));
    let (key, csr) = match &args.csr {
        Some(file) => (None, given(file)?),
        None => (Some(place("key")), own(&place("key"))?),
    };
    let request =
        CertifyCaller { name: args.name.clone(), csr: BASE64.encode(&csr), expires_in: args.expires };
    let made = client.certify_caller(&request).await?;
    let (certificate, authorities) = (place("crt"), args.out.join("hosts-ca.crt"));
    files::replace(&authorities, made.authorities.as_bytes()).map_err(unusable)?;
    files::replace(&certificate, made.certificate.as_bytes()).map_err(unusable)?;
    let CertifiedCaller { name, serial, expires_at, .. } = made;
    context.out.show(&Written { name, serial, expires_at, certificate, key, authorities })
}

/// The request of the key in this file, which is made first where it is missing.
fn own(path: &Path) -> Result<Vec<u8>> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Config, format!("{} cannot be used as a key", path.display())).because(error)
    };
    let key = OwnKey::at(path).map_err(|error| failed(&error))?;
    key.request().map_err(|error| failed(&error))
}

/// A request that somebody else made.
fn given(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let unread = |error: &std::io::Error| {
        Failure::new(Exit::Config, format!("{} cannot be read", path.display())).because(error)
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| unread(&error))?;
    file.take(MAX_REQUEST).read_to_end(&mut bytes).map_err(|error| unread(&error))?;
    Ok(from_pem(&bytes).unwrap_or(bytes))
}

/// The bytes between the lines of a PEM block (RFC 7468). What is none is taken as it is, and the server says what is wrong.
fn from_pem(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once("CERTIFICATE REQUEST-----")?;
    let (body, _) = rest.split_once("-----END")?;
    let packed: String = body.split_whitespace().collect();
    BASE64.decode(packed.as_bytes()).ok()
}

impl Human for Written {
    fn human(&self, now: Timestamp) -> String {
        let shown = |path: &Path| path.display().to_string();
        details([
            ("name", self.name.clone()),
            ("serial", self.serial.clone()),
            ("expires", relative(now, self.expires_at)),
            ("certificate", shown(&self.certificate)),
            ("key", self.key.as_deref().map_or_else(|| "kept elsewhere".to_owned(), shown)),
            ("hosts' CA", shown(&self.authorities)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_as_pem_of_either_name_and_as_der() {
        for label in ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"] {
            let pem = format!("-----BEGIN {label}-----\nAAEC\nAwQF\n-----END {label}-----\n");
            assert_eq!(from_pem(pem.as_bytes()), Some(vec![0, 1, 2, 3, 4, 5]), "{label}");
        }
        assert_eq!(from_pem(&[0x30, 0x82, 0xff]), None);
        assert_eq!(from_pem(b"-----BEGIN CERTIFICATE REQUEST-----\n?\n-----END"), None);
    }
}

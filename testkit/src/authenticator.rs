//! The device in a pocket that shows codes.

use muster_model::Timestamp;
use totp_rs::{Builder, Secret};

/// What an authenticator shows at this time that took this key, as it is typed (RFC 6238: SHA-1, six digits, 30 s).
///
/// # Panics
/// For what is no key of twenty bytes in base32.
pub fn code(key: &str, at: Timestamp) -> String {
    let key = data_encoding::BASE32_NOPAD.decode(key.as_bytes()).expect("base32");
    let secret = Secret::new_stack(key.try_into().expect("twenty bytes"));
    let authenticator = Builder::new().with_secret(secret).build().expect("its own settings are good");
    let second = u64::try_from(at.as_second()).expect("after 1970");
    authenticator.generate(second).to_string()
}

//! The address of a server, as an invite or a person gives it.

use http::Uri;
use rustls_pki_types::ServerName;

/// `https://host:port`, perhaps with a path prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) prefix: String,
}

impl Endpoint {
    /// Reads one, or says why not.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.trim().parse().map_err(|error| format!("the address is not a URL ({error})"))?;
        if uri.scheme_str() != Some("https") {
            return Err("the address does not start with https://".into());
        }
        let authority = uri.authority().ok_or("the address names no host")?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err("the address holds more than host, port and path".into());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let endpoint = Self {
            host,
            port: uri.port_u16().unwrap_or(443),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        };
        endpoint.server_name()?;
        Ok(endpoint)
    }

    /// The name that the server's certificate must be for.
    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, String> {
        ServerName::try_from(self.host.clone()).map_err(|error| format!("the host is not a name ({error})"))
    }

    /// The `Host` header.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_port_prefix_and_ipv6() {
        let parse = |url| Endpoint::parse(url).expect("an address");
        assert_eq!(parse("https://a.example").authority(), "a.example:443");
        assert_eq!(parse("https://[::1]:8443/m/").authority(), "[::1]:8443");
        assert_eq!(parse("https://[::1]:8443/m/").prefix, "/m");
        assert_eq!(parse("https://127.0.0.1:8443").prefix, "");
    }

    #[test]
    fn q_43_anything_but_a_plain_https_address_is_refused() {
        for url in ["http://a", "a:443", "https://", "https://u:p@a", "https://a/?q=1", "", "https://a b"] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }
}

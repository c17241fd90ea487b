//! An address range in CIDR notation (RFC 4632, RFC 4291 §2.3), as operators write it. A bare address is the
//! range of itself; host bits below the prefix are refused, because they are nearly always a slip.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// A text that is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CidrError {
    /// Not `address` or `address/prefix`.
    #[error("is not an address range such as 10.0.0.0/8 or 2001:db8::/32")]
    Form,
    /// The prefix is longer than the address.
    #[error("has a prefix longer than its address")]
    Prefix,
    /// Bits below the prefix are set.
    #[error("has bits set below its prefix")]
    HostBits,
}

impl Cidr {
    /// Whether the range holds the address; a v4 address mapped into v6 counts as v4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.prefix) == self.network
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().or(Err(CidrError::Form))?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().or(Err(CidrError::Form))?
            }
            Some(_) => return Err(CidrError::Form),
        };
        if prefix > width {
            return Err(CidrError::Prefix);
        }
        if masked(network, prefix) != network {
            return Err(CidrError::HostBits);
        }
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// The address with everything below `prefix` cleared.
pub fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_edges_and_not_their_neighbours() {
        let cases = [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ];
        for (range, address, held) in cases {
            let range: Cidr = range.parse().expect("a range");
            assert_eq!(range.contains(address.parse().expect("an address")), held, "{range} {address}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let cases = [
            ("", CidrError::Form),
            ("10.0.0.0/", CidrError::Form),
            ("10.0.0.0/+8", CidrError::Form),
            ("10.0.0.0/33", CidrError::Prefix),
            ("::/129", CidrError::Prefix),
            ("10.0.0.0/999", CidrError::Form),
            ("10.0.0.1/8", CidrError::HostBits),
            ("fe80::1%eth0/64", CidrError::Form),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Cidr>(), Err(error), "{text}");
        }
    }
}

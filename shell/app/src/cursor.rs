//! Cursors of lists: where a page ended, sealed with a MAC and bound to the query and the caller.

use data_encoding::BASE64URL_NOPAD;
use muster_model::Pepper;
use muster_store::PageRequest;
use subtle::ConstantTimeEq;

use crate::error::Error;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
const MAC: usize = 16;

/// What a cursor is bound to: the list, its filters, and who asks.
pub(crate) struct Binding<'a> {
    pub(crate) pepper: &'a Pepper,
    pub(crate) query: String,
}

impl Binding<'_> {
    /// The page that a query asks for.
    pub(crate) fn page(&self, cursor: Option<&str>, limit: Option<u32>) -> Result<PageRequest, Error> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::field("limit", format!("is not between 1 and {MAX_LIMIT}")));
        }
        let after = cursor.map(|cursor| self.open(cursor).ok_or_else(wrong_cursor)).transpose()?;
        Ok(PageRequest { after, limit })
    }

    /// The cursor to go on after this key.
    pub(crate) fn seal(&self, after: [u8; 16]) -> String {
        let mut bytes = after.to_vec();
        bytes.extend_from_slice(&self.mac(&after)[..MAC]);
        BASE64URL_NOPAD.encode(&bytes)
    }

    fn open(&self, cursor: &str) -> Option<[u8; 16]> {
        let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
        let (after, mac) = bytes.split_at_checked(16)?;
        let after: [u8; 16] = after.try_into().ok()?;
        bool::from(mac.ct_eq(&self.mac(&after)[..MAC])).then_some(after)
    }

    fn mac(&self, after: &[u8; 16]) -> [u8; 32] {
        self.pepper.mac(&[b"cursor", self.query.as_bytes(), after]).0
    }
}

fn wrong_cursor() -> Error {
    Error::field("cursor", "is not a cursor of this list: start again without one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(pepper: &Pepper, query: &str) -> String {
        Binding { pepper, query: query.to_owned() }.seal([7; 16])
    }

    #[test]
    fn q_40_a_cursor_opens_only_the_query_it_came_from() {
        let pepper = Pepper::new([1; 32]);
        let cursor = binding(&pepper, "machines|usr_a|state=active");
        let page =
            |query: &str| Binding { pepper: &pepper, query: query.to_owned() }.page(Some(&cursor), None);
        assert_eq!(page("machines|usr_a|state=active").expect("its own").after, Some([7; 16]));
        for other in ["machines|usr_b|state=active", "machines|usr_a|state=retired", "grants|usr_a"] {
            assert!(matches!(page(other), Err(Error::Malformed(_))), "{other}");
        }
    }

    #[test]
    fn limits_are_held_at_their_edges() {
        let pepper = Pepper::new([1; 32]);
        let page = |limit| Binding { pepper: &pepper, query: String::new() }.page(None, Some(limit)).is_ok();
        assert_eq!([page(0), page(1), page(MAX_LIMIT), page(MAX_LIMIT + 1)], [false, true, true, false]);
    }
}

//! The files of the pages: ours, and those of others as they were published, each with its hash in `assets/VENDOR.toml`.
//!
//! The address of a file holds its hash: a browser keeps it for good, and asks for another one when it changes.

use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// A file of the pages.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its name below `/assets/`.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($name:literal: $media_type:expr),+ $(,)?) => {
        &[$(Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("../assets/", $name)) }),+]
    };
}

/// Every file.
pub const ASSETS: &[Asset] = assets! {
    "act.js": JS,
    "bulk.js": JS,
    "charts.js": JS,
    "console.css": CSS,
    "engage.js": JS,
    "htmx.min.js": JS,
    "hx-sse.min.js": JS,
    "icon.svg": SVG,
    "keys.js": JS,
    "live.js": JS,
    "login.js": JS,
    "search.js": JS,
    "uplot.iife.min.js": JS,
    "uplot.min.css": CSS,
};

/// The addresses of the files, in their order.
static ADDRESSES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let address = |asset: &Asset| {
        let hash = HEXLOWER.encode(&Sha256::digest(asset.bytes)[..6]);
        format!("/assets/{}?v={hash}", asset.name)
    };
    ASSETS.iter().map(address).collect()
});

/// The address of a file.
///
/// # Panics
/// Where there is no such file: a template names one that is not in [`ASSETS`].
pub fn address(name: &str) -> &'static str {
    let at = ASSETS.iter().position(|asset| asset.name == name);
    &ADDRESSES[at.unwrap_or_else(|| panic!("{name} is not among the files of the pages"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not ours is what its makers published, byte for byte.
    #[test]
    fn files_of_others_are_what_their_makers_published() {
        let vendor = include_str!("../assets/VENDOR.toml");
        let mut known = 0;
        for block in vendor.split("[[file]]").skip(1) {
            let value = |key: &str| {
                let line = block.lines().find(|line| line.starts_with(key)).expect("every key is there");
                line.split('"').nth(1).expect("in quotes").to_owned()
            };
            let asset = ASSETS.iter().find(|asset| asset.name == value("name")).expect("it is served");
            assert_eq!(HEXLOWER.encode(&Sha256::digest(asset.bytes)), value("sha256"), "{}", asset.name);
            known += 1;
        }
        assert_eq!(known, ASSETS.iter().filter(|asset| asset.name.contains(".min.")).count());
    }

    #[test]
    fn an_address_changes_with_what_is_in_the_file() {
        let css = address("console.css");
        assert!(css.starts_with("/assets/console.css?v=") && css.len() > 30, "{css}");
    }
}

//! The hardware id: a stable hint that two enrollments come from one piece of hardware.
//!
//! `hw_` and the SHA-256 of a namespaced, normalised signal. The signal itself never leaves this file; where it is
//! from is reported. Never authority: the key is.

use std::path::Path;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use muster_model::HardwareId;
use muster_model::text::TextError;
use sha2::{Digest, Sha256};

const NAMESPACE: &[u8] = b"muster-hardware-v1";
/// A UUID that several makers put on every board.
const SHARED_UUID: &str = "03000200040005000006000700080009";
const FILLERS: &[&str] = &[
    "to be filled by o.e.m.",
    "default string",
    "not specified",
    "not applicable",
    "system serial number",
    "base board serial number",
    "none",
    "n/a",
    "unknown",
    "oem",
];

/// Which hardware id to enroll with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HardwareMode {
    /// From the hardware.
    #[default]
    Auto,
    /// None: for containers and for several agents on one host.
    None,
    /// This one.
    Value(HardwareId),
}

/// A hardware id and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The id, if there is one.
    pub id: Option<HardwareId>,
    /// `smbios_uuid`, `board_and_disk`, `machine_id`, `operator` or `none`.
    pub source: &'static str,
}

impl FromStr for HardwareMode {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            value => value.parse().map(Self::Value),
        }
    }
}

impl std::fmt::Display for HardwareMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Value(id) => write!(f, "{id}"),
        }
    }
}

impl HardwareMode {
    /// The id on the machine whose files are below `root` (`/` for this one).
    pub fn signal(&self, root: &Path) -> Signal {
        match self {
            Self::None => Signal { id: None, source: "none" },
            Self::Value(id) => Signal { id: Some(id.clone()), source: "operator" },
            Self::Auto => {
                let found = smbios_uuid(root).or_else(|| board_and_disk(root)).or_else(|| machine_id(root));
                found.unwrap_or(Signal { id: None, source: "none" })
            }
        }
    }
}

fn smbios_uuid(root: &Path) -> Option<Signal> {
    let text = read(root, "sys/class/dmi/id/product_uuid")?;
    let uuid: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let placeholder = uuid == SHARED_UUID || is_one_character(&uuid);
    (uuid.len() == 32 && !placeholder).then(|| signal("smbios_uuid", &uuid))
}

fn board_and_disk(root: &Path) -> Option<Signal> {
    let board = serial(read(root, "sys/class/dmi/id/board_serial")?)?;
    let disk = disk_serial(root)?;
    Some(signal("board_and_disk", &format!("{board}\0{disk}")))
}

fn machine_id(root: &Path) -> Option<Signal> {
    let id = read(root, "etc/machine-id")?;
    (id.len() == 32 && !is_one_character(&id)).then(|| signal("machine_id", &id))
}

/// The serial of the first fixed disk, by name of the device.
fn disk_serial(root: &Path) -> Option<String> {
    let entries = std::fs::read_dir(root.join("sys/block")).ok()?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let fixed = |name: &&String| read(root, &format!("sys/block/{name}/removable")).as_deref() != Some("1");
    names.iter().filter(fixed).find_map(|name| {
        let places = [format!("sys/block/{name}/serial"), format!("sys/block/{name}/device/serial")];
        places.iter().find_map(|place| serial(read(root, place)?))
    })
}

fn serial(text: String) -> Option<String> {
    (text.len() >= 4 && !FILLERS.contains(&text.as_str()) && !is_one_character(&text)).then_some(text)
}

fn is_one_character(text: &str) -> bool {
    let mut chars = text.chars().filter(|c| *c != '-');
    let first = chars.next();
    chars.all(|c| Some(c) == first)
}

/// A small file, trimmed and in lower case; nothing where it is missing, unreadable or empty.
fn read(root: &Path, path: &str) -> Option<String> {
    let text = std::fs::read_to_string(root.join(path)).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_ascii_lowercase();
    (!text.is_empty() && text.len() <= 256).then_some(text)
}

fn signal(source: &'static str, value: &str) -> Signal {
    let mut hash = Sha256::new();
    for part in [NAMESPACE, b"\0", source.as_bytes(), b"\0", value.as_bytes()] {
        hash.update(part);
    }
    let text = format!("hw_{}", HEXLOWER.encode(&hash.finalize()));
    let id = text.parse().expect("a prefix and hexadecimal digits are always a hardware id");
    Signal { id: Some(id), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "4C4C4544-0042-3510-8052-B4C04F4E3332\n";

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        root
    }

    fn auto(files: &[(&str, &str)]) -> Signal {
        HardwareMode::Auto.signal(machine(files).path())
    }

    const DMI: &str = "sys/class/dmi/id/product_uuid";
    const BOARD: &str = "sys/class/dmi/id/board_serial";

    #[test]
    fn the_smbios_uuid_is_hashed_and_its_spelling_does_not_matter() {
        let one = auto(&[(DMI, UUID)]);
        let same = auto(&[(DMI, &UUID.to_lowercase().replace('-', ""))]);
        assert_eq!(one, same);
        let id = one.id.expect("an id").to_string();
        assert!(id.starts_with("hw_") && id.len() == 67 && !id.contains("4c4c4544"), "{id}");
        assert_eq!(one.source, "smbios_uuid");
    }

    #[test]
    fn placeholders_fall_through_to_the_next_signal() {
        let zeros = "00000000-0000-0000-0000-000000000000";
        let effs = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";
        let shared = "03000200-0400-0500-0006-000700080009";
        let disk = ("sys/block/sda/device/serial", "S3Z8NB0K");
        let id = ("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        for uuid in [zeros, effs, shared, "", "x"] {
            assert_eq!(auto(&[(DMI, uuid), (BOARD, "PF1234"), disk, id]).source, "board_and_disk", "{uuid}");
            assert_eq!(auto(&[(DMI, uuid), (BOARD, "Default string"), disk, id]).source, "machine_id");
            assert_eq!(auto(&[(DMI, uuid), (BOARD, "PF1234"), id]).source, "machine_id");
        }
        assert_eq!(auto(&[]), Signal { id: None, source: "none" });
    }

    #[test]
    fn a_removable_disk_is_no_signal() {
        let usb = [("sys/block/sda/removable", "1"), ("sys/block/sda/device/serial", "USB12345")];
        let fixed = [("sys/block/sdb/removable", "0"), ("sys/block/sdb/device/serial", "S3Z8NB0K")];
        let with = auto(&[usb[0], usb[1], fixed[0], fixed[1], (BOARD, "PF1234")]);
        assert_eq!(with, auto(&[fixed[0], fixed[1], (BOARD, "PF1234")]));
    }

    #[test]
    fn modes_are_read_and_written() {
        for text in ["auto", "none", "rack-7"] {
            assert_eq!(text.parse::<HardwareMode>().map(|mode| mode.to_string()), Ok(text.to_owned()));
        }
        assert!("a b".parse::<HardwareMode>().is_err());
    }
}

//! The directory of an agent, with files in it as somebody left them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;

use data_encoding::BASE64_MIME;
use muster_testkit::world::Device;

/// A private directory, in memory where the system has a place for that.
pub(crate) fn directory() -> tempfile::TempDir {
    let private = fs::Permissions::from_mode(0o700);
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let builder = builder.permissions(private).prefix("muster-fuzz");
    let made = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
    made.expect("a temporary directory")
}

/// What an agent with one key has beside what the input says, and what may be named in it: `{key-a}` and its like.
static KNOWN: LazyLock<[(&'static str, String); 4]> = LazyLock::new(|| {
    let [one, two] = [Device::new("one"), Device::new("two")];
    let certificate = |device: &Device| {
        let params = rcgen_params();
        let der = params.self_signed(&device.key).expect("a certificate");
        let text = BASE64_MIME.encode(der.der());
        format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", text.replace('\r', ""))
    };
    [
        ("key-a.pem", one.key.serialize_pem()),
        ("key-b.pem", two.key.serialize_pem()),
        ("certificate-a.pem", certificate(&one)),
        ("certificate-b.pem", certificate(&two)),
    ]
});

fn rcgen_params() -> rcgen::CertificateParams {
    rcgen::CertificateParams::new(Vec::new()).expect("no names")
}

const NAMES: [&str; 9] = [
    "identity.json",
    "rotation.json",
    "pending.json",
    "ended.json",
    "status.json",
    "key-a.pem",
    "key-b.pem",
    "certificate-a.pem",
    "certificate-b.pem",
];

pub(crate) fn agent(bytes: &[u8]) {
    let home = written(bytes);
    let before = listed(home.path());
    match muster_agent::status(home.path()) {
        Ok(status) => {
            assert!(serde_json::to_string(&status).is_ok());
            holds_no_key(&format!("{status:?}"));
        }
        Err(error) => holds_no_key(&format!("{error} {error:?}")),
    }
    assert_eq!(listed(home.path()), before, "looking changes nothing");
}

/// `=== name` begins a file; a key or a certificate in braces is put in place.
fn written(bytes: &[u8]) -> tempfile::TempDir {
    let home = directory();
    for part in String::from_utf8_lossy(bytes).split("=== ").skip(1).take(NAMES.len()) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        let Some(name) = NAMES.iter().find(|known| **known == name.trim()) else { continue };
        let text = KNOWN.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{}}}", name.trim_end_matches(".pem")), value)
        });
        let path = home.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("private");
    }
    home
}

fn holds_no_key(text: &str) {
    for (_, pem) in KNOWN.iter().take(2) {
        let line = pem.lines().nth(1).expect("a line of it");
        assert!(!text.contains(line), "a key is shown: {text}");
    }
}

fn listed(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("a directory").flatten();
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap_or_default())).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{corpus, target};

    #[test]
    fn the_corpus_has_an_agent_in_each_state() {
        let inputs = corpus::inputs(target("agent-files").expect("a target")).expect("its corpus");
        let states: std::collections::BTreeSet<String> = inputs
            .iter()
            .filter_map(|(_, bytes)| {
                let home = written(bytes);
                muster_agent::status(home.path()).ok().map(|status| status.state)
            })
            .collect();
        assert!(["active", "waiting", "ended"].iter().all(|state| states.contains(*state)), "{states:?}");
    }
}

//! The directory and the files in it: there, ours, for nobody else, and whole.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::report::Check;
use crate::compose::home;

const DIRECTORY: &str = "data directory";
const MODES: &str = "modes and owners";
const WHOLE: &str = "files";
const CLOCK: &str = "clock";
const RESTORE: &str = "restore it from a backup; it is never made anew by itself";
const PEPPER: u64 = 32;
const MAX_FILES: usize = 2_000;
const MAX_DEPTH: usize = 4;
const LEEWAY: Duration = Duration::from_secs(60);

/// Whether the directory is there, ours, and closed to others.
pub(super) fn directory(dir: &Path) -> Check {
    let shown = dir.display();
    let found = match dir.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::fail(
                DIRECTORY,
                format!("{shown} does not exist"),
                "name another one with --data-dir, or make one with `muster up`",
            );
        }
        Err(error) => {
            return Check::fail(
                DIRECTORY,
                format!("{shown} cannot be looked at"),
                "run it as the user who runs Muster, or as root",
            )
            .because(error.to_string());
        }
    };
    if !found.is_dir() {
        return Check::fail(
            DIRECTORY,
            format!("{shown} is not a directory"),
            "name another one with --data-dir",
        );
    }
    match closed(&found) {
        Ok(()) => Check::ok(DIRECTORY, format!("{shown} exists, mode 0700")),
        Err(cause) => {
            Check::fail(DIRECTORY, format!("{shown} is open to others"), format!("chmod 0700 {shown}"))
                .because(cause)
        }
    }
}

/// Whether everything below is closed to others and of one owner: ourselves, unless a server runs as another.
pub(super) fn modes(dir: &Path, running: bool) -> Check {
    let Ok(top) = dir.symlink_metadata() else {
        return Check::fail(MODES, "there is no directory to look at", "see above");
    };
    let me = rustix::process::geteuid().as_raw();
    let owner = if running && me == 0 { top.uid() } else { me };
    for (path, found) in everything(dir) {
        let shown = path.display();
        if found.uid() != owner {
            let fix = format!("chown -R {owner} {}, or run Muster as user {}", dir.display(), found.uid());
            return Check::fail(MODES, format!("{shown} has the wrong owner"), fix)
                .because(format!("it belongs to user {}, not to {owner}", found.uid()));
        }
        // The mode of the directory itself is a check of its own.
        if let Some(cause) = closed(&found).err().filter(|_| path != dir) {
            let mode = if found.is_dir() { "0700" } else { "0600" };
            return Check::fail(
                MODES,
                format!("{shown} has the wrong mode"),
                format!("chmod {mode} {shown}"),
            )
            .because(cause);
        }
    }
    Check::ok(MODES, "nobody else can reach them")
}

/// Whether every file that must hold something can be read and holds all of it.
pub(super) fn whole(dir: &Path) -> Check {
    let mut seen = 0;
    for (path, found) in everything(dir).into_iter().filter(|(_, found)| found.is_file()) {
        if let Err(cause) = intact(&path, found.len()) {
            return Check::fail(WHOLE, format!("{} is damaged", path.display()), RESTORE).because(cause);
        }
        seen += 1;
    }
    Check::ok(WHOLE, format!("{seen} files are readable and whole"))
}

/// Whether the files of a server are whole, by the rule of its start; where it cannot be asked, by what each should be.
pub(super) fn whole_server(dir: &Path, running: bool) -> Check {
    let check = whole(dir);
    // Files of another user, or open to others: the start would stop there, and that has a check of its own.
    if !check.passed() || !all_ours(dir) {
        return check;
    }
    match home::inspect(dir) {
        Ok(()) => check,
        Err(_) if home::is_sealed_elsewhere(dir) && running => check,
        Err(failure) if home::is_sealed_elsewhere(dir) => {
            let fix = "where the service manager gives the seal key, all is well; else restore ca/seal.key from a backup";
            Check::warn(WHOLE, "the keys below ca are sealed under a key that is not here", fix)
                .because(failure.why())
        }
        Err(failure) => {
            let check = Check::of(WHOLE, &failure);
            Check { fix: check.fix.or_else(|| Some(RESTORE.to_owned())), ..check }
        }
    }
}

fn all_ours(dir: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    everything(dir).iter().all(|(_, found)| found.uid() == me && closed(found).is_ok())
}

/// Files that were written after now tell that this clock is behind.
pub(super) fn not_from_the_future(dir: &Path, now: Timestamp) -> Check {
    let newest = everything(dir).into_iter().map(|(path, found)| (found.mtime(), path)).max();
    match newest {
        Some((written, path)) if written > now.as_second() + LEEWAY.as_secs() as i64 => {
            let ahead =
                crate::durations::show(Duration::from_secs((written - now.as_second()).unsigned_abs()));
            Check::fail(CLOCK, "this machine's clock is behind", "set the clock (timedatectl set-ntp true)")
                .because(format!("{} was written {ahead} in the future", path.display()))
        }
        _ => Check::ok(
            CLOCK,
            format!("{} is not before what was written last", now.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ),
    }
}

fn closed(found: &Metadata) -> Result<(), String> {
    let mode = found.mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(format!("its mode is {mode:04o}: others can reach it")) }
}

/// Everything below a directory, the directory first; bounded. The socket admits whom the server lets in.
fn everything(dir: &Path) -> Vec<(PathBuf, Metadata)> {
    use std::os::unix::fs::FileTypeExt;
    let mut found = Vec::new();
    let mut ahead = vec![(dir.to_owned(), 0)];
    while let Some((path, depth)) = ahead.pop() {
        let Ok(about) = path.symlink_metadata() else { continue };
        if about.file_type().is_socket() || about.is_symlink() || found.len() >= MAX_FILES {
            continue;
        }
        if about.is_dir() && depth < MAX_DEPTH {
            let below = std::fs::read_dir(&path).into_iter().flatten().flatten();
            ahead.extend(below.map(|entry| (entry.path(), depth + 1)));
        }
        found.push((path, about));
    }
    found
}

/// What is wrong with a file, judged by what its name promises.
fn intact(path: &Path, length: u64) -> Result<(), String> {
    const MAX: u64 = 1024 * 1024;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let start = || read_start(path, MAX.min(length));
    match (name, extension) {
        (_, "lock") | (_, "tmp") => Ok(()),
        (name, _) if name.contains("-wal") || name.contains("-shm") || name.contains(".retired-") => Ok(()),
        (_, "db") => database(&read_start(path, 16)?),
        (_, "json") => serde_json::from_slice::<serde_json::Value>(&start()?)
            .map(drop)
            .map_err(|error| format!("it is not whole JSON: {error}")),
        (_, "pem" | "key" | "crt") => pem(&start()?),
        ("pepper", _) if length != PEPPER => Err(format!("it holds {length} bytes and not {PEPPER}")),
        _ if length == 0 => Err("it is empty".to_owned()),
        _ => start().map(drop),
    }
}

fn read_start(path: &Path, length: u64) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(length).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("it cannot be read: {error}"))
}

fn database(start: &[u8]) -> Result<(), String> {
    if start == b"SQLite format 3\0" {
        Ok(())
    } else {
        Err("it does not start like an SQLite database".to_owned())
    }
}

/// RFC 7468 §2: every block that begins also ends.
fn pem(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    let (begins, ends) = (text.matches("-----BEGIN ").count(), text.matches("-----END ").count());
    let complete = text.trim_end().ends_with("-----");
    if begins > 0 && begins == ends && complete {
        Ok(())
    } else {
        Err("it is not whole PEM: it was cut".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::commands::doctor::report::Status;

    struct Temp(PathBuf);

    impl Temp {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("muster-doctor-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&dir).expect("a temporary directory");
            let temp = Self(dir);
            temp.mode("", 0o700);
            temp
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).expect("writable");
            self.mode(name, 0o600);
        }

        fn mode(&self, name: &str, mode: u32) {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(self.0.join(name), permissions).expect("ours");
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn a_directory_that_is_missing_or_open_is_named_with_its_mode() {
        let temp = Temp::new("dir");
        assert_eq!(directory(&temp.0).status, Status::Ok);
        temp.mode("", 0o755);
        let check = directory(&temp.0);
        assert_eq!(check.status, Status::Fail);
        assert!(check.cause.expect("a cause").contains("0755"));
        assert!(directory(Path::new("/nonexistent")).message.contains("does not exist"));
    }

    #[test]
    fn a_file_that_others_can_read_is_named() {
        let temp = Temp::new("modes");
        temp.write("pepper", "x");
        assert_eq!(modes(&temp.0, false).status, Status::Ok);
        temp.mode("pepper", 0o640);
        let check = modes(&temp.0, false);
        assert!(check.message.contains("pepper") && check.fix.expect("a fix").contains("chmod 0600"));
    }

    #[test]
    fn truncated_files_of_every_kind_are_found() {
        let whole_pem = "-----BEGIN X-----\nAAAA\n-----END X-----\n";
        for (name, good, cut) in [
            ("identity.json", "{\"a\": 1}", "{\"a\": "),
            ("key-a.pem", whole_pem, &whole_pem[..30]),
            ("muster.db", "SQLite format 3\0rest", "SQLite for"),
            ("pepper", &"x".repeat(32), &"x".repeat(31)),
            ("issuing.key", whole_pem, &whole_pem[..30]),
            ("root-a.crt", whole_pem, &whole_pem[..30]),
            ("founded", "x", ""),
        ] {
            let temp = Temp::new(&format!("whole-{name}"));
            temp.write(name, good);
            assert_eq!(whole(&temp.0).status, Status::Ok, "{name}");
            temp.write(name, cut);
            let check = whole(&temp.0);
            assert!(check.status == Status::Fail && check.message.contains(name), "{check:?}");
        }
    }

    /// A server's files as a start makes them, without a database that would have to be opened.
    fn server(name: &str) -> Temp {
        let temp = Temp::new(name);
        std::fs::remove_dir(&temp.0).expect("still empty");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let opened = runtime.block_on(home::Home::open(&temp.0, &crate::config::Config::default()));
        drop(opened.expect("founded"));
        assert_eq!(whole_server(&temp.0, false).status, Status::Ok);
        temp
    }

    #[test]
    fn every_file_that_a_start_would_refuse_is_found() {
        let temp = server("server");
        for name in [
            "pepper",
            "ca/seal.key",
            "ca/issuing.key",
            "ca/issuing.crt",
            "ca/root-a.key",
            "ca/root-b.crt",
            "ca/callers.key",
            "ca/callers.crt",
            "ca/jwt.key",
        ] {
            let path = temp.0.join(name);
            let kept = std::fs::read(&path).expect("ours");
            std::fs::write(&path, &kept[..kept.len() * 2 / 3]).expect("ours");
            let check = whole_server(&temp.0, false);
            assert!(check.status == Status::Fail && format!("{check:?}").contains(name), "{check:?}");
            assert!(check.fix.is_some(), "{check:?}");
            std::fs::write(&path, kept).expect("ours");
        }
    }

    #[test]
    fn keys_that_are_whole_pem_and_do_not_fit_are_found_and_so_is_what_is_gone() {
        let temp = server("fit");
        let swap = |a: &str, b: &str| {
            let (a, b) = (temp.0.join(a), temp.0.join(b));
            let kept = std::fs::read(&a).expect("ours");
            std::fs::copy(&b, &a).expect("ours");
            move || std::fs::write(&a, kept).expect("ours")
        };
        let restore = swap("ca/root-a.key", "ca/root-b.key");
        let check = whole_server(&temp.0, false);
        assert!(check.status == Status::Fail && format!("{check:?}").contains("root-a.key"), "{check:?}");
        restore();
        std::fs::remove_file(temp.0.join("ca/jwt.key")).expect("ours");
        let check = whole_server(&temp.0, true);
        assert!(check.status == Status::Fail && format!("{check:?}").contains("jwt.key"), "{check:?}");
    }

    #[test]
    fn a_seal_key_that_only_the_service_has_is_no_damage() {
        let temp = server("sealed");
        std::fs::remove_file(temp.0.join("ca/seal.key")).expect("ours");
        assert_eq!(whole_server(&temp.0, true).status, Status::Ok);
        assert_eq!(whole_server(&temp.0, false).status, Status::Warn);
    }

    #[test]
    fn lock_and_log_files_may_be_empty() {
        let temp = Temp::new("empty");
        for name in ["muster.lock", "agent.lock", "muster.db-wal", "muster.db-shm"] {
            temp.write(name, "");
        }
        assert_eq!(whole(&temp.0).status, Status::Ok);
    }

    #[test]
    fn q_16_a_clock_before_the_last_write_is_off() {
        let temp = Temp::new("clock");
        temp.write("pepper", "x");
        let written = temp.0.metadata().expect("there").mtime();
        let at = |second| Timestamp::from_second(second).expect("in range");
        assert_eq!(not_from_the_future(&temp.0, at(written)).status, Status::Ok);
        assert_eq!(not_from_the_future(&temp.0, at(written - 3600)).status, Status::Fail);
    }
}

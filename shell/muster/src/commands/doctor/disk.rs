//! Whether there is room to write. A server without room answers writes with 503 and goes on reading.

use std::path::Path;

use rustix::fs::{StatVfs, statvfs};

use super::report::Check;

const MIB: u64 = 1024 * 1024;
const NAME: &str = "disk";

/// Looks at the file system that holds the directory.
pub(super) fn check(dir: &Path) -> Check {
    match statvfs(dir) {
        Ok(found) => judge(&Room::from(&found), dir),
        Err(error) => Check::fail(NAME, format!("{} cannot be looked at", dir.display()), "see the cause")
            .because(error.to_string()),
    }
}

#[derive(Debug, Clone, Copy)]
struct Room {
    free: u64,
    size: u64,
    inodes_free: u64,
    inodes: u64,
}

impl From<&StatVfs> for Room {
    fn from(found: &StatVfs) -> Self {
        Self {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            size: found.f_blocks.saturating_mul(found.f_frsize),
            inodes_free: found.f_favail,
            inodes: found.f_files,
        }
    }
}

fn judge(room: &Room, dir: &Path) -> Check {
    let percent = room.free.saturating_mul(100) / room.size.max(1);
    let text = format!("{} MiB ({percent} %) are free below {}", room.free / MIB, dir.display());
    let fix = format!("make room on the file system that holds {}", dir.display());
    if room.inodes > 0 && room.inodes_free == 0 {
        return Check::fail(
            NAME,
            format!("the disk is full: no inodes are free below {}", dir.display()),
            fix,
        );
    }
    if room.free < 32 * MIB {
        return Check::fail(NAME, format!("the disk is full: {text}"), fix)
            .because("writes are answered with 503 until there is room");
    }
    if room.free < 256 * MIB || percent < 2 {
        return Check::warn(NAME, format!("the disk is nearly full: {text}"), fix);
    }
    Check::ok(NAME, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Status;

    #[test]
    fn a_full_disk_fails_and_a_nearly_full_one_warns() {
        let room = |free| Room { free, size: 100_000 * MIB, inodes_free: 1, inodes: 10 };
        let status = |room: Room| judge(&room, Path::new("/d")).status;
        assert_eq!(status(room(50_000 * MIB)), Status::Ok);
        assert_eq!(status(room(1_000 * MIB)), Status::Warn);
        assert_eq!(status(room(31 * MIB)), Status::Fail);
        assert_eq!(status(Room { inodes_free: 0, ..room(50_000 * MIB) }), Status::Fail);
        assert_eq!(status(Room { inodes_free: 0, inodes: 0, ..room(50_000 * MIB) }), Status::Ok);
    }
}

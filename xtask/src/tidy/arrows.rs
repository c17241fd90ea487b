//! Which member may import which, and which may name a library that has a wall around it.
//!
//! `ROOMS` is the map with its arrows; a member that is not on it is a finding. Dev-dependencies of the core keep the
//! core's arrows; those of the shell are free, since a test composes what it likes. Nobody ships the test kit.

use cargo_metadata::{DependencyKind, Metadata, Package};

use super::Finding;

/// A member by its path, its package, and the packages of ours it may import.
type Arrows = (&'static str, &'static str, &'static [&'static str]);

const ROOMS: [Arrows; 22] = [
    ("core/model", "muster-model", &[]),
    ("core/lifecycle", "muster-lifecycle", &["muster-model"]),
    ("core/doors", "muster-doors", &["muster-model"]),
    ("core/wire", "muster-wire", &["muster-model"]),
    ("core/agent-core", "muster-agent-core", &["muster-model", "muster-wire"]),
    ("shell/store", "muster-store", &["muster-model", "muster-lifecycle"]),
    ("shell/store-sql", "muster-store-sql", STORE),
    ("shell/store-sqlite", "muster-store-sqlite", ADAPTER),
    ("shell/store-postgres", "muster-store-postgres", ADAPTER),
    ("shell/issuer", "muster-issuer", &["muster-model"]),
    ("shell/provision", "muster-provision", &["muster-model", "muster-app"]),
    (
        "shell/app",
        "muster-app",
        &["muster-model", "muster-lifecycle", "muster-doors", "muster-wire", "muster-store", "muster-issuer"],
    ),
    ("shell/console", "muster-console", &["muster-model", "muster-wire"]),
    (
        "shell/server",
        "muster-server",
        &["muster-model", "muster-wire", "muster-doors", "muster-app", "muster-console"],
    ),
    (
        "shell/agent",
        "muster-agent",
        &["muster-model", "muster-wire", "muster-doors", "muster-agent-core", "muster-client"],
    ),
    ("shell/muster", "muster-cli", ALL),
    ("sdk/client", "muster-client", &["muster-model", "muster-wire"]),
    ("testkit", "muster-testkit", ALL),
    ("proof", "muster-proof", PROOF),
    ("fuzz", "muster-fuzz", FUZZ),
    ("bench", "muster-bench", BENCH),
    ("xtask", "xtask", &[]),
];

const STORE: &[&str] = &["muster-model", "muster-lifecycle", "muster-store"];
const ADAPTER: &[&str] = &["muster-model", "muster-lifecycle", "muster-store", "muster-store-sql"];

/// The binary composes; the test kit and the benchmarks compose for tests. None of the three is imported by a room.
const ALL: &[&str] = &[
    "muster-model",
    "muster-lifecycle",
    "muster-doors",
    "muster-wire",
    "muster-agent-core",
    "muster-store",
    "muster-store-sql",
    "muster-store-sqlite",
    "muster-store-postgres",
    "muster-issuer",
    "muster-provision",
    "muster-app",
    "muster-console",
    "muster-server",
    "muster-agent",
    "muster-client",
];

/// The benchmarks run on a private database, which is the kit's.
const BENCH: &[&str] = &[
    "muster-model",
    "muster-lifecycle",
    "muster-wire",
    "muster-store",
    "muster-store-sql",
    "muster-store-sqlite",
    "muster-store-postgres",
    "muster-issuer",
    "muster-app",
    "muster-server",
    "muster-agent",
    "muster-client",
    "muster-testkit",
];

/// What compares the stores: the use cases over each of them, with the kit that tests are made of.
const PROOF: &[&str] = &[
    "muster-model",
    "muster-lifecycle",
    "muster-wire",
    "muster-agent-core",
    "muster-store",
    "muster-store-sqlite",
    "muster-store-postgres",
    "muster-issuer",
    "muster-app",
    "muster-server",
    "muster-testkit",
];

/// Whatever reads bytes of strangers, with the kit's world around the routes.
const FUZZ: &[&str] = &[
    "muster-model",
    "muster-lifecycle",
    "muster-doors",
    "muster-wire",
    "muster-agent-core",
    "muster-store-sql",
    "muster-store-sqlite",
    "muster-issuer",
    "muster-provision",
    "muster-app",
    "muster-server",
    "muster-agent",
    "muster-testkit",
];

/// A library and the only members that may name it in production code; the benchmarks and the fuzz targets may name any.
const WALLS: [(&str, &[&str]); 14] = [
    ("axum", &["muster-server"]),
    ("hyper", &["muster-server", "muster-agent"]),
    ("hyper-util", &["muster-server", "muster-agent"]),
    ("tower", &["muster-server"]),
    ("tower-http", &["muster-server"]),
    ("utoipa-axum", &["muster-server"]),
    ("http", &["muster-server", "muster-agent", "muster-client"]),
    ("reqwest", &["muster-client", "muster-provision"]),
    ("rusqlite", &["muster-store-sqlite"]),
    ("tokio-postgres", &["muster-store-postgres"]),
    ("rcgen", &["muster-issuer", "muster-agent", "muster-testkit"]),
    ("jsonwebtoken", &["muster-issuer"]),
    ("anyhow", &["muster-cli", "muster-testkit", "xtask"]),
    ("clap", &["muster-cli"]),
];

/// Not in the core, not even for its tests: a runtime, a generator, a driver, a log.
const NOT_IN_CORE: [&str; 5] = ["tokio", "futures-util", "getrandom", "tracing", "metrics"];

/// A member as its manifest describes it.
pub(super) struct Room {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) dependencies: Vec<(String, DependencyKind)>,
}

pub(super) fn rooms(metadata: &Metadata) -> Vec<Room> {
    let room = |package: &&Package| Room {
        path: super::docs::member_path(metadata, package),
        name: package.name.to_string(),
        dependencies: package.dependencies.iter().map(|d| (d.name.clone(), d.kind)).collect(),
    };
    metadata.workspace_packages().iter().map(room).collect()
}

pub(super) fn check(rooms: &[Room]) -> Vec<Finding> {
    rooms.iter().flat_map(check_room).collect()
}

fn check_room(room: &Room) -> Vec<Finding> {
    let manifest = format!("{}/Cargo.toml", room.path);
    let Some((_, _, ours)) = ROOMS.iter().find(|(path, name, _)| *path == room.path && *name == room.name)
    else {
        let advice =
            format!("`{}` is not on the map: give it its arrows in xtask/src/tidy/arrows.rs", room.name);
        return vec![Finding::new(&manifest, 0, "arrow", advice)];
    };
    let refused = |(name, kind): &(String, DependencyKind)| refusal(room, ours, name, *kind);
    let refusals = room.dependencies.iter().filter_map(refused);
    refusals.map(|advice| Finding::new(&manifest, 0, "arrow", advice)).collect()
}

/// Why this member may not depend on that crate, if it may not.
fn refusal(room: &Room, ours: &[&str], name: &str, kind: DependencyKind) -> Option<String> {
    let core = room.path.starts_with("core/");
    let test = kind == DependencyKind::Development;
    let me = room.name.as_str();
    if ROOMS.iter().any(|(_, package, _)| *package == name) {
        let fine = ours.contains(&name) || (test && (name == "muster-testkit" || !core));
        return (!fine).then(|| format!("{me} does not import {name}: the arrow points the wrong way"));
    }
    if core && NOT_IN_CORE.contains(&name) {
        return Some(format!("{name} has no place in core: hand values in"));
    }
    if !test && name.starts_with("serde") && ["muster-model", "muster-lifecycle"].contains(&me) {
        return Some(format!("{me} has no wire form ({name}): shapes belong to core/wire"));
    }
    let (_, inside) = WALLS.iter().find(|(library, _)| *library == name)?;
    let fine = inside.contains(&me) || ["muster-bench", "muster-fuzz"].contains(&me) || (test && !core);
    (!fine).then(|| format!("{name} is named by {} only: use what they offer", inside.join(", ")))
}

#[cfg(test)]
mod tests {
    use DependencyKind::{Development, Normal};

    use super::*;

    fn findings(path: &str, name: &str, dependencies: &[(&str, DependencyKind)]) -> Vec<String> {
        let dependencies = dependencies.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let room = Room { path: path.to_owned(), name: name.to_owned(), dependencies };
        check(&[room]).into_iter().map(|f| f.advice).collect()
    }

    #[test]
    fn arrows_of_the_map_pass_and_others_are_found() {
        assert!(
            findings("core/lifecycle", "muster-lifecycle", &[("muster-model", Normal), ("jiff", Normal)])
                .is_empty()
        );
        assert_eq!(findings("core/lifecycle", "muster-lifecycle", &[("muster-doors", Normal)]).len(), 1);
        assert_eq!(findings("core/model", "muster-model", &[("muster-wire", Normal)]).len(), 1);
        assert_eq!(
            findings("shell/store-sqlite", "muster-store-sqlite", &[("muster-wire", Normal)]).len(),
            1
        );
        assert_eq!(findings("shell/server", "muster-server", &[("muster-store-sqlite", Normal)]).len(), 1);
    }

    #[test]
    fn a_member_that_is_not_on_the_map_is_found() {
        assert!(findings("core/misc", "muster-misc", &[])[0].contains("not on the map"));
        assert!(findings("shell/model", "muster-model", &[])[0].contains("not on the map"));
    }

    #[test]
    fn tests_of_the_shell_compose_freely_and_those_of_the_core_do_not() {
        let app =
            [("muster-store-sqlite", Development), ("muster-testkit", Development), ("reqwest", Development)];
        assert!(findings("shell/app", "muster-app", &app).is_empty());
        assert!(
            findings("core/lifecycle", "muster-lifecycle", &[("muster-testkit", Development)]).is_empty()
        );
        assert_eq!(findings("core/lifecycle", "muster-lifecycle", &[("muster-doors", Development)]).len(), 1);
        assert_eq!(findings("core/lifecycle", "muster-lifecycle", &[("tokio", Development)]).len(), 1);
    }

    #[test]
    fn nobody_ships_the_test_kit() {
        assert_eq!(findings("shell/app", "muster-app", &[("muster-testkit", Normal)]).len(), 1);
        assert_eq!(findings("shell/muster", "muster-cli", &[("muster-testkit", Normal)]).len(), 1);
    }

    #[test]
    fn walled_libraries_are_named_behind_their_wall_only() {
        assert!(findings("shell/server", "muster-server", &[("axum", Normal), ("tokio", Normal)]).is_empty());
        for library in ["axum", "rusqlite", "reqwest", "hyper", "http"] {
            assert_eq!(findings("shell/app", "muster-app", &[(library, Normal)]).len(), 1, "{library}");
        }
        assert!(findings("bench", "muster-bench", &[("axum", Normal), ("rusqlite", Normal)]).is_empty());
        assert_eq!(findings("core/model", "muster-model", &[("serde", Normal)]).len(), 1);
        assert_eq!(findings("core/wire", "muster-wire", &[("tokio", Normal)]).len(), 1);
    }
}

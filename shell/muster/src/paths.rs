//! Where things are when nobody says: root's services in the system's places, people's in theirs (XDG).

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// The system's data directory.
pub(crate) const SYSTEM_DATA: &str = "/var/lib/muster";
/// The system's configuration.
pub(crate) const SYSTEM_CONFIG: &str = "/etc/muster/muster.toml";
const SOCKET: &str = "muster.sock";

/// What decides where things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// `$STATE_DIRECTORY`, as systemd sets it.
    pub(crate) state_directory: Option<PathBuf>,
    /// Whether this is root.
    pub(crate) root: bool,
    /// `$XDG_STATE_HOME` or its default.
    pub(crate) xdg_state: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME` or its default.
    pub(crate) xdg_config: Option<PathBuf>,
}

impl Places {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        let xdg = etcetera::choose_base_strategy().ok();
        Self {
            state_directory: std::env::var_os("STATE_DIRECTORY").and_then(first_directory),
            root: rustix::process::geteuid().is_root(),
            xdg_state: xdg.as_ref().and_then(BaseStrategy::state_dir),
            xdg_config: xdg.as_ref().map(BaseStrategy::config_dir),
        }
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        let system = || PathBuf::from(SYSTEM_DATA);
        match (&self.state_directory, self.root, &self.xdg_state) {
            (Some(dir), ..) => dir.clone(),
            (None, false, Some(state)) => state.join("muster"),
            (None, true, _) | (None, false, None) => system(),
        }
    }

    /// The configuration file that is looked for.
    pub(crate) fn config_file(&self) -> PathBuf {
        let own = self.xdg_config.as_ref().map(|dir| dir.join("muster/muster.toml"));
        own.filter(|path| !self.root && path.exists()).unwrap_or_else(|| SYSTEM_CONFIG.into())
    }

    /// The socket of the server whose data directory is given, or of the one that is most likely meant.
    pub(crate) fn socket(&self, data_dir: Option<&Path>) -> PathBuf {
        if let Some(dir) = data_dir {
            return dir.join(SOCKET);
        }
        let own = self.data_dir().join(SOCKET);
        let system = Path::new(SYSTEM_DATA).join(SOCKET);
        if !own.exists() && system.exists() { system } else { own }
    }
}

/// systemd may give several directories, separated by colons; the first is the main one.
fn first_directory(value: std::ffi::OsString) -> Option<PathBuf> {
    let text = value.into_string().ok()?;
    text.split(':').next().filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            state_directory: None,
            root: false,
            xdg_state: Some("/home/a/state".into()),
            xdg_config: None,
        }
    }

    #[test]
    fn systemd_then_root_then_the_persons_own_directory() {
        assert_eq!(places().data_dir(), Path::new("/home/a/state/muster"));
        assert_eq!(Places { root: true, ..places() }.data_dir(), Path::new(SYSTEM_DATA));
        let service =
            Places { state_directory: first_directory("/run/a:/run/b".into()), root: true, ..places() };
        assert_eq!(service.data_dir(), Path::new("/run/a"));
    }

    #[test]
    fn a_given_directory_decides_the_socket() {
        assert_eq!(places().socket(Some(Path::new("/d"))), Path::new("/d/muster.sock"));
    }
}

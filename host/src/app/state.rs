//! Wiring: where the services' state is. In: the environment. Out: directories. Owns nothing.

use std::path::PathBuf;

/// The directory that systemd makes for the unit that `install` writes.
const SYSTEM: &str = "/var/lib/miqro-host";

/// Where a host's state file may be of which nothing is said: this user's own directory, and that of a host that systemd runs.
pub fn directories() -> Vec<PathBuf> {
    let mut directories = vec![directory(), PathBuf::from(SYSTEM)];
    directories.dedup();
    directories
}

/// Where state files are of which nothing is said: in the directory that systemd made for the service, or in the user's directory for
/// state.
pub fn directory() -> PathBuf {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let user =
        || absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let directory = absolute("STATE_DIRECTORY").or_else(|| Some(user()?.join("miqro-host")));
    directory.unwrap_or_else(|| PathBuf::from(SYSTEM))
}

//! Default directories for state files.

use std::path::PathBuf;

/// The directory that systemd makes for the unit that `install` writes.
const SYSTEM: &str = "/var/lib/miqro-host";

/// Directories to search for the state file of a running host by default: the user's own, and that of a host that systemd runs.
pub fn directories() -> Vec<PathBuf> {
    let mut directories = vec![directory(), PathBuf::from(SYSTEM)];
    directories.dedup();
    directories
}

/// Default directory for state files: the one that systemd made for the service, or the user's directory for state.
pub(super) fn directory() -> PathBuf {
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

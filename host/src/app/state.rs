//! Wiring: where the services' state is. In: the configuration. Out: the open store and what an earlier run left. Owns nothing.

use std::path::PathBuf;

use crate::config::{Broker, Config};
use crate::store::{Contents, Store, StoreError};

/// The directory that systemd makes for the unit that `install` writes.
const SYSTEM: &str = "/var/lib/miqro-host";

/// Opens the store.
///
/// # Errors
/// When the file is in use or cannot be read. A damaged one is set aside.
pub fn open(config: &Config) -> Result<(Store, Contents), StoreError> {
    Store::open(&file(config))
}

/// The state file. Each session has one of its own.
pub fn file(config: &Config) -> PathBuf {
    let (Broker::Embedded(_, connection) | Broker::Remote(connection)) = &config.broker;
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name = || connection.client_id.chars().map(safe).collect::<String>();
    config.state_file.clone().unwrap_or_else(|| directory().join(format!("{}.redb", name())))
}

/// Where a host's state file may be of which nothing is said: this user's own directory, and that of a host that systemd runs.
pub fn directories() -> Vec<PathBuf> {
    let mut directories = vec![directory(), PathBuf::from(SYSTEM)];
    directories.dedup();
    directories
}

/// Where state files are of which nothing is said: in the directory that systemd made for the service, or in the user's directory for
/// state.
fn directory() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = || absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let directory = absolute("STATE_DIRECTORY").or_else(|| Some(user()?.join("miqro-host")));
    directory.unwrap_or_else(|| PathBuf::from(SYSTEM))
}

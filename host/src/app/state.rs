//! Wiring: where the services' state is. In: the configuration. Out: the open store and what an earlier run left. Owns nothing.

use std::path::PathBuf;

use crate::config::{Broker, Config};
use crate::store::{Contents, Store, StoreError};

/// Opens the store.
///
/// # Errors
/// When the file is in use or cannot be read. A damaged one is set aside.
pub fn open(config: &Config) -> Result<(Store, Contents), StoreError> {
    let (Broker::Embedded(_, connection) | Broker::Remote(connection)) = &config.broker;
    let path = config.state_file.clone().unwrap_or_else(|| default_file(&connection.client_id));
    Store::open(&path)
}

/// In the directory that systemd made for the service, or in the user's directory for state. Each session has a file of its own.
fn default_file(client_id: &str) -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = || absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let directory = absolute("STATE_DIRECTORY").or_else(|| Some(user()?.join("miqro-host")));
    let directory = directory.unwrap_or_else(|| PathBuf::from("/var/lib/miqro-host"));
    let name: String = client_id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    directory.join(format!("{name}.redb"))
}

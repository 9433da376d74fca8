//! Wiring: where the state of the services is, and what they begin with. In: the configuration. Out: the open store, the state of
//! each service. Owns nothing after that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use tracing::{info, warn};

use crate::config::{self, Broker, Config};
use crate::effects::StateChange;
use crate::guest::Belongings;
use crate::message::Publication;
use crate::store::{Contents, Store};

/// The store, and what an earlier run left in it.
pub struct State {
    /// The store.
    pub store: Store,
    /// Messages that waited for the broker.
    pub waiting: Vec<(u64, Publication)>,
    services: HashMap<String, Vec<(String, Bytes)>>,
}

impl State {
    /// Opens the store.
    ///
    /// # Errors
    /// When the file is in use or cannot be read. A damaged one is set aside.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let (Broker::Embedded(_, connection) | Broker::Remote(connection)) = &config.broker;
        let path = config.state_file.clone().unwrap_or_else(|| default_file(&connection.client_id));
        let (store, Contents { state, waiting }) = Store::open(&path)?;
        Ok(Self { store, waiting, services: state })
    }

    /// What a service begins with: its state, or MIQRO's where it has none and the configuration names a file.
    pub async fn belongings(&mut self, service: &config::Service) -> Arc<Belongings> {
        if let Some(state) = self.services.remove(&service.name) {
            return Arc::new(Belongings::with_state(state));
        }
        let Some(file) = &service.import_state else { return Arc::default() };
        match self.import(&service.name, file).await {
            Ok(state) => {
                info!(service = service.name.as_str(), "{} values imported from {}", state.len(), file.display());
                Arc::new(Belongings::with_state(state))
            }
            Err(error) => {
                warn!(service = service.name.as_str(), "begins without state: {error:#}");
                Arc::default()
            }
        }
    }

    async fn import(&self, service: &str, file: &Path) -> anyhow::Result<Vec<(String, Bytes)>> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let state = values(&text).with_context(|| format!("{} is no state file of MIQRO", file.display()))?;
        let change = |(key, value): &(String, Bytes)| StateChange { key: key.clone(), value: Some(value.clone()) };
        self.store.commit(service, state.iter().map(change).collect()).await?;
        Ok(state)
    }
}

/// MIQRO's state is one map; each of its keys becomes one here, with its value as JSON.
fn values(text: &str) -> anyhow::Result<Vec<(String, Bytes)>> {
    let map: Option<serde_json::Map<String, serde_json::Value>> = serde_yaml::from_str(text)?;
    Ok(map.unwrap_or_default().into_iter().map(|(key, value)| (key, Bytes::from(value.to_string()))).collect())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_state_file_of_miqro_is_read_key_by_key() {
        let values = values("enabled: true\ninputs:\n  door: {last: 1.5, seen: null}\nlist: [1, two]\n").unwrap();
        let shown: Vec<_> = values.iter().map(|(k, v)| (k.as_str(), std::str::from_utf8(v).unwrap())).collect();
        let expected =
            [("enabled", "true"), ("inputs", r#"{"door":{"last":1.5,"seen":null}}"#), ("list", r#"[1,"two"]"#)];
        assert_eq!(shown, expected);
        assert!(super::values("").unwrap().is_empty());
        assert!(super::values("- a list").is_err());
    }
}

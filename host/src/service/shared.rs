//! Parts of the host that all services share, and the state of each service. A service that leaves and returns finds its state again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tracing::{error, info, warn};

use crate::config::{self, Protocol};
use crate::effects::StateChange;
use crate::guest::{Requests, ServiceState};
use crate::message::Subscription;
use crate::service_ctx::ServiceCtx;
use crate::span;
use crate::store::{Store, StoreError};
use crate::tap::{CallSummary, Tap};
use crate::topic::Topic;
use crate::traces::Tracer;

use crate::rollout::history::VersionHistory;

/// Parts of the host that all services share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Store of their state.
    pub store: Store,
    /// Version of the protocol; it cannot change while the host runs.
    pub protocol: Protocol,
    /// Those that listen to calls of services.
    pub calls: Tap<CallSummary>,
    /// Records traces of messages; `None`: they are not recorded.
    pub tracer: Option<Tracer>,
    requests: Requests,
    discovery_prefix: Topic,
    states: Arc<Mutex<ServiceStates>>,
}

/// State of all services, by name.
#[derive(Debug, Default)]
struct ServiceStates {
    /// State of an earlier run that no service has asked for yet.
    state: HashMap<String, Vec<(String, Bytes)>>,
    service_state: HashMap<String, Arc<ServiceState>>,
}

/// Reason why MIQRO's state was not imported.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error("{0}")]
    Read(#[from] std::io::Error),
    #[error("expected a state file of MIQRO, found something else: {0}")]
    Format(#[from] serde_yaml::Error),
    #[error(
        "expected a state file of MIQRO, found no value in it; a state without values is written as {{}}"
    )]
    Empty,
    #[error("expected a state file of MIQRO, found NUL bytes")]
    Torn,
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Shared {
    /// `state`: the state of an earlier run, by service.
    pub fn new(
        store: Store,
        state: HashMap<String, Vec<(String, Bytes)>>,
        requests: Requests,
        protocol: Protocol,
        discovery_prefix: Topic,
    ) -> Self {
        let states = ServiceStates {
            state,
            service_state: HashMap::new(),
        };
        Self {
            store,
            protocol,
            calls: Tap::default(),
            tracer: None,
            requests,
            discovery_prefix,
            states: Arc::new(Mutex::new(states)),
        }
    }

    /// The same parts, with traces of messages.
    pub fn with_tracer(self, tracer: Option<Tracer>) -> Self {
        Self { tracer, ..self }
    }

    /// Creates the context of a service, with the state that the service has already.
    pub async fn service_ctx(&self, config: config::Service) -> Arc<ServiceCtx> {
        let state = self.service_state(&config).await;
        Arc::new(ServiceCtx {
            discovery_prefix: self.discovery_prefix.clone(),
            state,
            requests: Some(self.requests.clone()),
            calls: self.calls.clone(),
            tracer: self.tracer.clone(),
            ..ServiceCtx::new(Arc::new(config))
        })
    }

    /// The versions that the service had before, as far as they are known.
    pub async fn history(&self, service: &str) -> VersionHistory {
        match self.store.history(service).await {
            Ok(history) => history.unwrap_or_default(),
            Err(error) => {
                span::service(service).in_scope(|| warn!("its history is lost: {error}"));
                VersionHistory::default()
            }
        }
    }

    /// The subscriptions that the guest of a service made at its last start; `None`: they are not known.
    pub async fn subscriptions(&self, service: &str) -> Option<Vec<Subscription>> {
        match self.store.subscriptions(service).await {
            Ok(subscriptions) => subscriptions,
            Err(error) => {
                span::service(service).in_scope(|| {
                    warn!("its former subscriptions are lost: {error}");
                });
                None
            }
        }
    }

    /// State that the service has already; else its state from an earlier run, or MIQRO's where the configuration names a file.
    async fn service_state(&self, service: &config::Service) -> Arc<ServiceState> {
        let name = &service.name;
        if let Some(present) = self.states().find(name) {
            return present;
        }
        let state = match &service.import_state {
            Some(file) => self.import(name, file).await.unwrap_or_else(|error| {
                span::service(name).in_scope(|| {
                    error!(
                        "import_state: {}: {error}; the service starts without this state, and it is imported at the next start \
                         if the service has stored nothing until then",
                        file.display()
                    );
                });

                Vec::new()
            }),
            None => Vec::new(),
        };

        let service_state = Arc::new(ServiceState::with_state(state));
        self.states()
            .service_state
            .entry(name.clone())
            .or_insert(service_state)
            .clone()
    }

    async fn import(
        &self,
        service: &str,
        file: &Path,
    ) -> Result<Vec<(String, Bytes)>, ImportError> {
        let state = values(&std::fs::read_to_string(file)?)?;
        let change = |(key, value): &(String, Bytes)| StateChange {
            key: key.clone(),
            value: Some(value.clone()),
        };
        self.store
            .commit(service, state.iter().map(change).collect())
            .await?;
        span::service(service).in_scope(|| {
            info!("{} values imported from {}", state.len(), file.display());
        });

        Ok(state)
    }

    fn states(&self) -> MutexGuard<'_, ServiceStates> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServiceStates {
    fn find(&mut self, service: &str) -> Option<Arc<ServiceState>> {
        if let Some(state) = self.state.remove(service) {
            self.service_state.insert(
                service.to_owned(),
                Arc::new(ServiceState::with_state(state)),
            );
        }

        self.service_state.get(service).cloned()
    }
}

/// MIQRO's state is one map; each of its keys becomes one here, with its value as JSON. A file that was cut while it was written
/// is often empty or all NUL.
fn values(text: &str) -> Result<Vec<(String, Bytes)>, ImportError> {
    if text.contains('\0') {
        return Err(ImportError::Torn);
    }
    let map: Option<serde_json::Map<String, serde_json::Value>> = serde_yaml::from_str(text)?;
    Ok(map
        .ok_or(ImportError::Empty)?
        .into_iter()
        .map(|(key, value)| (key, Bytes::from(value.to_string())))
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_state_file_of_miqro_is_read_key_by_key() {
        let values =
            values("enabled: true\ninputs:\n  door: {last: 1.5, seen: null}\nlist: [1, two]\n")
                .unwrap();
        let shown: Vec<_> = values
            .iter()
            .map(|(k, v)| (k.as_str(), std::str::from_utf8(v).unwrap()))
            .collect();
        let expected = [
            ("enabled", "true"),
            ("inputs", r#"{"door":{"last":1.5,"seen":null}}"#),
            ("list", r#"[1,"two"]"#),
        ];
        assert_eq!(shown, expected);
        assert!(super::values("{}").unwrap().is_empty());
        assert!(super::values("- a list").is_err());
    }

    #[test]
    fn a_torn_state_file_is_an_error() {
        let torn = [
            "",
            "\n",
            "~",
            "\0\0\0\0",
            "enabled: true\n\0\0",
            "enabled: true\ninputs: {last: 1.",
            "enab",
        ];

        for text in torn {
            assert!(values(text).is_err(), "{text:?}");
        }
    }
}

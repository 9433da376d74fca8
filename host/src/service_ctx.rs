//! The context of one service: its section of the configuration, its state, and its channel for requests. All parts of the host
//! that deal with a service share one [`ServiceCtx`]. A new section of the configuration makes a new one, with the same state.

use std::sync::Arc;
use std::time::Instant;

use crate::config;
use crate::guest::{GrantUsage, InputSource, Requests, ServiceState};
use crate::tap::{CallSummary, Tap};
use crate::topic::Topic;
use crate::traces::Tracer;

/// The configuration and the state of one service.
#[derive(Debug, Clone)]
pub struct ServiceCtx {
    /// The service's section of the configuration.
    pub config: Arc<config::Service>,
    /// The grants of this section that the guest has used.
    pub grant_usage: Arc<GrantUsage>,
    /// The JSON object that `config.get` returns. Rendered once, because guests may ask for it in every call.
    pub config_json: String,
    /// The topic prefix below which Home Assistant looks for announcements.
    pub discovery_prefix: Topic,
    /// The state, the timers and the usage of the service.
    pub state: Arc<ServiceState>,
    /// Carries the guest's requests; `None`: the guest cannot send any.
    pub requests: Option<Requests>,
    /// Those that listen to calls.
    pub calls: Tap<CallSummary>,
    /// Records traces of messages; `None`: they are not recorded.
    pub tracer: Option<Tracer>,
    /// The source of clocks and random numbers; `None`: the machine, with a tap of its own for each instance.
    pub inputs: Option<InputSource>,
}

impl ServiceCtx {
    /// Creates the context of a service that has no state and cannot send requests.
    pub fn new(config: Arc<config::Service>) -> Self {
        Self {
            config_json: config.config.json.to_string(),
            config,
            grant_usage: Arc::default(),
            discovery_prefix: Topic::home_assistant(),
            state: Arc::default(),
            requests: None,
            calls: Tap::default(),
            tracer: None,
            inputs: None,
        }
    }

    /// The present time, as the service sees it.
    pub fn now(&self) -> Instant {
        self.inputs
            .as_ref()
            .map_or_else(Instant::now, InputSource::now)
    }
}

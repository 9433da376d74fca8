//! Snapshot of the whole host, the one model behind every surface: command line, HTTP and metrics.

use serde::Serialize;

use crate::service::ServiceSnapshot;

/// The host as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostSnapshot {
    /// Version of the host's program.
    pub version: &'static str,
    /// Process id.
    pub pid: u32,
    /// Seconds since the host has started.
    pub uptime_s: u64,
    /// The connection to the broker.
    pub broker: BrokerSnapshot,
    /// Log lines that were dropped because nobody read them.
    pub log_lines_lost: u64,
    /// Spans of traces that did not reach the collector.
    pub spans_lost: u64,
    /// The services, in the order of the configuration.
    pub services: Vec<ServiceSnapshot>,
}

/// The connection to the broker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BrokerSnapshot {
    /// Host name or address, and port.
    pub address: String,
    /// Client identifier of the session.
    pub client_id: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// The number of connections since the host has started; 0 while there is none.
    pub connections: u64,
    /// The reason why there is no connection.
    pub reason: Option<String>,
    /// Filters that are not subscribed to, because the broker ends the connection for them.
    pub quarantined: Vec<String>,
}

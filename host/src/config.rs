//! Pure: the configuration as the rest of the host sees it. In: `miqro.yml` (see `config/*`). Out: `Config`, in which every
//! duration, size, topic and path has its type. Owns nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::message::Subscription;
use crate::offline::OfflineRule;
use crate::signature::Key;
use crate::topic::{BaseTopic, Topic};

mod address;
mod availability;
mod broker;
mod broker_limits;
mod connection;
mod credentials;
mod defaults;
mod difference;
mod format;
mod given;
mod grants;
mod json;
mod limits;
mod load;
mod logging;
mod mqttservice;
mod near;
mod offline;
mod place;
mod problem;
mod quotes;
mod reference;
mod render;
mod scalar;
mod secret;
mod section;
mod select;
mod service;
mod settings;
mod swap;
pub mod text;
mod tls;
mod units;
mod yaml;

pub use broker_limits::{BrokerLimits, WhenClientFull};
pub use difference::Difference;
pub use format::WaitRange;
pub use grants::{Directory, Grants, HttpGrant, NEEDS, SocketGrant, SocketProtocol};
pub use limits::{
    CallLimits, Limits, MailboxLimits, MemoryLimits, RateLimits, RetryLimits, TotalLimits,
    WhenFailing, WhenFull,
};
pub use load::{Blank, Held, Loaded, MissingFiles, Selection};
pub use problem::{ConfigError, Problem};
pub use swap::Swap;

#[cfg(test)]
mod tests;

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that it came from; `None` when none was found and the defaults hold.
    pub file: Option<PathBuf>,
    /// Which broker to talk to, and how.
    pub broker: Broker,
    /// What is logged.
    pub log: Logging,
    /// How long a clean stop may take before it is cut short.
    pub stop_deadline: Duration,
    /// Directory of the compile cache; `None`: the user's cache directory.
    pub cache_dir: Option<PathBuf>,
    /// Keys of whom a component has to be signed; empty: it need not be.
    pub trust: Vec<Key>,
    /// More services than this share one will instead of having a presence connection each.
    pub presence_connections: usize,
    /// File of the services' state and of messages that wait on disk; `None`: below the user's directory for state.
    pub state_file: Option<PathBuf>,
    /// How often a service that is online says so again.
    pub online_interval: Duration,
    /// How often the statistics of the services are logged; zero: never.
    pub statistics_interval: Duration,
    /// How often files are looked at whether or not the operating system says that they changed; zero: never.
    pub watch_interval: Duration,
    /// Where Home Assistant looks for announcements.
    pub ha_discovery_prefix: Topic,
    /// The services in the order of the file, or of the command line.
    pub services: Vec<Service>,
}

/// Which broker the host talks to.
#[derive(Debug, Clone, PartialEq)]
pub enum Broker {
    /// The broker inside this process, and the session to it.
    Embedded(EmbeddedBroker, Connection),
    /// A broker elsewhere.
    Remote(Connection),
}

/// The embedded broker.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedBroker {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether `listen` was written in the file; if not, the next free port is taken where it is in use.
    pub listen_is_default: bool,
    /// Where it keeps sessions and retained messages; `None`: in memory only.
    pub data_dir: Option<PathBuf>,
    /// Who may connect; empty: everybody (allowed on loopback addresses only).
    pub users: Vec<Credentials>,
    /// What clients may make it hold.
    pub limits: BrokerLimits,
}

/// The MQTT session.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Host name or address.
    pub host: String,
    /// Port; 1883, or 8883 with TLS, 80 and 443 with WebSocket.
    pub port: u16,
    /// What carries the bytes.
    pub transport: Transport,
    /// Local address to connect from.
    pub bind_address: Option<IpAddr>,
    /// Protocol version.
    pub protocol: Protocol,
    /// Client identifier; empty where none is written: then it is that of the host's identity, see `app::identity`.
    pub client_id: String,
    /// Keepalive interval, whole seconds; zero turns it off.
    pub keepalive: Duration,
    /// How long the broker keeps the session after the connection is gone, whole seconds.
    pub session_expiry: Duration,
    /// Whether to ask the broker to forget an earlier session (in 3.1.1: clean session).
    pub clean_start: bool,
    /// User name and password.
    pub credentials: Option<Credentials>,
    /// TLS settings; used when `transport` says so.
    pub tls: Tls,
    /// How many incoming QoS 1 and 2 messages may be unacknowledged.
    pub receive_maximum: u16,
    /// The largest packet that is accepted, in bytes.
    pub max_packet_size: u32,
    /// How long to wait for the connection to be made and CONNACK to come.
    pub connect_timeout: Duration,
    /// Waits before reconnecting.
    pub reconnect: WaitRange,
    /// When a service is told that the broker has not taken a message of its in time.
    pub delivery_timeout: Duration,
    /// Bounds of what waits to be sent.
    pub outbox: OutboxLimits,
}

settings::settings! {
    /// Bounds of the messages that wait to be sent.
    #[derive(Copy)]
    pub struct OutboxLimits {
        /// Messages.
        pub messages: usize = 10_000, "messages": format::Number(1..=100_000_000);
        /// Bytes.
        pub bytes: usize = 16 * units::MIB, "bytes": format::Size(1024..=units::MOST_BYTES);
    }
}

/// What carries the bytes of the MQTT connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP, with the path of the request.
    WebSocket(String),
    /// WebSocket over TLS, with the path of the request.
    SecureWebSocket(String),
}

/// Protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5.0.
    V5,
    /// MQTT 3.1.1.
    V311,
}

/// User name and password. `Debug` and the effective configuration do not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password, already read from its file or environment variable.
    pub password: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}",
            self.username,
            if self.password.is_some() { "***" } else { "" }
        )
    }
}

/// TLS settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// File with trusted roots (PEM); `None`: the system's.
    pub ca_certs: Option<PathBuf>,
    /// Client certificate chain and key (PEM).
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether the server's certificate is not verified (`cert_reqs: CERT_NONE`); said in the log.
    pub insecure: bool,
    /// Name to verify and to send as SNI; `None`: the host.
    pub server_name: Option<String>,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// The level where nothing else is said.
    pub level: Level,
    /// How lines look.
    pub format: LogFormat,
}

/// Levels, in MIQRO's words (`CRITICAL` is read as error).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Trace,
    /// For finding a fault.
    Debug,
    /// What an operator wants to see.
    Info,
    /// Something is not as it should be.
    Warning,
    /// Something failed.
    Error,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, and human without colours elsewhere.
    Text,
    /// One JSON object a line.
    Json,
}

/// One service.
#[derive(Clone, PartialEq)]
pub struct Service {
    /// Its name: of the section, or of the component file's stem.
    pub name: String,
    /// The component file; `None` when the section has none (then it counts only if `run FILE` names the service).
    pub component: Option<PathBuf>,
    /// The topic below which it lives.
    pub base: BaseTopic,
    /// Subscriptions made for it, with full filters.
    pub subscriptions: Vec<Subscription>,
    /// What it may hold and use.
    pub limits: Limits,
    /// What it may reach outside its base topic.
    pub grants: Grants,
    /// What becomes of its messages without a connection; the first rule that matches a topic is the one for it.
    pub offline: Vec<Arc<OfflineRule>>,
    /// Whether its last retained messages are published again when the broker has forgotten the session.
    pub republish_retained: bool,
    /// Where messages go that are given up; `None`: they are only logged.
    pub dead_letter: Option<Topic>,
    /// What is done when a new version takes over.
    pub swap: Swap,
    /// Further topics that say whether it is online.
    pub availability: Vec<Availability>,
    /// State file of MIQRO to begin with where the service has no state yet.
    pub import_state: Option<PathBuf>,
    /// Level of its own log lines; `None`: as the host's.
    pub log_level: Option<Level>,
    /// Its section as JSON, without the host's keys: what `config.get` gives.
    pub config: serde_json::Value,
    /// Where `config` has values that came from a file or an environment variable, as JSON pointers (RFC 6901): they are not
    /// to be shown.
    pub secrets: Vec<String>,
}

/// A further topic that says whether a service is online; retained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// The full topic.
    pub topic: Topic,
    /// Payload while it is.
    pub online: String,
    /// Payload while it is not.
    pub offline: String,
}

impl std::fmt::Debug for Service {
    /// Without what only the guest reads: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

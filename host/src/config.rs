//! The configuration of the host. `miqro.yml` is read by the modules below; every duration, size, topic and path has its type here.
//!
//! [`Config::load`] reports everything that is wrong at once, each with file, line and key. [`Config::reference`] describes every key.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::effects::TimerChange;
use crate::message::Subscription;
use crate::offline::OfflineRule;
use crate::signature::Key;
use crate::topic::{BaseTopic, Topic};

mod address;
mod availability;
mod broker;
mod broker_limits;
mod connection;
mod context;
mod credentials;
mod diagnostic;
mod difference;
mod document;
mod format;
mod grant;
mod grants;
mod json;
mod key;
mod limits;
mod load;
mod logging;
mod mqtt_control;
mod mqttservice;
mod nested;
mod offline;
mod quotes;
mod reference;
mod render;
mod scalar;
mod secret;
mod section;
mod selection;
mod service;
mod settings;
mod subscriptions;
mod suggest;
mod swap;
pub mod text;
mod timers;
mod tls;
mod traces;
mod typed;
mod units;
mod value;
mod web;
mod yaml;

pub use broker_limits::{BrokerLimits, WhenClientFull};
pub use connection::{Protocol, SessionSettings};
pub use diagnostic::{ConfigError, Diagnostic};
pub use difference::Difference;
pub use document::HeldService;
pub use format::WaitRange;
pub use grant::{Directory, Grants, HttpGrant, NEEDS, SocketGrant, SocketProtocol};
pub use limits::{
    CallLimits, Limits, MailboxLimits, MemoryLimits, RateLimits, RetryLimits, TotalLimits,
    WhenFailing, WhenFull,
};
pub use load::{Blank, LoadedConfig, MissingFiles, Selection};
pub use logging::{Level, LogFormat, Logging};
pub use mqtt_control::{COMMANDS as MQTT_COMMANDS, MqttControl};
pub use swap::Swap;
pub use traces::Traces;
pub use typed::{Call, NetworkInterface, Serve, TypedInterfaces, VoidAnswer};
pub use web::{Role, Web, WebTls, WebToken, WebUser};

// other descriptions in YAML are read by the same means
pub(crate) use context::LoadContext;
pub(crate) use section::Section;
pub use units::{format_duration, parse_duration, parse_size};
pub(crate) use value::ConfigValue;
pub(crate) use yaml::{Node as YamlNode, Value as YamlValue, parse as parse_yaml};

use format::{Number, Size, Span};

#[cfg(test)]
mod tests;

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that it came from; `None` when none was found and the defaults hold.
    pub file: Option<PathBuf>,
    /// The broker, and how to connect to it.
    pub broker: Broker,
    /// The level and the form of log lines.
    pub log: Logging,
    /// Settings of the host itself.
    pub host: HostSettings,
    /// Directory of the compile cache; `None`: the user's cache directory.
    pub cache_dir: Option<PathBuf>,
    /// Keys with which components have to be signed; empty: they need not be signed.
    pub trust: Vec<Key>,
    /// File of the services' state and of messages that wait on disk; `None`: below the user's directory for state.
    pub state_file: Option<PathBuf>,
    /// The HTTP server; `None`: there is none.
    pub web: Option<Web>,
    /// Control over MQTT; `None`: there is none.
    pub mqtt_control: Option<MqttControl>,
    /// The export of traces; `None`: there is none.
    pub traces: Option<Traces>,
    /// The topic below which services announce themselves to Home Assistant.
    pub ha_discovery_prefix: Topic,
    /// The services in the order of the file, or of the command line.
    pub services: Vec<Service>,
}

/// The longest interval that is accepted.
const DAY: Duration = Duration::from_secs(86_400);

settings::settings! {
    /// Settings of the host itself.
    pub struct HostSettings {
        /// How long a clean stop may take before it is cut short.
        pub stop_deadline: Duration = Duration::from_secs(10),
            "stop_deadline": Span(Duration::ZERO..=Duration::from_secs(3600));
        /// Up to this number of services, each has a connection of its own whose will is its `online`. More of them share one
        /// connection.
        pub presence_connections: usize = 32,
            "presence_connections": Number(0..=10_000), needs_restart true;
        /// How often a service that is online says so again.
        pub online_interval: Duration = Duration::from_secs(180),
            "online_interval": Span(Duration::ZERO..=DAY), needs_restart true;
        /// How often the statistics of the services are logged; `0s`: never. `SIGUSR1` asks for them at once.
        pub statistics_interval: Duration = Duration::from_secs(180),
            "statistics_interval": Span(Duration::ZERO..=DAY), needs_restart true;
        /// How often component files and the configuration are looked at besides the notices of the operating system, which
        /// sends none for network file systems; `0s`: never.
        pub watch_interval: Duration = Duration::from_secs(10),
            "watch_interval": Span(Duration::ZERO..=DAY), needs_restart true;
        /// How long compiling a component of more than 1 MiB may take; one that takes longer is refused.
        pub compile_timeout: Duration = Duration::from_secs(120),
            "compile_timeout": Span(Duration::from_secs(1)..=DAY), needs_restart true;
    }
}

/// The broker that the host talks to.
#[derive(Debug, Clone, PartialEq)]
pub enum Broker {
    /// The broker inside this process, and the session to it.
    Embedded(EmbeddedBroker, Connection),
    /// A broker elsewhere.
    Remote(Connection),
}

impl Broker {
    /// The connection to it.
    pub const fn connection(&self) -> &Connection {
        let (Self::Embedded(_, connection) | Self::Remote(connection)) = self;
        connection
    }
}

/// The embedded broker.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedBroker {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// Whether `listen` is the default. Then the next free port is taken where it is in use.
    pub listen_is_default: bool,
    /// Directory of sessions and retained messages; `None`: in memory only.
    pub data_dir: Option<PathBuf>,
    /// Users that may connect; empty: everybody (allowed on loopback addresses only).
    pub users: Vec<Credentials>,
    /// The load that clients may put on it.
    pub limits: BrokerLimits,
}

/// The connection to the broker, and the session over it.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Host name or address.
    pub host: String,
    /// Port; 1883, or 8883 with TLS, 80 and 443 with WebSocket.
    pub port: u16,
    /// The transport of the bytes.
    pub transport: Transport,
    /// Local address to connect from.
    pub bind_address: Option<IpAddr>,
    /// TLS settings; used when `transport` says so.
    pub tls: Tls,
    /// User name and password.
    pub credentials: Option<Credentials>,
    /// Client identifier. Empty where the file has none: then it is that of the host's identity, see `app::identity`.
    pub client_id: String,
    /// Settings of the session.
    pub session: SessionSettings,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 1883,
            transport: Transport::Tcp,
            bind_address: None,
            tls: Tls::default(),
            credentials: None,
            client_id: String::new(),
            session: SessionSettings::default(),
        }
    }
}

settings::settings! {
    /// Bounds of messages that wait, or are kept.
    #[derive(Copy)]
    pub struct OutboxLimits {
        /// Number of messages.
        pub messages: usize = 10_000, "messages": Number(1..=100_000_000);
        /// Bytes that they take.
        pub bytes: usize = 16 * units::MIB, "bytes": Size(1024..=units::MOST_BYTES);
    }
}

/// The transport of the MQTT connection.
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

/// User name and password. `Debug` and the effective configuration do not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password, already read from its file or environment variable.
    pub password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = if self.password.is_some() { "***" } else { "" };
        write!(f, "{}:{password}", self.username)
    }
}

/// TLS settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// File with trusted roots (PEM); `None`: the system's.
    pub ca_certs: Option<PathBuf>,
    /// Client certificate chain and key (PEM).
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether the server's certificate is not verified (`cert_reqs: CERT_NONE`). The log says so.
    pub insecure: bool,
    /// Name to verify and to send as SNI; `None`: the host.
    pub server_name: Option<String>,
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
    /// The subscriptions and timers made for it.
    pub triggers: Triggers,
    /// Its limits.
    pub limits: Limits,
    /// The things outside its base topic that it may reach.
    pub grants: Grants,
    /// The handling of its messages that cannot take the usual way.
    pub delivery: Delivery,
    /// The way in which a new version takes over.
    pub swap: Swap,
    /// The typed interfaces that it serves and calls.
    pub typed: TypedInterfaces,
    /// State file of MIQRO to import while the service has no state yet.
    pub import_state: Option<PathBuf>,
    /// Level of its own log lines; `None`: as the host's.
    pub log_level: Option<Level>,
    /// Its own part of its section.
    pub config: GuestConfig,
}

/// The subscriptions and timers that the configuration makes for a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Triggers {
    /// Subscriptions, with full filters.
    pub subscriptions: Vec<Subscription>,
    /// Timers.
    pub timers: Vec<ServiceTimer>,
}

/// A periodic timer that is first due when the service starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTimer {
    /// Its name, as the guest sees it.
    pub name: String,
    /// The distance between two due times.
    pub period: Duration,
}

impl ServiceTimer {
    /// The change that sets it.
    pub fn to_change(&self) -> TimerChange {
        TimerChange::Every {
            name: self.name.clone(),
            period: self.period,
            delay: Duration::ZERO,
        }
    }
}

impl fmt::Debug for Service {
    /// Without the guest's own part: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// The handling of a service's messages without a connection, without a session at the broker, and after too many attempts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delivery {
    /// Rules for its messages without a connection; the first rule that matches a topic is the one for it.
    pub offline: Vec<Arc<OfflineRule>>,
    /// Whether its last retained messages are published again when the broker has forgotten the session.
    pub republish_retained: bool,
    /// The topic of messages that are given up; `None`: they are only logged.
    pub dead_letter: Option<Topic>,
    /// Further topics that say whether it is online.
    pub availability: Vec<Availability>,
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

/// The section of a service without the host's keys.
#[derive(Clone, PartialEq)]
pub struct GuestConfig {
    /// The section as a JSON object, as `config.get` returns it.
    pub json: serde_json::Value,
    /// JSON pointers (RFC 6901) to values that came from a file or an environment variable: they are not to be shown.
    pub secrets: Vec<String>,
}

impl Default for GuestConfig {
    fn default() -> Self {
        Self {
            json: serde_json::json!({}),
            secrets: Vec::new(),
        }
    }
}

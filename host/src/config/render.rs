//! Pure: the effective configuration as YAML. In: `Config`. Out: text that loads again to the same `Config`, but for the
//! secrets, which are not shown. Owns nothing.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::format::{Format, Nested, Waits};
use super::logging::{FORMATS, show_level};
use super::units::{show_duration, show_size};
use super::{
    Broker, Config, Connection, Credentials, EmbeddedBroker, Protocol, Service, Transport,
    availability, grants, offline,
};
use crate::message::Subscription;

/// What is shown in place of a secret.
pub(super) const HIDDEN: &str = "***";

impl Config {
    /// The effective configuration as YAML, defaults included; passwords are shown as `***`. It loads again to the same,
    /// but for passwords and for the line separators U+0085, U+2028 and U+2029 in texts, which YAML 1.1 and 1.2 read
    /// differently.
    pub fn to_yaml(&self) -> String {
        let yaml = serde_yaml::to_string(&Value::Object(document(self, Secrets::Hidden)));
        format!(
            "{}{}",
            heading(self),
            yaml.unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
        )
    }
}

/// Whether secrets are part of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    /// Shown as `***`.
    Hidden,
    /// As they are: to be compared, never to be shown.
    Plain,
}

/// Comments: where it comes from, and the listener, which is left open when it is the default.
fn heading(config: &Config) -> String {
    let from = match &config.file {
        Some(file) => format!("# {} with the defaults\n", file.display()),
        None => "# no miqro.yml found: the defaults\n".to_owned(),
    };
    match &config.broker {
        Broker::Embedded(broker, _) if broker.listen_is_default => {
            format!(
                "{from}# the embedded broker listens on {} or on the next free port\n",
                broker.listen
            )
        }
        _ => from,
    }
}

/// The effective configuration as JSON.
pub(super) fn document(config: &Config, secrets: Secrets) -> Map<String, Value> {
    let mut document = Map::new();
    let (Broker::Embedded(_, connection) | Broker::Remote(connection)) = &config.broker;
    let mut broker = match &config.broker {
        Broker::Embedded(broker, _) => object(json!({"embedded": embedded(broker, secrets)})),
        Broker::Remote(connection) => address(connection),
    };
    broker.extend(session(connection));
    document.insert("broker".into(), broker.into());
    if let Broker::Remote(connection) = &config.broker {
        add(
            &mut document,
            "auth",
            connection
                .credentials
                .as_ref()
                .map(|login| self::login(login, secrets)),
        );
        add(&mut document, "tls", tls(connection));
    }
    let format = word(&FORMATS, config.log.format);
    document.insert(
        "log".into(),
        json!({"level": show_level(config.log.level), "format": format}),
    );
    document.insert(
        "stop_deadline".into(),
        show_duration(config.stop_deadline).into(),
    );
    add(
        &mut document,
        "cache_dir",
        config.cache_dir.as_deref().map(path),
    );
    let trust: Vec<String> = config.trust.iter().map(ToString::to_string).collect();
    add(
        &mut document,
        "trust",
        (!trust.is_empty()).then_some(trust.into()),
    );
    document.insert(
        "presence_connections".into(),
        config.presence_connections.into(),
    );
    add(
        &mut document,
        "state_file",
        config.state_file.as_deref().map(path),
    );
    document.insert(
        "online_interval".into(),
        show_duration(config.online_interval).into(),
    );
    document.insert(
        "statistics_interval".into(),
        show_duration(config.statistics_interval).into(),
    );
    document.insert(
        "watch_interval".into(),
        show_duration(config.watch_interval).into(),
    );
    document.insert(
        "ha_discovery_prefix".into(),
        config.ha_discovery_prefix.as_str().into(),
    );
    let services = config
        .services
        .iter()
        .map(|s| (s.name.clone(), Value::Object(service(s, secrets))));
    document.insert("services".into(), Value::Object(services.collect()));
    document
}

fn embedded(broker: &EmbeddedBroker, secrets: Secrets) -> Map<String, Value> {
    let mut section = Map::new();
    add(
        &mut section,
        "listen",
        (!broker.listen_is_default).then(|| broker.listen.to_string().into()),
    );
    add(
        &mut section,
        "data_dir",
        broker.data_dir.as_deref().map(path),
    );
    let users: Vec<Value> = broker
        .users
        .iter()
        .map(|user| login(user, secrets))
        .collect();
    add(
        &mut section,
        "users",
        (!users.is_empty()).then_some(users.into()),
    );
    section.insert("limits".into(), Nested.render(&broker.limits));
    section
}

fn address(connection: &Connection) -> Map<String, Value> {
    let (transport, request) = match &connection.transport {
        Transport::Tcp => ("tcp", None),
        Transport::Tls => ("tls", None),
        Transport::WebSocket(path) => ("ws", Some(path)),
        Transport::SecureWebSocket(path) => ("wss", Some(path)),
    };
    let mut section =
        object(json!({"host": connection.host, "port": connection.port, "transport": transport}));
    add(
        &mut section,
        "path",
        request.map(|path| path.as_str().into()),
    );
    add(
        &mut section,
        "bind_address",
        connection.bind_address.map(|ip| ip.to_string().into()),
    );
    section
}

fn session(connection: &Connection) -> Map<String, Value> {
    let never = Duration::from_secs(u32::MAX.into());
    let expiry = connection.session_expiry;
    let client_id = Some(&connection.client_id).filter(|id| !id.is_empty());
    let mut section = object(json!({
        "protocol": match connection.protocol { Protocol::V5 => "5", Protocol::V311 => "3.1.1" },
        "keepalive": show_duration(connection.keepalive),
        "session_expiry": if expiry == never { "never".to_owned() } else { show_duration(expiry) },
        "clean_start": connection.clean_start,
        "receive_maximum": connection.receive_maximum,
        "max_packet_size": show_size(connection.max_packet_size.into()),
        "delivery_timeout": show_duration(connection.delivery_timeout),
        "connect_timeout": show_duration(connection.connect_timeout),
        "reconnect": Waits.render(&connection.reconnect),
        "outbox": Nested.render(&connection.outbox),
    }));
    add(
        &mut section,
        "client_id",
        client_id.map(|id| id.as_str().into()),
    );
    section
}

fn tls(connection: &Connection) -> Option<Value> {
    if !matches!(
        connection.transport,
        Transport::Tls | Transport::SecureWebSocket(_)
    ) {
        return None;
    }
    let tls = &connection.tls;
    let mut section =
        object(json!({"cert_reqs": if tls.insecure { "CERT_NONE" } else { "CERT_REQUIRED" }}));
    add(&mut section, "ca_certs", tls.ca_certs.as_deref().map(path));
    if let Some((certificate, key)) = &tls.client_certificate {
        section.insert("certfile".into(), path(certificate));
        section.insert("keyfile".into(), path(key));
    }
    add(
        &mut section,
        "server_name",
        tls.server_name.as_deref().map(Value::from),
    );
    Some(section.into())
}

fn login(credentials: &Credentials, secrets: Secrets) -> Value {
    let mut section = object(json!({"username": credentials.username}));
    let shown = |password: &String| {
        if secrets == Secrets::Plain {
            password.as_str().into()
        } else {
            HIDDEN.into()
        }
    };
    add(
        &mut section,
        "password",
        credentials.password.as_ref().map(shown),
    );
    section.into()
}

fn service(service: &Service, secrets: Secrets) -> Map<String, Value> {
    let mut section = Map::new();
    add(
        &mut section,
        "component",
        service.component.as_deref().map(path),
    );
    section.insert("data_topic".into(), service.base.as_str().into());
    let subscriptions: Vec<Value> = service.subscriptions.iter().map(subscription).collect();
    section.insert("subscriptions".into(), subscriptions.into());
    section.insert("grants".into(), grants::show(&service.grants));
    let offline: Vec<Value> = service
        .offline
        .iter()
        .map(|rule| offline::show(rule))
        .collect();
    section.insert("offline".into(), offline.into());
    section.insert(
        "republish_retained".into(),
        service.republish_retained.into(),
    );
    let dead_letter = service
        .dead_letter
        .as_ref()
        .and_then(|topic| service.base.relative(topic));
    section.insert(
        "dead_letter".into(),
        dead_letter.map_or(false.into(), Value::from),
    );
    let further: Vec<Value> = service
        .availability
        .iter()
        .map(availability::show)
        .collect();
    section.insert("availability".into(), further.into());
    section.insert("swap".into(), Nested.render(&service.swap));
    add(
        &mut section,
        "import_state",
        service.import_state.as_deref().map(path),
    );
    add(
        &mut section,
        "log_level",
        service.log_level.map(|level| show_level(level).into()),
    );
    section.insert("limits".into(), Nested.render(&service.limits));
    let mut free = service.config.clone();
    for secret in service
        .secrets
        .iter()
        .filter(|_| secrets == Secrets::Hidden)
    {
        if let Some(value) = free.pointer_mut(secret) {
            *value = HIDDEN.into();
        }
    }
    section.extend(object(free));
    section
}

fn subscription(subscription: &Subscription) -> Value {
    json!({"filter": subscription.filter.as_str(), "qos": subscription.qos, "global": true})
}

/// The path from the root, so that the text means the same wherever it is saved.
fn path(path: &Path) -> Value {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
        .into()
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words
        .iter()
        .find(|(_, of)| *of == value)
        .map_or("", |(word, _)| word)
}

fn add(section: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        section.insert(key.to_owned(), value);
    }
}

/// The members of a JSON object.
fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value {
        members
    } else {
        Map::new()
    }
}

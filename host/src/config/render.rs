//! The effective configuration as YAML: text that loads again to the same configuration, but for the secrets, which are not shown.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::format::Format;
use super::logging::LevelFormat;
use super::nested::NestedSection;
use super::settings::Settings;
use super::units::format_duration;
use super::{
    Broker, Config, Connection, Credentials, EmbeddedBroker, GuestConfig, Service, Traces,
    Transport, Triggers, Web, WebTls, availability, grants, mqtt_control, offline, typed,
};
use crate::message::Subscription;

/// The text in place of a secret.
const HIDDEN: &str = "***";

impl Config {
    /// The effective configuration as YAML, defaults included; passwords are shown as `***`. It loads again to the same,
    /// but for passwords and for the line separators U+0085, U+2028 and U+2029 in texts, which YAML 1.1 and 1.2 read
    /// differently.
    pub fn to_yaml(&self) -> String {
        let document = Value::Object(document(self, Secrets::Hidden));
        let yaml = serde_yaml::to_string(&document)
            .unwrap_or_else(|error| format!("# cannot be shown: {error}\n"));
        heading(self) + &yaml
    }
}

impl Service {
    /// Its section as JSON, defaults included, without the files that it names. Secrets are shown as `***`.
    pub fn section(&self) -> Value {
        let mut section = render_service(self, Secrets::Hidden);
        section.remove("component");
        section.remove("import_state");
        section.into()
    }

    /// Base topic, limits and grants as JSON.
    pub fn allowances(&self) -> Value {
        json!({
            "base_topic": self.base.as_str(),
            "limits": NestedSection.render(&self.limits),
            "grants": grants::render(&self.grants),
        })
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

/// Comments: the file, and the listener, which is left open when it is the default.
fn heading(config: &Config) -> String {
    let from = match &config.file {
        Some(file) => format!("# {} with the defaults\n", file.display()),
        None => "# no miqro.yml found: the defaults\n".to_owned(),
    };
    match &config.broker {
        Broker::Embedded(broker, _) if broker.listen_is_default => format!(
            "{from}# the embedded broker listens on {} or on the next free port\n",
            broker.listen
        ),
        _ => from,
    }
}

/// The effective configuration as JSON.
pub(super) fn document(config: &Config, secrets: Secrets) -> Map<String, Value> {
    let mut document = Map::new();
    render_broker(config, secrets, &mut document);

    document.insert("log".into(), NestedSection.render(&config.log));
    config.host.render(&mut document);
    insert_path(&mut document, "cache_dir", config.cache_dir.as_deref());
    if !config.trust.is_empty() {
        let keys: Vec<String> = config.trust.iter().map(ToString::to_string).collect();
        document.insert("trust".into(), keys.into());
    }
    insert_path(&mut document, "state_file", config.state_file.as_deref());
    if let Some(web) = &config.web {
        document.insert("web".into(), render_web(web, secrets));
    }
    if let Some(control) = &config.mqtt_control {
        document.insert("mqtt_control".into(), mqtt_control::render(control));
    }
    if let Some(traces) = &config.traces {
        document.insert("traces".into(), render_traces(traces));
    }
    document.insert(
        "ha_discovery_prefix".into(),
        config.ha_discovery_prefix.as_str().into(),
    );

    let services: Map<String, Value> = config
        .services
        .iter()
        .map(|service| {
            (
                service.name.clone(),
                render_service(service, secrets).into(),
            )
        })
        .collect();

    document.insert("services".into(), services.into());
    document
}

/// Adds the sections `broker`, `auth` and `tls`.
fn render_broker(config: &Config, secrets: Secrets, document: &mut Map<String, Value>) {
    let (mut section, connection) = match &config.broker {
        Broker::Embedded(broker, connection) => {
            let mut section = Map::new();
            section.insert("embedded".into(), render_embedded(broker, secrets).into());
            (section, connection)
        }
        Broker::Remote(connection) => (render_address(connection), connection),
    };

    connection.session.render(&mut section);
    if !connection.client_id.is_empty() {
        section.insert("client_id".into(), connection.client_id.as_str().into());
    }
    document.insert("broker".into(), section.into());

    if let Broker::Remote(connection) = &config.broker {
        if let Some(credentials) = &connection.credentials {
            document.insert("auth".into(), render_credentials(credentials, secrets));
        }
        if let Some(tls) = render_tls(connection) {
            document.insert("tls".into(), tls.into());
        }
    }
}

fn render_embedded(broker: &EmbeddedBroker, secrets: Secrets) -> Map<String, Value> {
    let mut section = Map::new();
    if !broker.listen_is_default {
        section.insert("listen".into(), broker.listen.to_string().into());
    }
    insert_path(&mut section, "data_dir", broker.data_dir.as_deref());
    if !broker.users.is_empty() {
        let users = broker.users.iter();
        let users: Vec<Value> = users
            .map(|user| render_credentials(user, secrets))
            .collect();
        section.insert("users".into(), users.into());
    }

    section.insert("limits".into(), NestedSection.render(&broker.limits));
    section
}

fn render_address(connection: &Connection) -> Map<String, Value> {
    let (transport, path) = match &connection.transport {
        Transport::Tcp => ("tcp", None),
        Transport::Tls => ("tls", None),
        Transport::WebSocket(path) => ("ws", Some(path)),
        Transport::SecureWebSocket(path) => ("wss", Some(path)),
    };

    let mut section = Map::new();
    section.insert("host".into(), connection.host.as_str().into());
    section.insert("port".into(), connection.port.into());
    section.insert("transport".into(), transport.into());
    if let Some(path) = path {
        section.insert("path".into(), path.as_str().into());
    }
    if let Some(ip) = connection.bind_address {
        section.insert("bind_address".into(), ip.to_string().into());
    }
    section
}

fn render_tls(connection: &Connection) -> Option<Map<String, Value>> {
    if !matches!(
        connection.transport,
        Transport::Tls | Transport::SecureWebSocket(_)
    ) {
        return None;
    }

    let tls = &connection.tls;
    let verify = if tls.insecure {
        "CERT_NONE"
    } else {
        "CERT_REQUIRED"
    };
    let mut section = Map::new();
    section.insert("cert_reqs".into(), verify.into());
    insert_path(&mut section, "ca_certs", tls.ca_certs.as_deref());
    if let Some((certificate, key)) = &tls.client_certificate {
        insert_path(&mut section, "certfile", Some(certificate));
        insert_path(&mut section, "keyfile", Some(key));
    }
    if let Some(name) = &tls.server_name {
        section.insert("server_name".into(), name.as_str().into());
    }
    Some(section)
}

fn render_credentials(credentials: &Credentials, secrets: Secrets) -> Value {
    let mut section = Map::new();
    section.insert("username".into(), credentials.username.as_str().into());
    if let Some(password) = &credentials.password {
        let shown = match secrets {
            Secrets::Hidden => HIDDEN,
            Secrets::Plain => password,
        };
        section.insert("password".into(), shown.into());
    }

    section.into()
}

fn render_web(web: &Web, secrets: Secrets) -> Value {
    let tokens = web.tokens.iter().map(|token| {
        let shown = match secrets {
            Secrets::Hidden => HIDDEN.to_owned(),
            Secrets::Plain => format!("{:02x?}", token.digest),
        };
        json!({"name": token.name, "role": token.role.word(), "token": shown})
    });

    let users = web.users.iter().map(|user| {
        let shown = match secrets {
            Secrets::Hidden => HIDDEN.to_owned(),
            Secrets::Plain => user.password.to_string(),
        };
        json!({"name": user.name, "role": user.role.word(), "password_hash": shown})
    });
    let mut section = json!({
        "listen": web.listen.to_string(),
        "behind_proxy": web.behind_proxy,
        "hosts": web.hosts,
        "tokens": tokens.collect::<Vec<_>>(),
        "users": users.collect::<Vec<_>>(),
    });
    if let Some(WebTls { certificate, key }) = &web.tls {
        section["tls"] = json!({"certfile": certificate, "keyfile": key});
    }

    section
}

fn render_traces(traces: &Traces) -> Value {
    let mut section = Map::new();
    section.insert("otlp".into(), traces.otlp.to_string().into());
    insert_path(&mut section, "ca_file", traces.ca_file.as_deref());
    section.insert("sample_every".into(), traces.sample_every.into());
    section.into()
}

fn render_service(service: &Service, secrets: Secrets) -> Map<String, Value> {
    let Triggers {
        subscriptions,
        timers,
    } = &service.triggers;
    let subscriptions: Vec<Value> = subscriptions.iter().map(render_subscription).collect();
    let timers: Map<String, Value> = timers
        .iter()
        .map(|timer| (timer.name.clone(), format_duration(timer.period).into()))
        .collect();

    let mut section = Map::new();
    insert_path(&mut section, "component", service.component.as_deref());
    section.insert("data_topic".into(), service.base.as_str().into());
    section.insert("subscriptions".into(), subscriptions.into());
    section.insert("timers".into(), timers.into());
    section.insert("grants".into(), grants::render(&service.grants));
    render_delivery(service, &mut section);
    section.insert("swap".into(), NestedSection.render(&service.swap));
    typed::render(&service.typed, &mut section);
    insert_path(
        &mut section,
        "import_state",
        service.import_state.as_deref(),
    );
    if let Some(level) = service.log_level {
        section.insert("log_level".into(), LevelFormat.render(&level));
    }
    section.insert("limits".into(), NestedSection.render(&service.limits));
    section.extend(render_guest_config(&service.config, secrets));
    section
}

fn render_delivery(service: &Service, section: &mut Map<String, Value>) {
    let delivery = &service.delivery;
    let offline = delivery.offline.iter();
    let offline: Vec<Value> = offline.map(|rule| offline::render(rule)).collect();
    let availability = delivery.availability.iter();
    let availability: Vec<Value> = availability.map(availability::render).collect();
    let dead_letter = delivery
        .dead_letter
        .as_ref()
        .and_then(|topic| service.base.relative(topic));

    section.insert("offline".into(), offline.into());
    section.insert(
        "republish_retained".into(),
        delivery.republish_retained.into(),
    );
    section.insert(
        "dead_letter".into(),
        dead_letter.map_or(false.into(), Value::from),
    );
    section.insert("availability".into(), availability.into());
}

fn render_subscription(subscription: &Subscription) -> Value {
    json!({"filter": subscription.filter.as_str(), "qos": subscription.qos, "global": true})
}

fn render_guest_config(config: &GuestConfig, secrets: Secrets) -> Map<String, Value> {
    let mut json = config.json.clone();
    if secrets == Secrets::Hidden {
        for pointer in &config.secrets {
            if let Some(value) = json.pointer_mut(pointer) {
                *value = HIDDEN.into();
            }
        }
    }

    match json {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Adds a path, from the root on, so that the text means the same wherever it is saved.
fn insert_path(section: &mut Map<String, Value>, key: &str, path: Option<&Path>) {
    let Some(path) = path else { return };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    section.insert(key.to_owned(), path.display().to_string().into());
}

//! The whole of `miqro.yml`: its top-level keys, and its services.

use super::context::LoadContext;
use super::diagnostic::Diagnostic;
use super::format::set;
use super::key::Key;
use super::logging::{self, read_logging};
use super::mqtt_control::{self, read_mqtt_control};
use super::section::Section;
use super::selection::Lines;
use super::service::{self, read_service};
use super::settings::Settings;
use super::traces::{self, read_traces};
use super::value::ConfigValue;
use super::web::{self, read_web};
use super::{Broker, Config, Connection, HostSettings, Logging, broker};
use crate::signature::Key as SignatureKey;
use crate::topic::Topic;

/// The content of a file.
pub(super) struct Document {
    /// All services included.
    pub config: Config,
    /// The line of each service's section.
    pub lines: Lines,
    /// Services for which nothing but files is missing.
    pub held: Vec<HeldService>,
}

/// A service that cannot run before files come.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldService {
    /// Its name.
    pub service: String,
    /// The missing files.
    pub errors: Vec<Diagnostic>,
}

impl Config {
    /// The defaults; the broker is to be filled in.
    pub(super) fn defaults(context: &LoadContext) -> Self {
        Self {
            file: context.file.clone(),
            broker: Broker::Remote(Connection::default()),
            log: Logging::default(),
            host: HostSettings::default(),
            cache_dir: None,
            trust: Vec::new(),
            state_file: None,
            web: None,
            mqtt_control: None,
            traces: None,
            ha_discovery_prefix: Topic::home_assistant(),
            services: Vec::new(),
        }
    }
}

/// Reads the file.
pub(super) fn read_document(mut root: Section<'_>, context: &LoadContext) -> Document {
    // a place for values that are repeated with * elsewhere
    root.ignore_prefix("x-");

    let mut config = Config {
        broker: broker::read_broker(&mut root),
        log: read_logging(&mut root),
        ..Config::defaults(context)
    };
    config.host.read(&mut root);
    config.cache_dir = root.take("cache_dir").and_then(|value| value.path());
    // keys were meant to be there, although errors may have left none
    let trust = root.take("trust");
    let are_signed = trust.as_ref().is_some_and(|value| !value.is_empty_list());
    config.trust = trust.map_or_else(Vec::new, read_trust);
    config.state_file = root.take("state_file").and_then(|value| value.path());
    config.web = root.take("web").map(read_web);
    let mqtt_control = root.take("mqtt_control");
    config.mqtt_control = mqtt_control.map(|value| read_mqtt_control(value, are_signed));
    config.traces = root.take("traces").and_then(read_traces);
    if let Some(value) = root.take("ha_discovery_prefix") {
        let prefix = value.parse(|text| Topic::new(text.to_owned()));
        set(prefix, &mut config.ha_discovery_prefix);
    }

    let mut document = Document {
        config,
        lines: Lines::new(),
        held: Vec::new(),
    };
    for (name, value) in root.take_section("services").into_named() {
        read_named_service(&mut document, name, value, context);
    }
    root.finish();
    document
}

/// Reads the section of a service. When all its errors wait for files, the service is held.
fn read_named_service(
    document: &mut Document,
    name: &str,
    value: ConfigValue<'_>,
    context: &LoadContext,
) {
    document.lines.insert(name.to_owned(), value.line);

    let first = context.diagnostics.error_count();
    document.config.services.extend(read_service(name, value));
    let errors: Vec<Diagnostic> = context.diagnostics.take_awaiting(first);
    if !errors.is_empty() {
        document.held.push(HeldService {
            service: name.to_owned(),
            errors,
        });
    }
}

/// Reads keys as they are, and files that have them.
fn read_trust(value: ConfigValue<'_>) -> Vec<SignatureKey> {
    let items = value
        .into_list("[RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3, keys/minisign.pub]");
    items
        .into_iter()
        .filter_map(|item| read_key(&item))
        .collect()
}

fn read_key(value: &ConfigValue<'_>) -> Option<SignatureKey> {
    let text = value.text()?;
    let not_a_key = match SignatureKey::read(text) {
        Ok(key) => return Some(key),
        Err(error) => error,
    };

    let path = value.path()?;
    let message = match value.context.read_file(&path) {
        Ok(content) => match SignatureKey::read(&content) {
            Ok(key) => return Some(key),
            Err(error) => format!("{text:?} {error}"),
        },
        Err(error) => format!("{text:?} {not_a_key}, and as a file: {error}"),
    };

    // a text without a dot is a key with a slip in it rather than a file that is to come
    if path.exists() || text.contains('.') {
        value.error_until_file(message, path);
    } else {
        value.error(message);
    }
    None
}

/// The keys of the whole file for the reference.
pub(super) fn keys() -> Vec<Key> {
    let mut keys = broker::keys();
    keys.push(
        Key::new("log", "The level and the form of log lines.", "section").keys(Logging::keys()),
    );
    keys.push(logging::former_key());
    keys.extend(file_keys());
    keys.extend(HostSettings::keys());
    keys.push(web::key());
    keys.push(mqtt_control::key());
    keys.push(traces::key());
    keys.push(services_key());
    keys
}

/// The keys that have no table.
fn file_keys() -> [Key; 4] {
    [
        Key::new(
            "cache_dir",
            "The directory of compiled components.",
            "path",
        )
        .default("the user's cache directory")
        .example("/var/cache/miqro-host")
        .needs_restart(true),
        Key::new(
            "trust",
            "Public keys of minisign: a key itself, or the path of its `.pub` file. With keys here only signed components run: next \
             to `a.wasm` lies `a.wasm.minisig`, as `minisign -Sm a.wasm` makes it.",
            "list of keys and paths",
        )
        .default("unsigned components run")
        .example("[RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3]")
        .needs_restart(true),
        Key::new(
            "state_file",
            "The file of the services' state, of messages that wait on disk, and of dead letters.",
            "path",
        )
        .default("in the directory that systemd gives, or in the user's directory for state")
        .example("/var/lib/miqro-host/state.redb")
        .needs_restart(true),
        Key::new(
            "ha_discovery_prefix",
            "The topic below which services announce themselves to Home Assistant.",
            "topic",
        )
        .default("`homeassistant`")
        .example("homeassistant")
        .needs_restart(true),
    ]
}

fn services_key() -> Key {
    Key::new(
        "services",
        "A section for each service, under its name. `miqro-host run` starts those with a `component`. `miqro-host run FILE` \
         starts the one whose `component` is that file, or the one with the name of the file, and no other.",
        "sections",
    )
    .example("{echo: {component: guests/echo.wasm}}")
}

/// The keys of the section of a service for the reference.
pub(super) fn service_keys() -> Vec<Key> {
    service::keys()
}

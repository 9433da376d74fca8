//! Configuration files of mqttservice (pymqttmicroservicebase), which are JSON.
//!
//! The section `mqtt` names the broker and the topic below which the service lives; everything else is the service's own. The
//! service gets everything but `mqtt`: the password is the host's business.

use std::borrow::Cow;
use std::path::PathBuf;

use super::context::LoadContext;
use super::credentials::{self, read_credentials};
use super::diagnostic::Diagnostics;
use super::format::set;
use super::key::Key;
use super::section::Section;
use super::service::NameError;
use super::yaml::{Node, Value};
use super::{Broker, Connection, GuestConfig, Service, address, json};
use crate::topic::BaseTopic;

/// The section that such a file has, and no other.
const MQTT: &str = "mqtt";

/// Whether this is such a file.
pub(super) fn is_mqttservice(root: &Node) -> bool {
    matches!(&root.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == MQTT))
}

/// A service without name and component.
pub(super) struct Template {
    base: BaseTopic,
    config: GuestConfig,
}

/// Reads the file: how to connect, and the service that it is for.
pub(super) fn read_file(mut root: Section<'_>, context: &LoadContext) -> (Broker, Template) {
    let mut section = root.take_section(MQTT);
    let mut connection = Connection::default();

    match section.take("broker") {
        Some(value) => set(value.parse(address::parse_host), &mut connection.host),
        None => section
            .error("has no broker; write its host name or address: \"broker\": \"localhost\""),
    }
    if let Some(value) = section.take("port") {
        set(value.number(1..=u16::MAX), &mut connection.port);
    }
    connection.credentials = read_credentials(&mut section, &credentials::MQTTSERVICE);
    let base = section
        .take("basetopic")
        .and_then(|value| value.parse(BaseTopic::new));
    section.ignore_rest("a service gets what stands outside of mqtt");

    let template = Template {
        base: base.unwrap_or_else(BaseTopic::global),
        config: json::guest_config(&root.into_rest(), "", context),
    };
    (Broker::Remote(connection), template)
}

impl Template {
    /// The service that runs: with the component of the command line, whose stem is its name.
    pub(super) fn into_selected(
        self,
        files: &[PathBuf],
        diagnostics: &Diagnostics,
    ) -> Vec<Service> {
        let [file] = files else {
            diagnostics.command_line_error(match files {
                [] => {
                    "no service to run: a file with mqtt has no component in it; name one (miqro-host run svc.wasm --config svc.conf)"
                }
                _ => "a file with mqtt is for one service, and several components are named; write miqro.yml for them",
            });

            return Vec::new();
        };

        let stem = file.file_stem().and_then(|stem| stem.to_str());
        match self.into_service(stem.unwrap_or_default()) {
            Ok(service) => vec![Service {
                component: Some(file.clone()),
                ..service
            }],
            Err(error) => {
                diagnostics
                    .command_line_error(format!("{}: {error}; rename the file", file.display()));
                Vec::new()
            }
        }
    }

    /// The service under this name, without a component.
    ///
    /// # Errors
    /// When it cannot be the name of a service.
    pub(super) fn into_service(self, name: &str) -> Result<Service, NameError> {
        Ok(Service {
            base: self.base,
            config: self.config,
            ..Service::with_default_base(name)?
        })
    }
}

/// JSON as the YAML with the same meaning. All JSON is YAML but for tabs before values and for characters beyond U+FFFF that are
/// escaped in two halves. Lines stay lines.
pub(super) fn json_to_yaml(text: &str) -> Cow<'_, str> {
    let is_json = text.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if !is_json {
        return Cow::Borrowed(text);
    }

    // JSON has no tabs inside strings
    let text = text.replace('\t', " ");
    let mut yaml = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\\') {
        yaml.push_str(&rest[..at]);
        let (escape, length) = escape_to_yaml(&rest[at..]);
        yaml.push_str(&escape);
        rest = &rest[at + length..];
    }

    Cow::Owned(yaml + rest)
}

/// The escape that `text` begins with, as YAML writes it, and its length in JSON.
fn escape_to_yaml(text: &str) -> (Cow<'_, str>, usize) {
    if let Some(character) = surrogate_pair(text) {
        return (Cow::Owned(format!("\\U{:08x}", u32::from(character))), 12);
    }
    let length = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
    (Cow::Borrowed(&text[..length]), length)
}

/// The character beyond U+FFFF that `text` begins with, as two escapes `\uXXXX`.
fn surrogate_pair(text: &str) -> Option<char> {
    let half = |from: usize| -> Option<u16> {
        let digits = text.get(from..from + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let character = char::decode_utf16([half(0)?, half(6)?]).next()?.ok()?;
    (u32::from(character) > 0xFFFF).then_some(character)
}

/// The keys of the section `mqtt` for the reference.
pub(super) fn keys() -> Vec<Key> {
    let mut keys = vec![
        Key::new(
            "broker",
            "Name or IP address of the broker. Required.",
            "host name or IP address",
        )
        .example("localhost"),
        Key::new("port", "The port of the broker.", "number, 1 to 65535")
            .default("`1883`")
            .example("1883"),
    ];

    keys.extend(credentials::mqttservice_keys());
    keys.push(
        Key::new(
            "basetopic",
            "The topic below which the service lives. Without it, topics are full ones.",
            "topic",
        )
        .example("labor/eins"),
    );

    keys
}

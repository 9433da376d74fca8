//! Pure: configuration files of mqttservice (pymqttmicroservicebase), which are JSON. In: the top of such a file. Out: the broker
//! and the one service that it is for. Owns nothing.
//!
//! `mqtt` says where the broker is and below which topic the service lives; everything else is the service's own. What the service
//! gets is everything but `mqtt`: the password is the host's business.

use std::borrow::Cow;
use std::path::PathBuf;

use super::credentials::{MQTTSERVICE, credentials};
use super::format::set;
use super::place::Place;
use super::problem::Report;
use super::section::Section;
use super::yaml::{Node, Value};
use super::{Broker, Connection, Service, address, json, service};
use crate::topic::BaseTopic;

/// The section that such a file has, and no other.
const MQTT: &str = "mqtt";

/// Whether this is such a file.
pub(super) fn is_one(root: &Node) -> bool {
    matches!(&root.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == MQTT))
}

/// A service without name and component.
pub(super) struct Template {
    base: BaseTopic,
    config: serde_json::Value,
    secrets: Vec<String>,
}

/// Reads the file: how to connect, and the service that it is for.
pub(super) fn read(mut root: Section<'_>, place: &Place, report: &Report) -> (Broker, Template) {
    let mut section = root.section(MQTT);
    let mut connection = Connection::default();
    match section.take("broker") {
        Some(given) => set(given.read(address::host), &mut connection.host),
        None => section
            .problem("has no broker; write its host name or address: \"broker\": \"localhost\""),
    }
    set(
        section
            .take("port")
            .and_then(|given| given.number(1..=u16::MAX)),
        &mut connection.port,
    );
    connection.credentials = credentials(&mut section, MQTTSERVICE, place);
    let base = section
        .take("basetopic")
        .and_then(|given| given.read(BaseTopic::new));
    section.ignore_rest("a service gets what stands outside of mqtt");
    let (config, secrets) = json::free(&root.rest(), "", place, report);
    let template = Template {
        base: base.unwrap_or_else(BaseTopic::global),
        config,
        secrets,
    };
    (Broker::Remote(connection), template)
}

impl Template {
    /// The service that runs: with the component of the command line, whose stem is its name.
    pub fn select(self, files: &[PathBuf], report: &Report) -> Vec<Service> {
        let [file] = files else {
            report.elsewhere(match files {
                [] => {
                    "no service to run: a file with mqtt has no component in it; name one (miqro-host run svc.wasm --config svc.conf)"
                }
                _ => "a file with mqtt is for one service, and several components are named; write miqro.yml for them",
            });
            return Vec::new();
        };
        match self.named(
            file.file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default(),
        ) {
            Ok(service) => vec![Service {
                component: Some(file.clone()),
                ..service
            }],
            Err(message) => {
                report.elsewhere(format!("{}: {message}; rename the file", file.display()));
                Vec::new()
            }
        }
    }

    /// The service under this name, without a component.
    ///
    /// # Errors
    /// When it cannot be the name of a service.
    pub fn named(self, name: &str) -> Result<Service, String> {
        let Self {
            base,
            config,
            secrets,
        } = self;
        Ok(Service {
            base,
            config,
            secrets,
            ..service::plain(name)?
        })
    }
}

/// JSON as the YAML that means the same. All JSON is YAML but for tabs before values and for characters beyond U+FFFF that are
/// escaped in two halves. Lines stay lines.
pub(super) fn as_yaml(text: &str) -> Cow<'_, str> {
    let is_json = text.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if !is_json {
        return Cow::Borrowed(text);
    }
    // a tab inside a string would be no JSON
    let text = text.replace('\t', " ");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (escape, length) = escape(&rest[at..]);
        out.push_str(&escape);
        rest = &rest[at + length..];
    }
    Cow::Owned(out + rest)
}

/// The escape that `text` begins with, as YAML writes it, and how long it is in JSON.
fn escape(text: &str) -> (Cow<'_, str>, usize) {
    let half = |from: usize| u16::from_str_radix(text.get(from..from + 4)?, 16).ok();
    if text[1..].starts_with('u')
        && let (Some(high), Some(low)) = (
            half(2),
            text.get(6..8)
                .filter(|mark| *mark == "\\u")
                .and_then(|_| half(8)),
        )
        && let Some(Ok(character)) = char::decode_utf16([high, low]).next()
        && u32::from(character) > 0xFFFF
    {
        return (Cow::Owned(format!("\\U{:08x}", u32::from(character))), 12);
    }
    let length = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
    (Cow::Borrowed(&text[..length]), length)
}

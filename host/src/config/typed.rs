//! The lists `serve` and `call` of a service: typed interfaces that it serves to the network, and those that it calls there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::format::{Format, Span, Words};
use super::section::Section;
use super::units::format_duration;
use super::value::ConfigValue;
use super::yaml;
use crate::message::Qos;
use crate::topic::{Filter, TopicError};
use crate::typed::interface::InterfaceId;
use crate::typed::naming::Naming;

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

mod keys;

pub(super) use keys::keys;

const SERVE: &str = "['io:world/hello', {interface: 'home:climate/thermostat', share: climate}]";
const CALL: &str = "['io:world/hello', {interface: 'home:climate/thermostat', deadline: 2s}]";

/// The typed interfaces of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypedInterfaces {
    /// The interfaces that it serves; `None`: all that it exports, with the default settings.
    pub serve: Option<Vec<Serve>>,
    /// The interfaces whose functions it calls over the network.
    pub call: Vec<Call>,
}

/// An interface on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInterface {
    /// Its name; without a version, any version.
    pub interface: InterfaceId,
    /// The interface with its signals; `None`: the one with `-signals` at the end of its name, if there is one.
    pub signals: Option<InterfaceId>,
    /// Spellings that differ from the rule.
    pub naming: Naming,
    /// The QoS of properties, requests to set them, signals and calls. An answer has the QoS of its call.
    pub qos: Qos,
}

/// An interface that a service serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// The interface.
    pub network: NetworkInterface,
    /// The answer of an operation without a result.
    pub void_answer: VoidAnswer,
    /// The group of providers that share the calls; `None`: each provider gets all of them.
    pub share: Option<String>,
}

/// An interface whose functions a service calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The interface.
    pub network: NetworkInterface,
    /// How long a call waits for its answer.
    pub deadline: Duration,
    /// Whether an operation without a result waits for an answer.
    pub awaits_void: bool,
    /// Whether calls to a service of this host skip the broker.
    pub is_local: bool,
}

/// The answer of an operation without a result. Peers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoidAnswer {
    /// `0`, as Python's template.
    Zero,
    /// `null`, as Qt's template.
    Null,
    /// None, as the templates of C++.
    Nothing,
}

const VOID_ANSWERS: [(&str, VoidAnswer); 3] = [
    ("zero", VoidAnswer::Zero),
    ("null", VoidAnswer::Null),
    ("none", VoidAnswer::Nothing),
];

/// How long a call waits by default.
const DEADLINE: Duration = Duration::from_secs(30);

impl NetworkInterface {
    /// An interface with the default settings.
    pub fn new(interface: InterfaceId) -> Self {
        Self {
            interface,
            signals: None,
            naming: Naming::default(),
            qos: Qos::AtLeastOnce,
        }
    }

    /// The interface with its signals, whether it exists or not.
    pub fn signals(&self) -> InterfaceId {
        let by_rule = || {
            self.interface
                .sibling(format!("{}-signals", self.interface.name))
        };
        self.signals.clone().unwrap_or_else(by_rule)
    }
}

impl Serve {
    /// An interface that is served with the default settings.
    pub fn new(interface: InterfaceId) -> Self {
        Self {
            network: NetworkInterface::new(interface),
            void_answer: VoidAnswer::Zero,
            share: None,
        }
    }
}

impl Call {
    /// An interface that is called with the default settings.
    pub fn new(interface: InterfaceId) -> Self {
        Self {
            network: NetworkInterface::new(interface),
            deadline: DEADLINE,
            awaits_void: true,
            is_local: false,
        }
    }
}

/// Reads both lists.
pub(super) fn read_typed(section: &mut Section<'_>) -> TypedInterfaces {
    let serve = section.take("serve").map(|value| {
        let items = value.into_list(SERVE).into_iter();
        items.filter_map(read_serve).collect()
    });
    let call = section.take("call").map_or_else(Vec::new, |value| {
        let items = value.into_list(CALL).into_iter();
        items.filter_map(read_call).collect()
    });
    TypedInterfaces { serve, call }
}

fn read_serve(item: ConfigValue<'_>) -> Option<Serve> {
    if !matches!(item.node.value, yaml::Value::Map(_)) {
        return Some(Serve::new(item.parse(InterfaceId::parse)?));
    }

    let mut section = item.into_section();
    let network = read_network(&mut section);
    let mut void_answer = VoidAnswer::Zero;
    if let Some(value) = section.take("void_answer") {
        Words(&VOID_ANSWERS).read(value, &mut void_answer);
    }
    let share = section
        .take("share")
        .and_then(|value| value.parse(parse_group));
    section.finish();

    Some(Serve {
        network: network?,
        void_answer,
        share,
    })
}

fn read_call(item: ConfigValue<'_>) -> Option<Call> {
    if !matches!(item.node.value, yaml::Value::Map(_)) {
        return Some(Call::new(item.parse(InterfaceId::parse)?));
    }

    let mut section = item.into_section();
    let network = read_network(&mut section);
    let mut deadline = DEADLINE;
    if let Some(value) = section.take("deadline") {
        Span(MS..=DAY).read(value, &mut deadline);
    }
    let awaits_void = read_flag(&mut section, "awaits_void", true);
    let is_local = read_flag(&mut section, "local", false);
    section.finish();

    Some(Call {
        network: network?,
        deadline,
        awaits_void,
        is_local,
    })
}

fn read_flag(section: &mut Section<'_>, key: &'static str, default: bool) -> bool {
    let value = section.take(key);
    value.and_then(|value| value.flag()).unwrap_or(default)
}

fn read_network(section: &mut Section<'_>) -> Option<NetworkInterface> {
    let interface = section.take_required("interface");
    let signals = section.take("signals");
    let signals = signals.and_then(|value| value.parse(InterfaceId::parse));
    let naming = read_naming(section);
    let qos = section
        .take("qos")
        .map_or(Some(1), |value| value.number(0..=2u8));

    Some(NetworkInterface {
        interface: interface?.parse(InterfaceId::parse)?,
        signals,
        naming,
        qos: qos?.try_into().ok()?,
    })
}

fn read_naming(section: &mut Section<'_>) -> Naming {
    let mut text = |key| {
        let value = section.take(key);
        value.and_then(|value| value.text().map(str::to_owned))
    };
    let module = text("module");
    let interface = text("name");

    let names = section.take("names").map_or_else(BTreeMap::new, |value| {
        let named = value.into_section().into_named().into_iter();
        named
            .filter_map(|(name, value)| Some((name.to_owned(), value.text()?.to_owned())))
            .collect()
    });

    let numbers = section.take("enums").map_or_else(BTreeMap::new, |value| {
        let named = value.into_section().into_named().into_iter();
        named
            .map(|(name, value)| {
                let items = value.into_list("[0, 1, 2]").into_iter();
                let numbers = items.filter_map(|item| item.number(i64::MIN..=i64::MAX));
                (name.to_owned(), numbers.collect())
            })
            .collect()
    });

    let operations = section.take("operations").map_or_else(Vec::new, |value| {
        let items = value.into_list("[get-older]").into_iter();
        items
            .filter_map(|item| item.text().map(str::to_owned))
            .collect()
    });

    Naming {
        module,
        interface,
        names,
        numbers,
        operations,
    }
}

/// A group of a shared subscription.
fn parse_group(text: &str) -> Result<String, TopicError> {
    Filter::new(&format!("$share/{text}/topic"))
        .ok()
        .filter(|filter| filter.pattern() == "topic")
        .map(|_| text.to_owned())
        .ok_or_else(|| TopicError::Share(text.to_owned()))
}

/// Adds both lists as the file would have them.
pub(super) fn render(typed: &TypedInterfaces, section: &mut Map<String, Value>) {
    if let Some(serve) = &typed.serve {
        let serve: Vec<Value> = serve.iter().map(render_serve).collect();
        section.insert("serve".to_owned(), serve.into());
    }
    let call: Vec<Value> = typed.call.iter().map(render_call).collect();
    section.insert("call".to_owned(), call.into());
}

fn render_serve(serve: &Serve) -> Value {
    let mut section = render_network(&serve.network);
    let void_answer = Words(&VOID_ANSWERS).render(&serve.void_answer);
    section.insert("void_answer".to_owned(), void_answer);
    if let Some(group) = &serve.share {
        section.insert("share".to_owned(), group.as_str().into());
    }
    section.into()
}

fn render_call(call: &Call) -> Value {
    let mut section = render_network(&call.network);
    let deadline = format_duration(call.deadline);
    section.insert("deadline".to_owned(), deadline.into());
    section.insert("awaits_void".to_owned(), call.awaits_void.into());
    section.insert("local".to_owned(), call.is_local.into());
    section.into()
}

fn render_network(network: &NetworkInterface) -> Map<String, Value> {
    let naming = &network.naming;
    let mut section = Map::new();
    let mut insert = |key: &str, value: Value| {
        section.insert(key.to_owned(), value);
    };

    insert("interface", network.interface.to_string().into());
    if let Some(signals) = &network.signals {
        insert("signals", signals.to_string().into());
    }
    if let Some(module) = &naming.module {
        insert("module", module.as_str().into());
    }
    if let Some(name) = &naming.interface {
        insert("name", name.as_str().into());
    }
    insert("names", json!(naming.names));
    insert("enums", json!(naming.numbers));
    insert("operations", json!(naming.operations));
    insert("qos", json!(network.qos));
    section
}

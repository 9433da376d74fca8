//! One section of `services`. Keys that are not the host's are the service's own: they become JSON for the guest.

use super::availability::{self, read_availability};
use super::format::Format;
use super::grants::{self, read_grants};
use super::key::Key;
use super::logging::LevelFormat;
use super::nested::NestedSection;
use super::offline::{self, read_rules};
use super::section::Section;
use super::settings::Settings;
use super::subscriptions::{self, read_subscriptions};
use super::timers::{self, read_timers};
use super::typed::{self, read_typed};
use super::value::ConfigValue;
use super::{
    Delivery, Grants, GuestConfig, Limits, Service, Swap, Triggers, TypedInterfaces, json,
};
use crate::text;
use crate::topic::{BaseTopic, Filter, Topic, TopicError};

/// A text that cannot be the name of a service.
#[derive(Debug, thiserror::Error)]
pub(super) enum NameError {
    /// It is not one level of a topic.
    #[error(
        "invalid service name {0:?}: must be a single topic level without '/', '+', '#', control characters and noncharacters"
    )]
    NotOneLevel(String),
    /// No base topic can be made of it.
    #[error(transparent)]
    Topic(#[from] TopicError),
}

impl Service {
    /// A service with the default settings.
    pub fn new(name: impl Into<String>, base: BaseTopic) -> Self {
        Self {
            name: name.into(),
            component: None,
            delivery: Delivery {
                dead_letter: default_dead_letter(&base),
                ..Delivery::default()
            },
            base,
            triggers: Triggers::default(),
            limits: Limits::default(),
            grants: Grants::default(),
            swap: Swap::default(),
            typed: TypedInterfaces::default(),
            import_state: None,
            log_level: None,
            config: GuestConfig::default(),
        }
    }

    /// Whether its guest may subscribe to the filter: it is below the base topic, or granted.
    pub fn may_subscribe(&self, filter: &Filter) -> bool {
        let below = filter
            .pattern()
            .strip_prefix(self.base.as_str())
            .is_some_and(|rest| !rest.is_empty());
        let mut grants = self.grants.subscribe.iter();
        below || grants.any(|grant| grant.covers(filter))
    }

    /// A service with the default settings, below the default base topic.
    ///
    /// # Errors
    /// When `name` cannot be the name of a service.
    pub(super) fn with_default_base(name: &str) -> Result<Self, NameError> {
        Ok(Self::new(name, default_base(name)?))
    }
}

/// Reads the section of the service `name`; `None` when the name is invalid.
pub(super) fn read_service(name: &str, value: ConfigValue<'_>) -> Option<Service> {
    let mut service = match Service::with_default_base(name) {
        Ok(service) => service,
        Err(error) => {
            value.error(error.to_string());
            return None;
        }
    };

    let path = value.path.clone();
    let context = value.context;
    let mut section = value.into_section();

    if let Some(base) = section
        .take("data_topic")
        .and_then(|value| value.parse(BaseTopic::new))
    {
        service.base = base;
    }

    service.component = section.take("component").and_then(|value| value.path());
    if let Some(value) = section.take("limits") {
        NestedSection.read(value, &mut service.limits);
    }
    if let Some(value) = section.take("subscriptions") {
        let most = service.limits.total.subscriptions;
        service.triggers.subscriptions = read_subscriptions(value, &service.base, most);
    }
    if let Some(value) = section.take("timers") {
        service.triggers.timers = read_timers(value, service.limits.total.timers);
    }
    if let Some(value) = section.take("grants") {
        service.grants = read_grants(value.into_section());
    }
    service.delivery = read_delivery(&mut section, &service.base);
    if let Some(value) = section.take("swap") {
        NestedSection.read(value, &mut service.swap);
    }
    service.typed = read_typed(&mut section);
    service.import_state = section.take("import_state").and_then(|value| value.path());
    service.log_level = section
        .take("log_level")
        .and_then(|value| LevelFormat.level(&value));

    service.config = json::guest_config(&section.into_rest(), &path, context);
    Some(service)
}

fn read_delivery(section: &mut Section<'_>, base: &BaseTopic) -> Delivery {
    let offline = section
        .take("offline")
        .map_or_else(Vec::new, |value| read_rules(value, base));
    let republish_retained = section
        .take("republish_retained")
        .and_then(|value| value.flag())
        .unwrap_or_default();
    let dead_letter = match section.take("dead_letter") {
        Some(value) => read_dead_letter(&value, base),
        None => default_dead_letter(base),
    };
    let availability = section
        .take("availability")
        .map_or_else(Vec::new, |value| read_availability(value, base));

    Delivery {
        offline,
        republish_retained,
        dead_letter,
        availability,
    }
}

/// Reads a topic below the base topic, or `false`: messages that are given up are only logged.
fn read_dead_letter(value: &ConfigValue<'_>, base: &BaseTopic) -> Option<Topic> {
    match value.text()? {
        "false" => None,
        _ => value.parse(|text| base.topic(text)),
    }
}

fn default_dead_letter(base: &BaseTopic) -> Option<Topic> {
    base.topic("dead-letter").ok()
}

/// The default base topic of `name`, which has to be a single level of a topic.
fn default_base(name: &str) -> Result<BaseTopic, NameError> {
    if name.is_empty() || name.contains(['/', '+', '#']) || text::find_forbidden(name).is_some() {
        return Err(NameError::NotOneLevel(name.to_owned()));
    }
    Ok(BaseTopic::of_service(name)?)
}

/// The keys for the reference.
pub(super) fn keys() -> Vec<Key> {
    let mut keys = vec![
        Key::new(
            "component",
            "The component file. It is loaded again when it changes. A section without it counts only if the command line names a \
             file for it.",
            "path",
        )
        .example("guests/echo.wasm"),
        Key::new("data_topic", "The topic below which the service lives.", "topic")
            .default("`service/NAME`")
            .example("home/echo"),
        subscriptions::key(),
        timers::key(),
        Key::new(
            "grants",
            "The things outside `data_topic` that the service may reach. Nothing by default.",
            "section",
        )
        .keys(grants::keys()),
        Key::new("swap", "The way in which a new version takes over.", "section")
            .keys(Swap::keys()),
        Key::new(
            "import_state",
            "MIQRO's state file to begin with, as long as the service has no state of its own here.",
            "path",
        )
        .example("/var/lib/miqro/data/echo.yaml"),
        Key::new(
            "log_level",
            "The level of its own log lines.",
            LevelFormat.accepted_values(),
        )
        .default("`log.level`")
        .example("DEBUG"),
        Key::new(
            "limits",
            "The limits of the service.",
            "section",
        )
        .keys(<Limits as Settings>::keys()),
    ];

    keys.extend(delivery_keys());
    keys.extend(typed::keys());
    keys
}

fn delivery_keys() -> Vec<Key> {
    vec![
        offline::key(),
        Key::new(
            "republish_retained",
            "Whether its last retained messages (10000 topics, 4 MiB) are published again when the broker has forgotten the \
             session, as a broker without persistence does when it is started again.",
            "`true`, `false`",
        )
        .default("`false`")
        .example("true"),
        Key::new(
            "dead_letter",
            "The topic below `data_topic` to which messages go that were tried `limits.attempts` times; or `false`: they are only \
             logged.",
            "topic, or `false`",
        )
        .default("`dead-letter`")
        .example("dead-letter"),
        availability::key(),
    ]
}

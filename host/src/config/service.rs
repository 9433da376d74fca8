//! Pure: one section of `services`. In: the section and its name. Out: `Service`, in which what is not for the host is JSON
//! for the guest. Owns nothing.

use super::availability::availability;
use super::format::{Format, Nested};
use super::given::Given;
use super::grants::grants;
use super::place::Place;
use super::yaml::Value;
use super::{Grants, Limits, Service, Swap, json, logging, offline};
use crate::message::{Qos, Subscription};
use crate::text;
use crate::topic::{BaseTopic, Filter, Topic};

/// A service without a section.
///
/// # Errors
/// When `name` cannot be the name of a service.
pub(super) fn plain(name: &str) -> Result<Service, String> {
    Ok(Service::new(name, base(name)?))
}

impl Service {
    /// A service with the default settings.
    pub fn new(name: impl Into<String>, base: BaseTopic) -> Self {
        Self {
            name: name.into(),
            component: None,
            dead_letter: base.topic("dead-letter").ok(),
            base,
            subscriptions: Vec::new(),
            limits: Limits::default(),
            grants: Grants::default(),
            offline: Vec::new(),
            republish_retained: false,
            swap: Swap::default(),
            availability: Vec::new(),
            import_state: None,
            log_level: None,
            config: serde_json::json!({}),
            secrets: Vec::new(),
        }
    }
}

/// Reads the section of the service `name`; `None` when the name is none.
pub(super) fn service(name: &str, given: Given<'_>, place: &Place) -> Option<Service> {
    let mut service = plain(name).map_err(|message| given.problem(message)).ok()?;
    let (path, report) = (given.path.clone(), given.report);
    let mut section = given.section();
    if let Some(base) = section
        .take("data_topic")
        .and_then(|given| given.read(BaseTopic::new))
    {
        service.base = base;
    }
    service.component = section
        .take("component")
        .and_then(|given| Some(place.path(given.text()?)));
    if let Some(given) = section.take("limits") {
        Nested.read(given, &mut service.limits);
    }
    if let Some(given) = section.take("subscriptions") {
        service.subscriptions =
            subscriptions(given, &service.base, service.limits.total.subscriptions);
    }
    service.grants = section
        .take("grants")
        .map_or_else(Grants::default, |given| grants(given.section(), place));
    service.offline = section
        .take("offline")
        .map_or_else(Vec::new, |given| offline::rules(given, &service.base));
    service.republish_retained = section
        .take("republish_retained")
        .and_then(|given| given.flag())
        .unwrap_or_default();
    service.dead_letter = service.base.topic("dead-letter").ok();
    if let Some(given) = section.take("dead_letter") {
        service.dead_letter = dead_letter(&given, &service.base);
    }
    if let Some(given) = section.take("swap") {
        Nested.read(given, &mut service.swap);
    }
    service.availability = section
        .take("availability")
        .map_or_else(Vec::new, |given| availability(given, &service.base));
    service.import_state = section
        .take("import_state")
        .and_then(|given| Some(place.path(given.text()?)));
    service.log_level = section
        .take("log_level")
        .and_then(|given| logging::level(&given));
    (service.config, service.secrets) = json::free(&section.rest(), &path, place, report);
    Some(service)
}

/// A topic below the base topic; or `false`: messages that are given up are only logged.
fn dead_letter(given: &Given<'_>, base: &BaseTopic) -> Option<Topic> {
    match given.text()? {
        "false" => None,
        _ => given.read(|text| base.topic(text)),
    }
}

/// The default base topic of `name`, which has to be a single level of a topic.
fn base(name: &str) -> Result<BaseTopic, String> {
    if name.is_empty() || name.contains(['/', '+', '#']) || text::forbidden(name).is_some() {
        return Err(format!(
            "{name:?} is no name for a service: it is one level of a topic, without /, + and #, control characters and noncharacters"
        ));
    }
    BaseTopic::of_service(name).map_err(|error| error.to_string())
}

fn subscriptions(given: Given<'_>, base: &BaseTopic, most: usize) -> Vec<Subscription> {
    let at = given.clone();
    let mut all: Vec<Subscription> = Vec::new();
    let mut places: Vec<String> = Vec::new();
    for item in given.list("[echo, {filter: home/#, qos: 1, global: true}]") {
        let place = item.clone();
        match subscription(item, base) {
            Some(new)
                if let Some(first) = all.iter().position(|other| other.filter == new.filter) =>
            {
                place.problem(format!(
                    "{} is subscribed to already by {}",
                    new.filter, places[first]
                ));
            }
            Some(new) => {
                all.push(new);
                places.push(place.place());
            }
            None => {}
        }
    }
    if all.len() > most {
        at.problem(format!(
            "{} subscriptions are more than limits.subscriptions, {most}",
            all.len()
        ));
    }
    all
}

/// A filter below the base topic, or a section that says more about it. The default QoS is that of the guest's `subscribe`.
fn subscription(given: Given<'_>, base: &BaseTopic) -> Option<Subscription> {
    if !matches!(given.node.value, Value::Map(_)) {
        let filter = given.read(|text| base.filter(text))?;
        return Some(Subscription {
            filter,
            qos: Qos::AtLeastOnce,
        });
    }
    let mut section = given.section();
    let qos = section
        .take("qos")
        .map_or(Some(1), |given| given.number(0..=2u8));
    let global = section
        .take("global")
        .map_or(Some(false), |given| given.flag());
    let filter = section.take("filter");
    if filter.is_none() {
        section.problem("has no filter");
    }
    section.finish();
    let read = |text: &str| {
        if global == Some(true) {
            Filter::new(text)
        } else {
            base.filter(text)
        }
    };
    let filter = filter?.read(read)?;
    Some(Subscription {
        filter,
        qos: qos?.try_into().ok()?,
    })
}

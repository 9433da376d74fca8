//! Scenarios, which say in YAML how a service behaves. A file has one or more, as documents with `---` between them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::content::Content;
use crate::config::{self, Config, ConfigError, Selection};

/// A scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    #[serde(rename = "scenario")]
    pub name: String,
    /// The circumstances in which the service starts.
    #[serde(default)]
    pub given: Given,
    /// The steps, one after the other.
    #[serde(default)]
    pub(super) steps: Vec<Step>,
}

/// The circumstances in which a service starts.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Its name; that of the component's file where there is none.
    name: Option<String>,
    /// Its section of `miqro.yml`.
    #[serde(default)]
    config: Option<Value>,
    /// Its state.
    #[serde(default)]
    pub(super) state: BTreeMap<String, Content>,
    /// Answers to its requests, by topic.
    #[serde(default)]
    pub(super) answers: BTreeMap<String, Content>,
}

/// One step: an event, and the reaction of the service. Without an event, it is that to the start and to the timers that are due.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// The topic of a message, below the base topic or, with `global`, a full one.
    pub(super) message: Option<String>,
    /// Its payload.
    pub(super) payload: Option<Content>,
    /// Its quality of service.
    pub(super) qos: Option<u8>,
    /// Whether the broker had kept it.
    #[serde(default)]
    pub(super) retain: bool,
    /// Whether `message` is a full topic.
    #[serde(default)]
    pub(super) global: bool,
    /// Time that passes.
    pub(super) advance: Option<String>,
    /// Anything else that happens.
    pub(super) event: Option<Event>,
    /// The reaction of the service.
    #[serde(default)]
    pub(super) then: Then,
}

/// Something that happens to a service besides messages and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Event {
    /// The connection to the broker is established again; the session was lost.
    Connected,
    /// The connection is lost.
    Disconnected,
    /// The service is started again: its memory is lost, its state is not.
    Restart,
    /// Another instance takes over, with `save` and `load`.
    Swap,
    /// The service is stopped.
    Stop,
}

/// The outcome of a step. Fields that are left out are not compared.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Then {
    /// The messages of this step, all of them in their order.
    pub(super) publishes: Option<Vec<ExpectedMessage>>,
    /// The whole state.
    pub(super) state: Option<BTreeMap<String, Content>>,
    /// The timers, and the time until each is due.
    pub(super) timers: Option<BTreeMap<String, String>>,
    /// The subscriptions, by filter.
    pub(super) subscriptions: Option<Vec<String>>,
    /// Part of the error of the call.
    pub(super) error: Option<String>,
}

/// A message that a service publishes. Fields that are left out are not compared.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedMessage {
    /// Its topic, below the base topic or, with `global`, a full one.
    pub(super) topic: String,
    /// Whether `topic` is a full topic.
    #[serde(default)]
    pub(super) global: bool,
    /// Its payload.
    pub(super) payload: Option<Content>,
    /// Its quality of service.
    pub(super) qos: Option<u8>,
    /// Whether the broker keeps it.
    pub(super) retain: Option<bool>,
}

/// A scenario that cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is not written as a scenario.
    #[error("{0}")]
    Yaml(#[from] serde_yaml::Error),
    /// The configuration that it gives has an error.
    #[error("given.config: {0}")]
    Config(#[from] ConfigError),
    /// It does not give a service.
    #[error("given.config: expected a section, found {0}")]
    NoSection(Value),
}

impl Scenario {
    /// Reads the scenarios of a file.
    ///
    /// # Errors
    /// When one is not written as a scenario.
    pub fn read(text: &str) -> Result<Vec<Self>, ScenarioError> {
        let mut scenarios = Vec::new();
        for document in serde_yaml::Deserializer::from_str(text) {
            // a file may end with `---`
            if let Some(scenario) = Option::<Self>::deserialize(document)? {
                scenarios.push(scenario);
            }
        }

        Ok(scenarios)
    }
}

impl Given {
    /// The configuration of a service with the component `file`. Relative paths start from the directory of `scenario`.
    ///
    /// # Errors
    /// When the section has errors.
    pub fn service(
        &self,
        file: &Path,
        scenario: Option<&Path>,
    ) -> Result<config::Service, ScenarioError> {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = self.name.as_deref().unwrap_or(&stem);
        service(name, self.config.as_ref(), file, scenario)
    }
}

/// The configuration of a service with the component `file`. Relative paths of its section start from the directory of `origin`.
///
/// # Errors
/// When the section has errors.
pub(super) fn service(
    name: &str,
    section: Option<&Value>,
    file: &Path,
    origin: Option<&Path>,
) -> Result<config::Service, ScenarioError> {
    let mut section = match section {
        None => json!({}),
        Some(section @ Value::Object(_)) => section.clone(),
        Some(other) => return Err(ScenarioError::NoSection(other.clone())),
    };
    section["component"] = json!(file);

    let text = json!({ "services": { name: section } }).to_string();
    let mut loaded = Config::read(&text, origin, Selection::All)?;
    Ok(loaded.config.services.remove(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_has_several_scenarios() {
        let text = "scenario: a\nsteps: [{message: echo, payload: 1}]\n---\nscenario: b\n---\n";
        let scenarios = Scenario::read(text).unwrap();
        let names: Vec<_> = scenarios.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(scenarios[0].steps[0].message.as_deref(), Some("echo"));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let wrong = |text: &str| Scenario::read(text).unwrap_err().to_string();
        let unknown = wrong("scenario: a\nsteps:\n  - {massage: echo}\n");
        assert!(
            unknown.contains("unknown field `massage`") && unknown.contains("line 3"),
            "{unknown}"
        );
        assert!(wrong("steps: []").contains("missing field `scenario`"));
    }

    #[test]
    fn the_section_is_that_of_the_configuration() {
        let scenario = Scenario::read(
            "scenario: a\ngiven: {name: x, config: {colour: red, timers: {beat: 1s}}}",
        )
        .unwrap();
        let service = scenario[0]
            .given
            .service(Path::new("a/echo.wasm"), None)
            .unwrap();
        assert_eq!(
            (service.name.as_str(), service.base.as_str()),
            ("x", "service/x/")
        );
        assert_eq!(service.config.json, json!({ "colour": "red" }));
        assert_eq!(service.triggers.timers[0].name, "beat");

        let given = |text: &str| {
            let scenario = Scenario::read(text).unwrap();
            scenario[0].given.service(Path::new("a/echo.wasm"), None)
        };
        assert!(given("scenario: a").is_ok_and(|service| service.name == "echo"));
        let wrong = given("scenario: a\ngiven: {config: {limits: {call: 1}}}").unwrap_err();
        assert!(
            wrong
                .to_string()
                .contains("limits.call: expected a duration"),
            "{wrong}"
        );

        assert!(given("scenario: a\ngiven: {config: 1}").is_err());
    }
}

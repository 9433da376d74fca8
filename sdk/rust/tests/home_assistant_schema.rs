//! Values that the SDK refuses, compared with Home Assistant's own schemas.

#![allow(missing_docs, clippy::unwrap_used)]

mod facts;

use miqro_sdk::home_assistant::{Component, Entity, schema};
use miqro_sdk::prelude::*;
use serde_json::{Map, Value};

use crate::facts::{Facts, Samples, Section, facts};

fn component_of(kind: &str) -> Component {
    let name = kind.split('/').next().unwrap();
    *Component::ALL
        .iter()
        .find(|component| component.name() == name)
        .unwrap()
}

fn entity(kind: &str, options: &Map<String, Value>) -> Entity {
    options.iter().fold(
        Entity::new(component_of(kind), "x"),
        |entity, (key, value)| entity.with(key, value.clone()),
    )
}

/// The keys that a kind must have, and those of which it must have one.
fn least(facts: &Facts, kind: &str) -> Map<String, Value> {
    let mut least = Map::new();
    for key in facts.components[kind]
        .required
        .iter()
        .filter(|key| !["platform", "unique_id"].contains(&key.as_str()))
    {
        let value = match key.as_str() {
            "automation_type" => json!("trigger"),
            "device" => json!({"identifiers": ["x"]}),
            "event_types" | "options" => json!(["a"]),
            _ => json!("t"),
        };

        least.insert(key.clone(), value);
    }

    let more = match kind {
        "device_tracker" => Some(("state_topic", "t")),
        "image" => Some(("image_topic", "t")),
        "light/json" | "light/template" => Some(("schema", &kind[6..])),
        _ => None,
    };

    least.extend(more.map(|(key, value)| (key.to_owned(), json!(value))));
    least
}

#[test]
fn the_sdk_knows_the_keys_of_the_real_schemas_and_no_others() {
    let facts = facts();
    let every: Vec<&String> = facts
        .components
        .values()
        .flat_map(|section| &section.allowed)
        .collect();
    for component in Component::ALL {
        let sections: Vec<&Section> = facts
            .components
            .iter()
            .filter(|(kind, _)| component_of(kind) == *component)
            .map(|(_, own)| own)
            .collect();

        assert!(!sections.is_empty(), "{component:?}");
        for key in &every {
            let known = sections.iter().any(|section| section.allowed.contains(key));
            assert_eq!(
                schema::allows(*component, key),
                known,
                "{} {key}",
                component.name()
            );
        }

        let in_all = |key: &&String| {
            sections
                .iter()
                .all(|section| section.required.contains(key))
        };
        let mut required: Vec<&str> = sections[0]
            .required
            .iter()
            .filter(in_all)
            .map(String::as_str)
            .collect();

        // these are not the entity's to say
        required.retain(|key| !["platform", "unique_id", "device"].contains(key));
        let mut own = schema::required(*component);
        own.retain(|key| *key != "device");
        own.sort_unstable();
        assert_eq!(own, required, "{}", component.name());
    }

    assert_eq!(
        facts.components.len(),
        Component::ALL.len() + 2,
        "a light has three schemas"
    );
}

#[test]
fn each_key_takes_what_home_assistant_takes_and_nothing_else() {
    let facts = facts();
    let mut tried = 0;
    for (kind, section) in &facts.components {
        let least = least(&facts, kind);
        entity(kind, &least).check().unwrap();
        for key in section
            .allowed
            .iter()
            .filter(|key| !["platform", "unique_id"].contains(&key.as_str()))
        {
            let (accepts, nullable) = facts.accepts(kind, key);
            let words = Samples {
                taken: vec![json!(accepts.split('|').next())],
                refused: vec![json!("no such word")],
            };
            let samples = match facts.samples.get(accepts) {
                Some(samples) => samples,
                None if accepts.contains('|') && !accepts.starts_with("list") => &words,
                None => continue,
            };
            let named = |value: &Value| {
                let mut options = least.clone();
                options.insert(key.clone(), value.clone());
                let error = entity(kind, &options)
                    .check()
                    .err()
                    .map(|error| error.to_string())
                    .unwrap_or_default();
                error.contains(&format!(": {key}: expected"))
                    && error.ends_with(&format!(", found {value}"))
            };

            // one bound may leave out a sample, but not all of them
            let bound = key.contains("min") || key.contains("max");
            assert!(
                !bound || samples.taken.iter().any(|value| !named(value)),
                "{kind} {key}"
            );
            for value in samples.taken.iter().filter(|_| !bound) {
                // a trigger's topic is text in the schema, and that of availability cannot stand beside the service's own
                let narrower = key == "topic" && value.as_str().is_none_or(str::is_empty);
                assert_eq!(
                    named(value),
                    narrower || key == "availability_topic",
                    "{kind} {key} ({accepts}): {value}"
                );
            }

            for value in samples
                .refused
                .iter()
                .filter(|value| !(nullable && value.is_null()))
            {
                assert!(named(value), "{kind} {key} ({accepts}): {value}");
            }

            tried += samples.taken.len() + samples.refused.len();
        }
    }

    assert!(tried > 3_000, "{tried}");
}

#[test]
fn the_sdk_agrees_with_home_assistants_validation() {
    for case in facts().cases {
        let verdict = entity(&case.kind, &case.options).check();
        assert_eq!(
            verdict.is_ok(),
            case.taken && case.but.is_none(),
            "{case:?}: {verdict:?}"
        );
    }
}

#[test]
fn classes_have_their_units_and_state_classes() {
    let facts = facts();
    // a unit of each quantity is a foreign one for the others
    let foreign = ["°C", "kWh", "lx", "ppb", "mbar"].map(str::to_owned);
    for (name, class) in &facts.classes {
        let sensor = || Entity::sensor("x", "t").device_class(name);
        sensor().check().unwrap();
        let number = Entity::number("x", "t")
            .topic("command_topic", "t")
            .device_class(name);
        assert_eq!(number.check().is_ok(), class.number, "{name}");
        let own: Vec<&String> = class
            .units
            .iter()
            .flatten()
            .filter(|unit| *unit != "None")
            .collect();

        for unit in own.iter().copied().chain(&foreign) {
            let taken = if class.units.is_some() {
                own.contains(&unit)
            } else {
                class.number
            };
            assert_eq!(sensor().unit(unit).check().is_ok(), taken, "{name} {unit}");
        }

        assert!(
            own.iter()
                .all(|unit| number.clone().unit(unit).check().is_ok()),
            "{name}"
        );
        assert!(
            own.is_empty() || number.unit("furlong").check().is_err(),
            "{name}"
        );
        for state_class in [
            "measurement",
            "measurement_angle",
            "total",
            "total_increasing",
        ] {
            let sensor = sensor().state_class(state_class);
            let sensor = if state_class == "measurement_angle" {
                sensor.unit("°")
            } else {
                sensor
            };
            let angle = state_class != "measurement_angle"
                || class.units.as_ref().is_none_or(|own| own == &["°"]);
            let taken = class.state_classes.iter().any(|own| own == state_class) && angle;
            assert_eq!(sensor.check().is_ok(), taken, "{name} {state_class}");
        }
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
fn errors_name_entity_key_value_and_what_is_accepted() {
    let sensor = || Entity::sensor("Room", "room");
    let number = || Entity::number("Wanted", "wanted").topic("command_topic", "wanted/set");
    let cases = [
        (
            sensor().category("config"),
            r#"sensor "Room": entity_category: expected diagnostic, found "config""#,
        ),
        (
            sensor().device_class("temperature").unit("bar"),
            r#"sensor "Room": unit_of_measurement: expected one of K, °C, °F with device_class temperature, found "bar""#,
        ),
        (
            sensor()
                .device_class("energy")
                .unit("kWh")
                .state_class("measurement"),
            r#"sensor "Room": state_class: expected one of total, total_increasing with device_class energy, found "measurement""#,
        ),
        (
            sensor().with("options", ["a"].as_slice()),
            r#"sensor "Room": device_class: expected enum, because there are options, found nothing"#,
        ),
        (
            number().range(5.0, 4.0),
            r#"number "Wanted": max: expected a number from 5 on, which is min, found 4"#,
        ),
        (
            number().range(f64::NAN, 4.0),
            r#"number "Wanted": min: expected a finite number, found "NaN""#,
        ),
        (
            number().step(0.0),
            r#"number "Wanted": step: expected a finite number from 0.001 on, found 0"#,
        ),
        (
            number().with("max", f64::INFINITY),
            r#"number "Wanted": max: expected a finite number, found null"#,
        ),
        (
            Entity::switch("Pump", "pump").topic("command_topic", "pump/+"),
            r#"switch "Pump": command_topic: expected a topic without wildcards and control characters, found "pump/+""#,
        ),
        (
            Entity::climate("Heater").with("preset_modes", ["eco"].as_slice()),
            r#"climate "Heater": preset_mode_command_topic: expected a value, because there is preset_modes, found nothing"#,
        ),
        (
            Entity::button("Go")
                .topic("command_topic", "go")
                .with("availability_topic", "x"),
            "button \"Go\": availability_topic: expected none, because `availability` is announced already; \
             Entity::availability adds a topic to it, found \"x\"",
        ),
        (
            Entity::lock("Door", "door"),
            r#"lock "Door" needs command_topic: a topic without wildcards and control characters"#,
        ),
        (
            Entity::scene("Party")
                .topic("command_topic", "party")
                .with("colour", "red"),
            r#"scene "Party" cannot have colour ("red"), only command_topic, payload_on, retain, availability, "#,
        ),
    ];

    for (entity, error) in cases {
        let found = entity.check().unwrap_err().to_string();
        assert!(
            found.starts_with(&format!("home assistant: {error}")),
            "{found}"
        );
    }
}

//! Classes of sensors and numbers, from the table `classes.txt`: whether class, unit, state class and options fit.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::home_assistant::value::choice;

const TABLE: &str = include_str!("classes.txt");

/// One class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class {
    /// Its name.
    pub(super) name: &'static str,
    /// The state classes that are possible; `any`, or `none`.
    states: &'static str,
    /// The units that are possible; `any`, or `none`.
    units: &'static str,
}

/// All classes.
pub(super) fn all() -> impl Iterator<Item = Class> + Clone {
    TABLE.lines().filter_map(|line| {
        let mut parts = line.split(": ");
        Some(Class {
            name: parts.next()?,
            states: parts.next()?,
            units: parts.next()?,
        })
    })
}

/// The class of this name; Home Assistant does not mind capitals.
pub(super) fn find(name: &str) -> Option<Class> {
    all().find(|class| class.name.eq_ignore_ascii_case(name))
}

/// A key that does not fit, and the value that is expected.
pub(super) type Misfit = (&'static str, String);

/// Whether the unit of a number fits its class, which is one of a value that is a number.
pub(super) fn number(options: &Map<String, Value>) -> Result<(), Misfit> {
    match class(options) {
        Some(class) if class.states == "none" => Err((
            "device_class",
            format!("a class of numbers, not {}", class.name),
        )),
        _ => unit(options),
    }
}

/// Whether class, unit, state class and options of a sensor fit.
pub(super) fn sensor(options: &Map<String, Value>) -> Result<(), Misfit> {
    words(options)?;
    state_class(options)?;
    unit(options)
}

/// Checks `options`: the words of a sensor that is not a number.
fn words(options: &Map<String, Value>) -> Result<(), Misfit> {
    let Some(words) = options.get("options").filter(|words| !words.is_null()) else {
        return Ok(());
    };
    if words.as_array().is_some_and(Vec::is_empty) {
        return Err(("options", "at least one word".to_owned()));
    }
    if class(options).is_none_or(|class| class.name != "enum") {
        return Err(("device_class", "enum, because there are options".to_owned()));
    }
    match ["state_class", "unit_of_measurement"]
        .into_iter()
        .find(|key| text(options, key).is_some())
    {
        Some(key) => Err((key, "none, because there are options".to_owned())),
        None => Ok(()),
    }
}

fn state_class(options: &Map<String, Value>) -> Result<(), Misfit> {
    let state_class = text(options, "state_class");
    if options.contains_key("last_reset_value_template") && state_class != Some("total") {
        return Err((
            "state_class",
            "total, because there is a last_reset_value_template".to_owned(),
        ));
    }

    let Some(state_class) = state_class else {
        return Ok(());
    };
    if state_class == "measurement_angle" && text(options, "unit_of_measurement") != Some("°") {
        return Err((
            "unit_of_measurement",
            "° with state_class measurement_angle".to_owned(),
        ));
    }

    match class(options) {
        Some(class)
            if class.states != "any"
                && !class.states.split(',').any(|known| known == state_class) =>
        {
            Err(("state_class", expected(class.states.split(','), class)))
        }
        _ => Ok(()),
    }
}

fn unit(options: &Map<String, Value>) -> Result<(), Misfit> {
    let (Some(class), Some(unit)) = (class(options), text(options, "unit_of_measurement")) else {
        return Ok(());
    };
    // Home Assistant takes the micro sign for the Greek letter, and the old spelling of var
    let unit = unit.replace('\u{b5}', "\u{3bc}").replace("VAr", "var");
    let fits = class.units == "any"
        || class
            .units
            .split(", ")
            .any(|known| known == unit && known != "none");
    if fits || unit.trim().is_empty() {
        return Ok(());
    }
    Err((
        "unit_of_measurement",
        expected(class.units.split(", "), class),
    ))
}

fn expected(words: impl Iterator<Item = &'static str> + Clone, class: Class) -> String {
    let mut expected = String::new();
    let _ = choice(&mut expected, words);
    let _ = write!(expected, " with device_class {}", class.name);
    expected
}

fn class(options: &Map<String, Value>) -> Option<Class> {
    text(options, "device_class").and_then(find)
}

fn text<'o>(options: &'o Map<String, Value>, key: &str) -> Option<&'o str> {
    options.get(key).and_then(Value::as_str)
}

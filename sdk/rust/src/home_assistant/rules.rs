//! Rules between keys: those that need, exclude or bound one another.
//!
//! Most are those of Home Assistant's schemas. The others refuse combinations that it accepts and that cannot work: two equal payloads, a
//! template without its topic, an empty range.

use serde_json::{Map, Value};

use crate::home_assistant::classes::{self, Misfit};
use crate::home_assistant::{schema, value};

/// A bound: its key, and its value if the key is left out.
type Bound = (&'static str, Option<f64>);
/// A payload: its key, and its value if the key is left out.
type Payload = (&'static str, &'static str);

/// How keys depend on one another.
enum Rule {
    /// Both or neither.
    Together(&'static str, &'static str),
    /// The first only with the second.
    Needs(&'static str, &'static str),
    /// At least one of both.
    Either(&'static str, &'static str),
    /// Not both.
    Exclusive(&'static str, &'static str),
    /// The first is less than the second.
    Less(Bound, Bound),
    /// The first is not greater than the second.
    NotGreater(Bound, Bound),
    /// The number is within these bounds.
    Within(&'static str, f64, f64),
    /// The list does not contain the payload.
    NotAmong(&'static str, Payload),
    /// The payloads are not the same.
    Differ(Payload, Payload),
}

use Rule::{Differ, Either, Exclusive, Less, Needs, NotAmong, NotGreater, Together, Within};

/// The rules of each kind; those of `entity` are for all.
const RULES: &[(&str, &[Rule])] = &[
    (
        "entity",
        &[
            NotGreater(("min_temp", None), ("max_temp", None)),
            NotGreater(("min_mireds", None), ("max_mireds", None)),
            NotGreater(("min_kelvin", None), ("max_kelvin", None)),
            Differ(("payload_on", "ON"), ("payload_off", "OFF")),
            Differ(("payload_open", "OPEN"), ("payload_close", "CLOSE")),
            Differ(("payload_lock", "LOCK"), ("payload_unlock", "UNLOCK")),
            Differ(("payload_home", "home"), ("payload_not_home", "not_home")),
            Differ(("state_open", "open"), ("state_closed", "closed")),
            Differ(("state_locked", "LOCKED"), ("state_unlocked", "UNLOCKED")),
            Differ(("position_open", "100"), ("position_closed", "0")),
        ],
    ),
    (
        "climate",
        &[
            Together("preset_modes", "preset_mode_command_topic"),
            NotAmong("preset_modes", ("", "none")),
            Less(("min_humidity", Some(30.0)), ("max_humidity", Some(99.0))),
            Within("max_humidity", 0.0, 100.0),
            Needs(
                "target_humidity_state_topic",
                "target_humidity_command_topic",
            ),
        ],
    ),
    ("cover", &[Needs("set_position_topic", "position_topic")]),
    (
        "device_tracker",
        &[Either("state_topic", "json_attributes_topic")],
    ),
    (
        "fan",
        &[
            Together("preset_modes", "preset_mode_command_topic"),
            NotAmong("preset_modes", ("payload_reset_preset_mode", "None")),
            Within("speed_range_min", 1.0, f64::MAX),
            Less(
                ("speed_range_min", Some(1.0)),
                ("speed_range_max", Some(100.0)),
            ),
        ],
    ),
    (
        "humidifier",
        &[
            Together("modes", "mode_command_topic"),
            NotAmong("modes", ("payload_reset_mode", "None")),
            Less(("min_humidity", Some(0.0)), ("max_humidity", Some(100.0))),
            Within("max_humidity", 0.0, 100.0),
        ],
    ),
    (
        "image",
        &[
            Either("image_topic", "url_topic"),
            Exclusive("image_topic", "url_topic"),
            Exclusive("content_type", "url_topic"),
        ],
    ),
    (
        "number",
        &[NotGreater(("min", Some(0.0)), ("max", Some(100.0)))],
    ),
    (
        "text",
        &[
            NotGreater(("min", Some(0.0)), ("max", Some(255.0))),
            Within("max", 0.0, 255.0),
        ],
    ),
];

/// The hint for a key that sets an availability topic of the entity's own: the service has announced one already.
const AVAILABILITY: &str =
    "none, because `availability` is announced already; Entity::availability adds a topic to it";

/// Whether the keys of an entity fit together.
///
/// # Errors
///
/// The key that does not fit, and the value that is expected.
pub(super) fn hold(section: &str, options: &Map<String, Value>) -> Result<(), Misfit> {
    if options.contains_key("availability_topic") {
        return Err(("availability_topic", AVAILABILITY.to_owned()));
    }
    let rules = RULES
        .iter()
        .filter(|(name, _)| *name == section || *name == "entity");
    rules
        .flat_map(|(_, rules)| *rules)
        .try_for_each(|rule| rule.check(options))?;
    templates(section, options)?;
    match section {
        "sensor" => classes::sensor(options),
        "number" => classes::number(options),
        "valve" => positions(options),
        "light/json" => color_modes(options),
        _ => Ok(()),
    }
}

impl Rule {
    fn check(&self, options: &Map<String, Value>) -> Result<(), Misfit> {
        let has = |key: &str| options.contains_key(key);
        let misfit = |wrong: bool, key: &'static str, expected: String| {
            if wrong { Err((key, expected)) } else { Ok(()) }
        };
        match *self {
            Together(one, other) if has(other) => {
                misfit(!has(one), one, format!("a value, because there is {other}"))
            }
            Together(one, other) | Needs(one, other) => misfit(
                has(one) && !has(other),
                other,
                format!("a value, because there is {one}"),
            ),
            Either(one, other) => misfit(
                !has(one) && !has(other),
                one,
                format!("a value, or one of {other}"),
            ),
            Exclusive(one, other) => {
                misfit(has(one) && has(other), one, format!("none beside {other}"))
            }
            Less(low, high) => ordered(options, low, high, false),
            NotGreater(low, high) => ordered(options, low, high, true),
            Within(key, low, high) => {
                let outside = options
                    .get(key)
                    .and_then(value::number)
                    .is_some_and(|own| own < low || own > high);
                let upper = if high < f64::MAX {
                    format!("to {high}")
                } else {
                    "on".to_owned()
                };
                misfit(outside, key, format!("a number from {low} {upper}"))
            }
            NotAmong(list, (key, usual)) => {
                let payload = shown(options, (key, usual)).unwrap_or_default();
                let items = options.get(list).and_then(Value::as_array);
                let among = items
                    .is_some_and(|items| items.iter().any(|item| item.as_str() == Some(&payload)));
                misfit(
                    among,
                    list,
                    format!("a list without {payload:?}, which stands for none"),
                )
            }
            Differ(one, other) => {
                let (key, opposite) = if has(one.0) {
                    (one.0, other.0)
                } else {
                    (other.0, one.0)
                };
                let payload = shown(options, other);
                let same = has(key) && payload.is_some() && shown(options, one) == payload;
                misfit(same, key, format!("another value than {opposite} has"))
            }
        }
    }
}

fn ordered(
    options: &Map<String, Value>,
    low: Bound,
    high: Bound,
    may_equal: bool,
) -> Result<(), Misfit> {
    let number = |(key, usual): Bound| options.get(key).map_or(usual, value::number);
    let (Some(least), Some(greatest)) = (number(low), number(high)) else {
        return Ok(());
    };
    if least < greatest || (may_equal && least <= greatest) {
        return Ok(());
    }
    let than = if may_equal { "from" } else { "above" };
    match options.contains_key(high.0) {
        true => Err((
            high.0,
            format!("a number {than} {least} on, which is {}", low.0),
        )),
        false => Err((
            low.0,
            format!("a number up to {greatest}, which is {}", high.0),
        )),
    }
}

/// A payload as text, where it is not `null`, which stands for none.
fn shown(options: &Map<String, Value>, (key, usual): Payload) -> Option<String> {
    match options.get(key) {
        None => Some(usual.to_owned()),
        Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    }
}

/// A template reads from a topic, or writes to one: `x_command_template` to `x_command_topic`, `x_value_template` from
/// `x_state_topic`. If the kind has such a topic, the template does nothing without it.
fn templates(section: &str, options: &Map<String, Value>) -> Result<(), Misfit> {
    let known = |name: &str| {
        schema::entity_keys(section)
            .map(|key| key.name)
            .find(|key| *key == name)
    };
    for key in options.keys() {
        let Some(base) = key.strip_suffix("_template") else {
            continue;
        };
        let topic = match base.strip_suffix("value") {
            Some("" | "state_") => "state_topic".to_owned(),
            Some(start) => format!("{start}state_topic"),
            None => format!("{base}_topic"),
        };
        if let Some(topic) = known(&topic).filter(|topic| !options.contains_key(*topic)) {
            return Err((topic, format!("a topic, because there is {key}")));
        }
    }

    Ok(())
}

/// A valve that reports a position has no words for its states and commands.
fn positions(options: &Map<String, Value>) -> Result<(), Misfit> {
    let words = [
        "payload_open",
        "payload_close",
        "state_open",
        "state_closed",
    ];

    match words.into_iter().find(|key| options.contains_key(*key)) {
        Some(key) if options.get("reports_position") == Some(&Value::Bool(true)) => Err((
            key,
            "none, because the valve reports its position".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Lights that can be switched or dimmed only have no further mode, and white is one of a light that has colours.
fn color_modes(options: &Map<String, Value>) -> Result<(), Misfit> {
    let Some(modes) = options
        .get("supported_color_modes")
        .and_then(Value::as_array)
    else {
        return Ok(());
    };

    let has = |mode: &str| modes.iter().any(|own| own == mode);
    let twice = modes
        .iter()
        .enumerate()
        .any(|(at, mode)| modes[..at].contains(mode));
    let colors = ["hs", "rgb", "rgbw", "rgbww", "xy"].into_iter().any(has);
    let expected = match modes.len() {
        0 => "at least one mode",
        _ if twice => "each mode once",
        2.. if has("brightness") || has("onoff") => "no other mode beside brightness or onoff",
        _ if has("white") && !colors => "a colour beside white",
        _ => return Ok(()),
    };

    Err(("supported_color_modes", expected.to_owned()))
}

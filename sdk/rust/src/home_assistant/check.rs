//! Checks entities, devices and the origin for anything that Home Assistant would refuse, and names the first fault.
//!
//! Home Assistant leaves out keys that it does not know, and drops an entity or a whole device for a value that it does not accept, with
//! a line in its own log only.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::home_assistant::rules;
use crate::home_assistant::schema::{self, Key};

/// Checks an entity: `what` is its kind and name, `section` the one that describes it.
pub(super) fn entity(what: &str, section: &str, options: &Map<String, Value>) -> Result {
    let keys: Vec<Key> = schema::entity_keys(section).collect();
    values(what, &keys, options)?;
    rules::hold(section, options)
        .map_err(|(key, expected)| wrong(what, key, &expected, options.get(key)))
}

/// Checks a map that is not an entity: `device`, `origin`.
pub(super) fn map(what: &str, section: &str, options: &Map<String, Value>) -> Result {
    values(what, &schema::keys(section).collect::<Vec<_>>(), options)
}

fn values(what: &str, keys: &[Key], options: &Map<String, Value>) -> Result {
    let known = |name: &str| keys.iter().find(|key| key.name == name);
    for (name, value) in options {
        let Some(accepts) = known(name).map(|key| key.accepts()) else {
            continue;
        };
        if !accepts.takes(value) {
            return Err(wrong(what, name, &accepts, Some(value)));
        }
        for (section, inner) in accepts.sections(value) {
            map(
                &format!("{what}: {name}"),
                section,
                inner.as_object().unwrap_or(&Map::new()),
            )?;
        }
    }

    if let Some((name, value)) = options.iter().find(|(name, _)| known(name).is_none()) {
        let twice = |at: usize| keys[..at].iter().any(|key| key.name == keys[at].name);
        let names: Vec<&str> = (0..keys.len())
            .filter(|at| !twice(*at))
            .map(|at| keys[at].name)
            .collect();
        let names = names.join(", ");
        return Err(Error::new(format!(
            "home assistant: {what} cannot have {name} ({value}), only {names}"
        )));
    }

    match keys
        .iter()
        .find(|key| key.required && !options.contains_key(key.name))
    {
        Some(key) => Err(Error::new(format!(
            "home assistant: {what} needs {}: {}",
            key.name,
            key.accepts()
        ))),
        None => Ok(()),
    }
}

fn wrong(what: &str, key: &str, expected: &dyn std::fmt::Display, found: Option<&Value>) -> Error {
    let found = found.map_or_else(|| "nothing".to_owned(), Value::to_string);
    Error::new(format!(
        "home assistant: {what}: {key}: expected {expected}, found {found}"
    ))
}

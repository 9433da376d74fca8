//! The keys of each kind of entity, from the table `schema.txt`: those that a kind may have and must have, with the types of their values.

use crate::home_assistant::Component;
use crate::home_assistant::value::Type;

const TABLE: &str = include_str!("schema.txt");

/// One key of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// Whether it cannot be left out.
    pub(super) required: bool,
    /// The name of its type, where the table has one.
    accepts: Option<&'static str>,
}

impl Key {
    fn parse(word: &'static str) -> Self {
        let (name, accepts) = word
            .split_once(':')
            .map_or((word, None), |(name, accepts)| (name, Some(accepts)));
        let (name, required) = name
            .strip_suffix('!')
            .map_or((name, false), |name| (name, true));
        Self {
            name,
            required,
            accepts,
        }
    }

    /// Returns the type of its value.
    pub(super) fn accepts(self) -> Type {
        self.accepts
            .map_or_else(|| Type::of_name(self.name), Type::parse)
    }
}

/// Whether an entity of this kind may have `key`; for a light, in any of its schemas.
pub fn allows(component: Component, key: &str) -> bool {
    variants(component).any(|section| entity_keys(section).any(|known| known.name == key))
}

/// The keys that an entity of this kind must have, besides its name; for a light, in all of its schemas.
pub fn required(component: Component) -> Vec<&'static str> {
    let needs = |section: &str, name: &str| {
        entity_keys(section).any(|key| key.name == name && key.required)
    };
    let first = variants(component).next().into_iter().flat_map(entity_keys);
    let required = first
        .filter(|key| key.required && variants(component).all(|section| needs(section, key.name)));
    required.map(|key| key.name).collect()
}

/// The sections of a kind: one, but for a light one for each of its schemas.
fn variants(component: Component) -> impl Iterator<Item = &'static str> {
    let all: &[&str] = match component {
        Component::Light => &["light/basic", "light/json", "light/template"],
        _ => &[],
    };
    all.iter()
        .copied()
        .chain(all.is_empty().then_some(component.name()))
}

/// The keys of a kind: its own, and those of all entities.
pub(super) fn entity_keys(section: &str) -> impl Iterator<Item = Key> + use<> {
    let common = if is_entity(section) { "entity" } else { "" };
    // the kind's own come first: its rule for a common key is stricter
    keys(section).chain(keys(common))
}

/// Whether what a section describes becomes an entity: triggers and tags do not, so they have no name, state or availability.
pub(super) fn is_entity(section: &str) -> bool {
    !["device_automation", "tag"].contains(&section)
}

/// The keys of one section.
pub(super) fn keys(section: &str) -> impl Iterator<Item = Key> + use<> {
    let named = |text: &&'static str| {
        text.split_once(']')
            .is_some_and(|(name, _)| name == section)
    };
    let text = TABLE
        .split("\n[")
        .skip(1)
        .find(named)
        .and_then(|text| text.split_once(']'));
    text.map_or("", |(_, words)| words)
        .split_whitespace()
        .map(Key::parse)
}

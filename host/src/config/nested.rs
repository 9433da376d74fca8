//! The format of a section that has a table of its own.

use serde_json::{Map, Value};

use super::format::Format;
use super::key::Key;
use super::settings::Settings;
use super::value::ConfigValue;

/// A section with a table.
pub(super) struct NestedSection;

impl<T: Settings> Format<T> for NestedSection {
    fn read(&self, value: ConfigValue<'_>, field: &mut T) {
        let mut section = value.into_section();
        field.read(&mut section);
        section.finish();
    }

    fn render(&self, value: &T) -> Value {
        let mut members = Map::new();
        value.render(&mut members);
        members.into()
    }

    fn accepted_values(&self) -> String {
        "section".to_owned()
    }

    fn keys(&self) -> Vec<Key> {
        T::keys()
    }
}

//! Values of a service's own section that stand elsewhere: `{from_file: PATH}` and `{from_env: NAME}`. No message shows a secret.

use super::value::ConfigValue;
use super::yaml::{Entry, Node, Value};

const FILE: &str = "from_file";
const VARIABLE: &str = "from_env";

/// Whether `node` is a reference, or was meant as one.
pub(super) fn is_reference(node: &Node) -> bool {
    let Value::Map(entries) = &node.value else {
        return false;
    };
    entries
        .iter()
        .any(|entry| entry.key == FILE || entry.key == VARIABLE)
}

/// The text that the reference `value` leads to; `None` after an error.
pub(super) fn resolve(value: &ConfigValue<'_>) -> Option<String> {
    let Value::Map(entries) = &value.node.value else {
        return None;
    };
    let [Entry { key, line, node }] = entries.as_slice() else {
        value.error(format!(
            "expected {{from_file: <path>}} or {{from_env: <NAME>}} and nothing else, found {} keys",
            entries.len()
        ));
        return None;
    };

    let target = ConfigValue {
        node,
        path: format!("{}.{key}", value.path),
        line: *line,
        context: value.context,
    };

    match key.as_str() {
        FILE => target.file_content(),
        _ => target.variable(),
    }
}

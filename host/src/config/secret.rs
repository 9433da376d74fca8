//! Pure but for the secrets that it fetches: values in a service's own section that stand elsewhere. In: `{from_file: path}` or
//! `{from_env: NAME}`. Out: the text that is there. Owns nothing. No message shows a secret.

use super::given::Given;
use super::place::Place;
use super::problem::Report;
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

/// What the reference `node` at `path` leads to; `None` after a problem.
pub(super) fn fetch(
    node: &Node,
    line: usize,
    path: &str,
    place: &Place,
    report: &Report,
) -> Option<String> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let [Entry { key, line, node }] = entries.as_slice() else {
        let wanted = "a value from elsewhere is {from_file: <path>} or {from_env: <NAME>} and nothing beside it";
        report.problem(line, path, format!("has {} keys; {wanted}", entries.len()));
        return None;
    };
    let given = Given {
        node,
        path: format!("{path}.{key}"),
        line: *line,
        report,
    };
    match key.as_str() {
        FILE => given.file(place),
        _ => given.read(|name| place.variable(name)),
    }
}

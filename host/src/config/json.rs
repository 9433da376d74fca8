//! Pure: the free part of a service's section as JSON, which is what the guest gets. In: `Node`. Out: JSON value, and a
//! problem for everything that JSON cannot hold. Owns nothing.

use serde_json::{Map, Number, Value as Json};

use super::problem::Report;
use super::scalar::{Scalar, differs_in_miqro};
use super::yaml::{Entry, Node, Value};

/// `entries` of the section at `path` as a JSON object. Keys that are no strings in YAML become the text they are
/// written with.
pub(super) fn object(entries: &[&Entry], path: &str, report: &Report) -> Json {
    let members = entries.iter().map(|entry| {
        let path = format!("{path}.{}", entry.key);
        (entry.key.clone(), json(&entry.node, entry.line, &path, report))
    });
    Json::Object(members.collect::<Map<_, _>>())
}

fn json(node: &Node, line: usize, path: &str, report: &Report) -> Json {
    if let Some(tag) = &node.tag {
        report.problem(
            line,
            path,
            format!("the tag {tag} means nothing in JSON, which the service gets; leave it out"),
        );
    }
    match &node.value {
        Value::Map(entries) => object(&entries.iter().collect::<Vec<_>>(), path, report),
        Value::List(items) => {
            let item = |(index, node): (usize, &Node)| json(node, node.line, &format!("{path}[{index}]"), report);
            Json::Array(items.iter().enumerate().map(item).collect())
        }
        Value::Scalar { text, scalar, plain } => {
            if let (true, Some(how)) = (*plain, differs_in_miqro(text)) {
                report.warning(line, path, format!("{text} {how}"));
            }
            word(text, scalar).unwrap_or_else(|message| {
                report.problem(line, path, message);
                Json::Null
            })
        }
    }
}

fn word(text: &str, scalar: &Scalar) -> Result<Json, String> {
    match scalar {
        Scalar::Null => Ok(Json::Null),
        Scalar::Bool(value) => Ok(Json::Bool(*value)),
        Scalar::Text => Ok(Json::String(text.to_owned())),
        Scalar::Int(value) => Number::from_i128(*value)
            .map(Json::Number)
            .ok_or_else(|| format!("{text} does not fit into 64 bits; put it in quotes to hand it on as text")),
        Scalar::Float(value) => Number::from_f64(*value)
            .map(Json::Number)
            .ok_or_else(|| format!("JSON, which the service gets, has no {text}; leave it out or put it in quotes")),
    }
}

//! Pure but for the secrets that it fetches: the free part of a service's section as JSON, which is what the guest gets. In:
//! `Node`. Out: JSON value with where its secrets are, and a problem for everything that JSON cannot hold. Owns nothing.

use serde_json::{Map, Number, Value as Json};

use super::place::Place;
use super::problem::Report;
use super::quotes;
use super::scalar::{Scalar, differs_in_miqro};
use super::secret;
use super::yaml::{Entry, Node, Value};

/// `entries` of the section at `path` as a JSON object, and JSON pointers to the values that came from elsewhere. Keys that
/// are no strings in YAML become the text they are written with.
pub(super) fn free(
    entries: &[&Entry],
    path: &str,
    place: &Place,
    report: &Report,
) -> (Json, Vec<String>) {
    let mut reader = Reader {
        place,
        report,
        pointer: Vec::new(),
        secrets: Vec::new(),
    };
    let json = reader.object(entries, path);
    (json, reader.secrets)
}

struct Reader<'a> {
    place: &'a Place,
    report: &'a Report,
    /// Where the value that is being read lies.
    pointer: Vec<String>,
    secrets: Vec<String>,
}

impl Reader<'_> {
    fn object(&mut self, entries: &[&Entry], path: &str) -> Json {
        let mut members = Map::new();
        for entry in entries {
            let path = if path.is_empty() {
                entry.key.clone()
            } else {
                format!("{path}.{}", entry.key)
            };
            let value = self.below(&entry.key, |reader| {
                reader.json(&entry.node, entry.line, &path)
            });
            members.insert(entry.key.clone(), value);
        }
        Json::Object(members)
    }

    fn list(&mut self, items: &[Node], path: &str) -> Json {
        let item = |(index, node): (usize, &Node)| {
            let path = format!("{path}[{index}]");
            self.below(&index.to_string(), |reader| {
                reader.json(node, node.line, &path)
            })
        };
        Json::Array(items.iter().enumerate().map(item).collect())
    }

    fn below(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Json) -> Json {
        self.pointer.push(key.replace('~', "~0").replace('/', "~1"));
        let value = read(self);
        self.pointer.pop();
        value
    }

    fn json(&mut self, node: &Node, line: usize, path: &str) -> Json {
        let report = self.report;
        if let Some(tag) = &node.tag {
            let message = format!(
                "the tag {tag} means nothing in JSON, which the service gets; leave it out"
            );
            report.problem(line, path, message);
        }
        match &node.value {
            Value::Map(_) if secret::is_reference(node) => {
                self.secrets.push(format!("/{}", self.pointer.join("/")));
                secret::fetch(node, line, path, self.place, report).map_or(Json::Null, Json::String)
            }
            Value::Map(entries) => self.object(&entries.iter().collect::<Vec<_>>(), path),
            Value::List(items) => self.list(items, path),
            Value::Scalar {
                text,
                scalar,
                plain,
            } => {
                if let (true, Some(how)) = (*plain, differs_in_miqro(text)) {
                    report.warning(line, path, format!("{text} {how}"));
                }
                if let (true, Some(quote)) = (*plain, quotes::around(text)) {
                    let named = quotes::named(quote);
                    report.warning(
                        line,
                        path,
                        format!("goes to the service with {named} in it; quotes are \" and '"),
                    );
                }
                word(text, scalar).unwrap_or_else(|message| {
                    report.problem(line, path, message);
                    Json::Null
                })
            }
        }
    }
}

fn word(text: &str, scalar: &Scalar) -> Result<Json, String> {
    match scalar {
        Scalar::Null => Ok(Json::Null),
        Scalar::Bool(value) => Ok(Json::Bool(*value)),
        Scalar::Text => Ok(Json::String(text.to_owned())),
        Scalar::Int(value) => Number::from_i128(*value).map(Json::Number).ok_or_else(|| {
            format!("{text} does not fit into 64 bits; put it in quotes to hand it on as text")
        }),
        Scalar::Float(value) => Number::from_f64(*value).map(Json::Number).ok_or_else(|| {
            format!("JSON, which the service gets, has no {text}; leave it out or put it in quotes")
        }),
    }
}

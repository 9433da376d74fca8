//! The part of a service's section that is the service's own, as JSON: the guest gets it. Values that come from files and
//! environment variables are fetched here.

use serde_json::{Map, Number, Value as Json};

use super::GuestConfig;
use super::context::LoadContext;
use super::quotes;
use super::scalar::{Scalar, difference_to_miqro};
use super::secret;
use super::value::ConfigValue;
use super::yaml::{Entry, Node, Value};

/// A word that JSON cannot hold.
#[derive(Debug, thiserror::Error)]
enum JsonError {
    /// A whole number.
    #[error("{0} does not fit into 64 bits; put it in quotes to hand it on as text")]
    TooLarge(String),
    /// Infinity, or not a number.
    #[error("JSON, which the service gets, has no {0}; leave it out or put it in quotes")]
    NotFinite(String),
}

/// `entries` of the section at `path` as a JSON object, with JSON pointers to the values that came from elsewhere. Keys that are
/// not strings in YAML become the text they are written with.
pub(super) fn guest_config(entries: &[&Entry], path: &str, context: &LoadContext) -> GuestConfig {
    let mut reader = Reader {
        context,
        pointer: Vec::new(),
        secrets: Vec::new(),
    };
    let json = reader.object(entries, path);
    GuestConfig {
        json,
        secrets: reader.secrets,
    }
}

struct Reader<'a> {
    context: &'a LoadContext,
    /// The JSON pointer to the value that is being read, in parts.
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
                reader.value(&entry.node, entry.line, &path)
            });
            members.insert(entry.key.clone(), value);
        }

        Json::Object(members)
    }

    fn list(&mut self, items: &[Node], path: &str) -> Json {
        let mut values = Vec::new();
        for (index, node) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            values.push(self.below(&index.to_string(), |reader| {
                reader.value(node, node.line, &path)
            }));
        }

        Json::Array(values)
    }

    /// Reads a value with `key` added to the pointer, escaped as in RFC 6901.
    fn below(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Json) -> Json {
        self.pointer.push(key.replace('~', "~0").replace('/', "~1"));
        let value = read(self);
        self.pointer.pop();
        value
    }

    fn value(&mut self, node: &Node, line: usize, path: &str) -> Json {
        let value = ConfigValue {
            node,
            path: path.to_owned(),
            line,
            context: self.context,
        };

        if let Some(tag) = &node.tag {
            value.error(format!(
                "the tag {tag} means nothing in JSON, which the service gets; leave it out"
            ));
        }

        match &node.value {
            Value::Map(_) if secret::is_reference(node) => {
                self.secrets.push(format!("/{}", self.pointer.join("/")));
                secret::resolve(&value).map_or(Json::Null, Json::String)
            }
            Value::Map(entries) => self.object(&entries.iter().collect::<Vec<_>>(), path),
            Value::List(items) => self.list(items, path),
            Value::Scalar {
                text,
                scalar,
                plain,
            } => {
                if *plain {
                    warn_of_surprises(&value, text);
                }
                word_to_json(text, scalar).unwrap_or_else(|error| {
                    value.error(error.to_string());
                    Json::Null
                })
            }
        }
    }
}

/// Warns of an unquoted word that MIQRO read differently, or that is in quotes which mean nothing.
fn warn_of_surprises(value: &ConfigValue<'_>, text: &str) {
    if let Some(difference) = difference_to_miqro(text) {
        value.warning(format!("{text} {difference}"));
    }
    if let Some(quote) = quotes::find_at_ends(text) {
        let quote = quotes::describe(quote);
        value.warning(format!(
            "goes to the service with {quote} in it; quotes are \" and '"
        ));
    }
}

fn word_to_json(text: &str, scalar: &Scalar) -> Result<Json, JsonError> {
    match scalar {
        Scalar::Null => Ok(Json::Null),
        Scalar::Bool(value) => Ok(Json::Bool(*value)),
        Scalar::Text => Ok(Json::String(text.to_owned())),
        Scalar::Int(value) => Number::from_i128(*value)
            .map(Json::Number)
            .ok_or_else(|| JsonError::TooLarge(text.to_owned())),
        Scalar::Float(value) => Number::from_f64(*value)
            .map(Json::Number)
            .ok_or_else(|| JsonError::NotFinite(text.to_owned())),
    }
}

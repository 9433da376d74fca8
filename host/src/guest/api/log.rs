//! `miqro:service/log`: log lines with the target `miqro::guest`, written at once, even if the call fails.
//!
//! The fields of a line become one field `fields`, a JSON object, so that each format of the log can show them its own way.

use std::fmt;

use crate::guest::bindings::miqro::service::log::{Host, Level};
use crate::guest::store::StoreData;

/// Bytes of a message, and of its fields together, that are kept.
const LINE_BYTES: usize = 16 * 1024;

impl Host for StoreData {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) {
        let message = cut(&message);
        macro_rules! write_at {
            ($level:ident, $of:ident) => {
                // a line that is not written anyway counts for nothing
                if !tracing::enabled!(target: "miqro::guest", tracing::Level::$of) || !self.log_quota.may_log() {
                } else if fields.is_empty() {
                    tracing::$level!(target: "miqro::guest", "{message}")
                } else {
                    tracing::$level!(target: "miqro::guest", fields = %Fields(&fields), "{message}")
                }
            };
        }
        match level {
            Level::Trace => write_at!(trace, TRACE),
            Level::Debug => write_at!(debug, DEBUG),
            Level::Info => write_at!(info, INFO),
            Level::Warn => write_at!(warn, WARN),
            Level::Error => write_at!(error, ERROR),
        }
    }
}

/// The fields as a JSON object, without those that are too much; a member `cut` then says so.
struct Fields<'a>(&'a [(String, String)]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = LINE_BYTES;
        let mut members = serde_json::Map::new();
        for (name, value) in self.0 {
            let Some(left) = room.checked_sub(name.len() + value.len()) else {
                members.insert("cut".to_owned(), "...".into());
                break;
            };
            room = left;
            members.insert(name.clone(), value.as_str().into());
        }

        write!(f, "{}", serde_json::Value::Object(members))
    }
}

fn cut(message: &str) -> &str {
    let end = (0..=LINE_BYTES.min(message.len()))
        .rev()
        .find(|at| message.is_char_boundary(*at))
        .unwrap_or(0);
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_an_object() {
        let fields = [("n", "1"), ("text", "two \"words\"\n"), ("none", "")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(
            Fields(&fields).to_string(),
            r#"{"n":"1","text":"two \"words\"\n","none":""}"#
        );
    }

    #[test]
    fn too_many_fields_are_cut() {
        let fields = [("n", "1"), ("long", &"x".repeat(LINE_BYTES))]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(Fields(&fields).to_string(), r#"{"n":"1","cut":"..."}"#);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(
            cut(&"\u{20ac}".repeat(LINE_BYTES)).len(),
            LINE_BYTES / 3 * 3
        );
    }
}

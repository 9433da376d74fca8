//! Machine: `miqro:service/log`. In: lines of a guest. Out: events with target `miqro::guest` and the fields `service` and,
//! where the guest gave any, `fields` (`name=value` pairs). Owns nothing; written at once, whatever becomes of the call.

use std::fmt;

use crate::guest::bindings::miqro::service::log::{Host, Level};
use crate::guest::store::Data;

/// Bytes of a message, and of its fields together, that are kept.
const LINE_BYTES: usize = 16 * 1024;

impl Host for Data {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) {
        let (service, message) = (&*self.setting.name, cut(&message));
        macro_rules! write_at {
            ($level:ident) => {
                if fields.is_empty() {
                    tracing::$level!(target: "miqro::guest", service, "{message}")
                } else {
                    tracing::$level!(target: "miqro::guest", service, fields = %Fields(&fields), "{message}")
                }
            };
        }
        match level {
            Level::Trace => write_at!(trace),
            Level::Debug => write_at!(debug),
            Level::Info => write_at!(info),
            Level::Warn => write_at!(warn),
            Level::Error => write_at!(error),
        }
    }
}

/// `name=value name=value`; values that are not one plain word are quoted.
struct Fields<'a>(&'a [(String, String)]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = LINE_BYTES;
        for (index, (name, value)) in self.0.iter().enumerate() {
            let Some(left) = room.checked_sub(name.len() + value.len()) else {
                return f.write_str(" ...");
            };
            room = left;
            let space = if index == 0 { "" } else { " " };
            if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
                write!(f, "{space}{name}={value}")?;
            } else {
                write!(f, "{space}{name}={value:?}")?;
            }
        }
        Ok(())
    }
}

fn cut(message: &str) -> &str {
    let end = (0..=LINE_BYTES.min(message.len())).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_shown_as_pairs() {
        let fields = [("n", "1"), ("text", "two words"), ("none", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(Fields(&fields).to_string(), r#"n=1 text="two words" none="""#);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"\u{20ac}".repeat(LINE_BYTES)).len(), LINE_BYTES / 3 * 3);
    }
}

//! Types of values in `schema.txt`: whether Home Assistant accepts a value, and a description of the accepted ones.

use std::fmt;

use serde_json::Value;

use crate::home_assistant::classes;

/// Type of the value of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Type {
    kind: Kind,
    /// Whether `null` stands for "none".
    nullable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Text, or a number that is written as text. No `true`, which would become `True`.
    Text,
    /// Text only.
    String,
    /// A topic to publish to.
    Topic,
    /// A filter to subscribe to.
    Filter,
    Bool,
    /// A whole number from `least` on, where there is a least one.
    Whole(Option<f64>),
    Number(Option<f64>),
    /// One of several words, which `|` separates.
    Words(&'static str),
    List,
    ListOf(&'static str),
    Pairs,
    /// The class of a sensor or number.
    Class,
    /// An icon with its prefix.
    Icon,
    /// An address with one of these schemes.
    Url(&'static str),
    /// A map with the keys of a section.
    Map(&'static str),
    Maps(&'static str),
}

impl Type {
    /// The type that a key has where the table names none.
    pub(super) fn of_name(key: &str) -> Self {
        let kind = match key {
            _ if key.ends_with("command_topic")
                || (key.starts_with("set_") && key.ends_with("_topic")) =>
            {
                Kind::Topic
            }
            _ if key.ends_with("topic") => Kind::Filter,
            _ => Kind::Text,
        };

        Self {
            kind,
            nullable: false,
        }
    }

    /// The type of this name, with `?` at its end where `null` is accepted too.
    pub(super) fn parse(name: &'static str) -> Self {
        let (name, nullable) = name
            .strip_suffix('?')
            .map_or((name, false), |name| (name, true));
        let least = || {
            name.split_once(">=")
                .and_then(|(_, least)| least.parse().ok())
        };
        let kind = match name {
            "text" => Kind::Text,
            "string" => Kind::String,
            "topic" => Kind::Topic,
            "bool" => Kind::Bool,
            "int" => Kind::Whole(Some(0.0)),
            "integer" => Kind::Whole(None),
            _ if name.starts_with("int>=") => Kind::Whole(least()),
            _ if name.starts_with("float") => Kind::Number(least()),
            "list" => Kind::List,
            "pairs" => Kind::Pairs,
            "class" => Kind::Class,
            "icon" => Kind::Icon,
            "url" => Kind::Url("http|https"),
            "ha_url" => Kind::Url("http|https|homeassistant"),
            _ => Self::composed(name),
        };

        Self { kind, nullable }
    }

    fn composed(name: &'static str) -> Kind {
        let words = name
            .strip_prefix("list(")
            .and_then(|rest| rest.strip_suffix(')'));
        match (words, name.strip_prefix('@')) {
            (Some(words), _) => Kind::ListOf(words),
            (None, Some(section)) => section
                .strip_suffix('*')
                .map_or(Kind::Map(section), Kind::Maps),
            (None, None) => Kind::Words(name),
        }
    }

    /// Whether Home Assistant takes the value. The keys within a map are looked at by [`sections`](Self::sections).
    pub(super) fn takes(self, value: &Value) -> bool {
        if value.is_null() {
            return self.nullable;
        }
        match self.kind {
            Kind::Text => is_text(value),
            Kind::String => value.is_string(),
            Kind::Topic => value.as_str().is_some_and(crate::topic::is_topic),
            Kind::Filter => value.as_str().is_some_and(crate::topic::is_filter),
            Kind::Bool => value.is_boolean(),
            Kind::Whole(least) => value
                .as_f64()
                .is_some_and(|number| number.fract() == 0.0 && reaches(number, least)),
            Kind::Number(least) => number(value).is_some_and(|number| reaches(number, least)),
            Kind::Words(words) => is_word(words, value),
            Kind::List => value
                .as_array()
                .is_some_and(|items| items.iter().all(is_text)),
            Kind::ListOf(words) => value
                .as_array()
                .is_some_and(|items| items.iter().all(|item| is_word(words, item))),
            Kind::Pairs => value
                .as_array()
                .is_some_and(|items| items.iter().all(is_pair)),
            Kind::Class => value
                .as_str()
                .is_some_and(|class| classes::find(class).is_some()),
            Kind::Icon => value.as_str().is_some_and(|icon| icon.contains(':')),
            Kind::Url(schemes) => value.as_str().is_some_and(|url| is_url(schemes, url)),
            Kind::Map(_) => value.is_object(),
            Kind::Maps(_) => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_object)),
        }
    }

    /// The maps within the value, each with the section that names its keys.
    pub(super) fn sections(self, value: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
        let (section, maps) = match self.kind {
            Kind::Map(section) => (section, std::slice::from_ref(value)),
            Kind::Maps(section) => (section, value.as_array().map_or(&[][..], Vec::as_slice)),
            _ => ("", &[][..]),
        };
        maps.iter().map(move |map| (section, map))
    }
}

/// The accepted values in words.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = |least: Option<f64>| {
            least
                .map(|least| format!(" from {least} on"))
                .unwrap_or_default()
        };
        match self.kind {
            Kind::Text | Kind::String => f.write_str("text"),
            Kind::Topic => f.write_str("a topic without wildcards and control characters"),
            Kind::Filter => f.write_str("a topic without control characters"),
            Kind::Bool => f.write_str("true or false"),
            Kind::Whole(least) => write!(f, "a whole number{}", from(least)),
            Kind::Number(least) => write!(f, "a finite number{}", from(least)),
            Kind::Words(words) => choice(f, words.split('|')),
            Kind::List => f.write_str("a list of texts"),
            Kind::ListOf(words) => {
                f.write_str("a list with any of ")?;
                choice(f, words.split('|'))
            }
            Kind::Pairs => f.write_str("a list of pairs of texts"),
            Kind::Class => choice(f, classes::all().map(|class| class.name)),
            Kind::Icon => f.write_str("an icon with its prefix, as in mdi:pump"),
            Kind::Url(schemes) => {
                f.write_str("an address with a host that begins with ")?;
                choice(f, schemes.split('|'))
            }
            Kind::Map(_) => f.write_str("a map"),
            Kind::Maps(_) => f.write_str("a list of maps"),
        }?;

        if self.nullable {
            f.write_str(", or null")
        } else {
            Ok(())
        }
    }
}

/// The number that a value is or is written as, where it is finite.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

fn reaches(number: f64, least: Option<f64>) -> bool {
    least.is_none_or(|least| number >= least)
}

fn is_text(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

fn is_word(words: &str, value: &Value) -> bool {
    words.split('|').any(|word| match value {
        Value::String(text) => text == word,
        Value::Number(number) => word.parse() == Ok(number.as_f64().unwrap_or(f64::NAN)),
        _ => false,
    })
}

fn is_pair(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|pair| pair.len() == 2 && pair.iter().all(is_text))
}

fn is_url(schemes: &str, url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (host, ""),
    };
    let sound = !url.contains(char::is_control) && !host.contains(char::is_whitespace);
    let known = schemes
        .split('|')
        .any(|known| known.eq_ignore_ascii_case(scheme));
    known && sound && !host.is_empty() && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// `a`, or `one of a, b, c`.
pub(super) fn choice<'w>(
    f: &mut impl fmt::Write,
    words: impl Iterator<Item = &'w str> + Clone,
) -> fmt::Result {
    if words.clone().nth(1).is_some() {
        f.write_str("one of ")?;
    }
    words
        .enumerate()
        .try_for_each(|(at, word)| write!(f, "{}{word}", if at == 0 { "" } else { ", " }))
}

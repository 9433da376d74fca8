//! Topic names and topic filters: `Topic`, `Filter` and `BaseTopic` cannot hold anything that MQTT
//! forbids, and match as it says.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;

use crate::text;

/// The longest topic or filter in bytes (MQTT 5, section 1.5.4: a UTF-8 string has a two-byte length).
pub const MAX_TOPIC_BYTES: usize = 65_535;

/// The most levels of a topic or filter. MQTT has no limit, but brokers do: mosquitto ends the connection for more than 201.
pub const MAX_LEVELS: usize = 200;

/// Beginning of a shared subscription (MQTT 5, section 4.8.2).
const SHARE: &str = "$share/";

/// The reason why text is not a topic name or filter; the message names the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Empty text (section 4.7.3: at least one character).
    #[error("a topic must not be empty")]
    Empty,
    /// Longer than 65,535 bytes.
    #[error("a topic of {0} bytes is longer than the {MAX_TOPIC_BYTES} bytes that MQTT allows")]
    TooLong(usize),
    /// Contains U+0000 (section 4.7.3), or another character that a text should not contain (section 1.5.4).
    #[error("topic {0:?} contains the character {name}, which MQTT forbids", name = text::name(*.1))]
    Character(String, char),
    /// More levels than brokers take.
    #[error("a topic of {0} levels is deeper than the {MAX_LEVELS} levels that brokers take")]
    Deep(usize),
    /// `data_topic` among the topics that are the broker's own (section 4.7.2), or where it would make filters shared ones.
    #[error(
        "{0:?} cannot be a base topic: $SYS is the broker's own, and $share is for subscriptions"
    )]
    Reserved(String),
    /// A wildcard in a topic name (section 4.7.1).
    #[error("topic {0:?} contains a wildcard ('+' or '#'); these are for subscriptions only")]
    Wildcard(String),
    /// `+` not alone in its level, or `#` not alone in the last level (section 4.7.1).
    #[error("filter {0:?}: '+' must stand alone in its level and '#' alone in the last level")]
    Misplaced(String),
    /// `$share` without a group or without a filter (section 4.8.2).
    #[error("filter {0:?}: a shared subscription is written $share/<group>/<filter>")]
    Share(String),
}

/// The name of a topic: no wildcards, 1 to 65,535 bytes of UTF-8 without U+0000. One of our own has no other character either that a
/// text should not contain, and no more levels than brokers take. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(ByteString);

impl Topic {
    /// Checks `text` (MQTT 5, section 4.7) and keeps it without copying.
    ///
    /// # Errors
    /// If MQTT forbids it; the error says why.
    pub fn new(text: impl Into<ByteString>) -> Result<Self, TopicError> {
        let text = text.into();
        check_text(&text)?;
        Self::without_wildcards(text)
    }

    /// Takes the topic of a message that came from a broker, or was kept. Only violations of MQTT's "must" (sections 4.7.1 and 4.7.3)
    /// are refused, since a broker may accept more from others than from us.
    ///
    /// # Errors
    /// If MQTT forbids it; the error says why.
    pub fn from_received(text: impl Into<ByteString>) -> Result<Self, TopicError> {
        let text = text.into();
        check_length(&text)?;
        if text.contains('\0') {
            return Err(TopicError::Character(text.to_string(), '\0'));
        }
        Self::without_wildcards(text)
    }

    fn without_wildcards(text: ByteString) -> Result<Self, TopicError> {
        // over bytes: this is done for every message, and a search for characters decodes each
        if text.bytes().any(|byte| matches!(byte, b'+' | b'#')) {
            return Err(TopicError::Wildcard(text.to_string()));
        }
        Ok(Self(text))
    }

    /// The same in memory of its own.
    pub fn to_detached(&self) -> Self {
        Self(ByteString::from(self.0.to_string()))
    }

    /// Returns Home Assistant's default prefix for announcements: `homeassistant`.
    pub fn home_assistant() -> Self {
        Self(ByteString::from_static("homeassistant"))
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A topic filter: 1 to 65,535 bytes, wildcards where MQTT allows them. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter(Arc<str>);

impl Filter {
    /// Checks `text` (MQTT 5, sections 4.7.1 and 4.8.2).
    ///
    /// # Errors
    /// If MQTT forbids it; the error says why.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        check_text(text)?;
        let (share, pattern) = split_share(text);
        if !share.is_empty() && !is_share(share, pattern) {
            return Err(TopicError::Share(text.to_owned()));
        }
        let mut levels = pattern.split('/').peekable();
        while let Some(level) = levels.next() {
            let wild = level.contains(['+', '#']);
            let alone = level == "+" || (level == "#" && levels.peek().is_none());
            if wild && !alone {
                return Err(TopicError::Misplaced(text.to_owned()));
            }
        }

        Ok(Self(text.into()))
    }

    /// The filter as it is sent to the broker, `$share/<group>/` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part that topics are matched against: without `$share/<group>/`.
    pub fn pattern(&self) -> &str {
        split_share(&self.0).1
    }

    /// Whether a message on `topic` belongs to this filter (MQTT 5, section 4.7).
    pub fn matches(&self, topic: &Topic) -> bool {
        matches(self.pattern(), topic.as_str())
    }

    /// Whether every topic that `other` matches is matched by this filter too, so that a grant for this filter
    /// covers a subscription to `other`.
    pub fn covers(&self, other: &Filter) -> bool {
        covers(self.pattern(), other.pattern())
    }
}

/// The topic below which a service lives: a topic that ends in `/`, `service/<name>/` by default.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseTopic(Arc<str>);

impl BaseTopic {
    /// The default base topic of a service: `service/<name>/`.
    ///
    /// # Errors
    /// When `name` cannot stand in a topic.
    pub fn of_service(name: &str) -> Result<Self, TopicError> {
        Self::new(&format!("service/{name}"))
    }

    /// Returns no base topic: topics relative to it are full ones.
    pub fn global() -> Self {
        Self("".into())
    }

    /// Whether topics relative to it are full ones.
    pub fn is_global(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes a base topic from `data_topic`; an empty text gives none; a missing slash at the end is added.
    ///
    /// # Errors
    /// When `text` is not a topic name.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Ok(Self::global());
        }
        let text = if text.ends_with('/') {
            text.to_owned()
        } else {
            format!("{text}/")
        };
        Topic::new(text.clone())?;
        if text.starts_with("$SYS/") || text.starts_with(SHARE) {
            return Err(TopicError::Reserved(text));
        }
        Ok(Self(text.into()))
    }

    /// The base topic with its slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full topic of `relative`.
    ///
    /// # Errors
    /// When the result is not a topic name.
    pub fn topic(&self, relative: &str) -> Result<Topic, TopicError> {
        if relative.is_empty() {
            return Err(TopicError::Empty);
        }
        Topic::new([&self.0, relative].concat())
    }

    /// The full filter of `relative`; of `$share/<group>/<filter>`, the filter is what lies below this base.
    ///
    /// # Errors
    /// When the result is not a topic filter.
    pub fn filter(&self, relative: &str) -> Result<Filter, TopicError> {
        let (share, below) = split_share(relative);
        if below.is_empty() {
            return Err(if share.is_empty() {
                TopicError::Empty
            } else {
                TopicError::Share(relative.to_owned())
            });
        }

        Filter::new(&[share, &self.0, below].concat())
    }

    /// The part of `topic` below this base; `None` when the topic is elsewhere.
    pub fn relative<'a>(&self, topic: &'a Topic) -> Option<&'a str> {
        topic
            .as_str()
            .strip_prefix(&*self.0)
            .filter(|rest| !rest.is_empty())
    }
}

fn check_text(text: &str) -> Result<(), TopicError> {
    check_length(text)?;
    if let Some(character) = text::find_forbidden(text) {
        return Err(TopicError::Character(text.to_owned(), character));
    }
    match 1 + text.bytes().filter(|byte| *byte == b'/').count() {
        levels if levels > MAX_LEVELS => Err(TopicError::Deep(levels)),
        _ => Ok(()),
    }
}

fn check_length(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        n if n > MAX_TOPIC_BYTES => Err(TopicError::TooLong(n)),
        _ => Ok(()),
    }
}

/// Splits `$share/<group>/` off; the first part is empty for a filter that is not shared.
fn split_share(filter: &str) -> (&str, &str) {
    let Some(shared) = filter.strip_prefix(SHARE) else {
        return ("", filter);
    };
    let group = shared.find('/').map_or(shared.len(), |slash| slash + 1);
    filter.split_at(SHARE.len() + group)
}

/// Section 4.8.2: a group of at least one character without wildcards, and a filter.
fn is_share(share: &str, pattern: &str) -> bool {
    let group = share
        .strip_prefix(SHARE)
        .and_then(|group| group.strip_suffix('/'));
    !pattern.is_empty()
        && group.is_some_and(|group| !group.is_empty() && !group.contains(['+', '#']))
}

/// Section 4.7.2: a filter that starts with a wildcard does not match a topic that starts with `$`.
fn matches(pattern: &str, topic: &str) -> bool {
    if topic.starts_with('$') && pattern.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in pattern.split('/') {
        // before taking a level: `a/#` matches `a` too (section 4.7.1.2)
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }

    levels.next().is_none()
}

fn covers(grant: &str, wanted: &str) -> bool {
    if wanted.starts_with('$') && grant.starts_with(['+', '#']) {
        return false;
    }
    // `#` stands for its parent too, unless the parent would be the empty text, which is not a topic
    let wanted = match wanted {
        "#" => "+/#",
        "/#" => "/+/#",
        other => other,
    };
    let mut wanted = wanted.split('/');
    for level in grant.split('/') {
        if level == "#" {
            return true;
        }
        match wanted.next() {
            Some("#") | None => return false,
            Some(asked) if level == "+" || level == asked => {}
            Some(_) => return false,
        }
    }

    wanted.next().is_none()
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    )*};
}
shown_as_text!(Topic, Filter, BaseTopic);

#[cfg(test)]
mod tests;

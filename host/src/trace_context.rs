//! The trace context of a message: the user properties `traceparent` and `tracestate` (W3C Trace Context, sections 3.2 and 3.3).
//!
//! Everything that a service publishes because of a message belongs to the trace of the message, also when its guest knows nothing
//! of traces. So the host carries the context on. Only MQTT 5 has user properties. Pure.

mod trace_parent;

pub use trace_parent::TraceParent;

use crate::message::{Message, Properties, Publication};

/// The name of the property with the trace and the span that a message belongs to.
pub const TRACEPARENT: &str = "traceparent";
/// The name of the property with data of tracing systems.
const TRACESTATE: &str = "tracestate";

/// Bytes of a value that is carried on: section 3.3.1.5 demands no more, and one call may publish many messages.
const VALUE_BYTES: usize = 512;

/// The valid trace context of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext<'a> {
    /// The trace and the span that the message belongs to.
    pub parent: TraceParent,
    text: &'a str,
    /// The value of `tracestate`.
    pub state: Option<&'a str>,
}

impl<'a> TraceContext<'a> {
    /// Returns the context of a message; `None`: it has none, or one that is invalid or ambiguous.
    pub fn from_message(message: &'a Message) -> Option<Self> {
        let properties = message.properties.as_deref()?;
        let text = single(properties, TRACEPARENT)?;
        let state = single(properties, TRACESTATE);
        Some(Self {
            parent: TraceParent::parse(text)?,
            text,
            state: state.filter(|state| is_printable(state)),
        })
    }

    /// Adds the context to a message that follows from this one. A context of its own stays: then the guest has chosen its parent.
    pub fn carry_to(&self, message: &mut Message) {
        let properties = message.properties.get_or_insert_default();
        let own = find(properties, TRACEPARENT).next();
        if own.is_some_and(|own| own != self.text) {
            return;
        }
        if own.is_none() {
            push(properties, TRACEPARENT, self.text);
        }

        let has_state = find(properties, TRACESTATE).next().is_some();
        if let Some(state) = self.state
            && !has_state
        {
            push(properties, TRACESTATE, state);
        }
    }
}

/// Makes another span the parent that a message names, in its trace or in a new one. A new trace has no `tracestate` of the former one.
pub fn set_parent(message: &mut Message, parent: TraceParent) {
    let is_valid = TraceContext::from_message(message).is_some();
    let properties = message.properties.get_or_insert_default();
    let pairs = &mut properties.user_properties;
    if !is_valid {
        pairs.retain(|(name, _)| name != TRACEPARENT && name != TRACESTATE);
    }

    let own = pairs.iter_mut().find(|(name, _)| name == TRACEPARENT);
    match own {
        Some((_, value)) => *value = parent.to_string(),
        None => push(properties, TRACEPARENT, &parent.to_string()),
    }
}

/// Adds the context of `origin`, if it has one, to a message that follows from it.
pub fn carry_on(origin: &Message, message: &mut Message) {
    if let Some(context) = TraceContext::from_message(origin) {
        context.carry_to(message);
    }
}

/// Adds the context of `origin`, if it has one, to all messages that follow from it.
pub fn carry_to_all(origin: &Message, publishes: &mut [Publication]) {
    if publishes.is_empty() {
        return;
    }
    if let Some(context) = TraceContext::from_message(origin) {
        for publication in publishes {
            context.carry_to(&mut publication.message);
        }
    }
}

/// The values of all user properties of this name.
fn find<'a>(properties: &'a Properties, name: &str) -> impl Iterator<Item = &'a str> {
    let pairs = properties.user_properties.iter();
    pairs.filter_map(move |(key, value)| (key == name).then_some(value.as_str()))
}

/// The value of a property that occurs once and is not too long.
fn single<'a>(properties: &'a Properties, name: &str) -> Option<&'a str> {
    let mut values = find(properties, name);
    let value = values.next().filter(|value| value.len() <= VALUE_BYTES);
    value.filter(|_| values.next().is_none())
}

/// Whether a value has only characters that a `tracestate` may have, so that no broker refuses it.
fn is_printable(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn push(properties: &mut Properties, name: &str, value: &str) {
    let pair = (name.to_owned(), value.to_owned());
    properties.user_properties.push(pair);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::Qos;
    use crate::topic::Topic;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    fn message(pairs: &[(&str, &str)]) -> Message {
        let mut message = Message::new(Topic::new("a").unwrap(), "x", Qos::AtMostOnce, false);
        if !pairs.is_empty() {
            message.properties = Some(Box::new(Properties {
                user_properties: owned(pairs),
                ..Properties::default()
            }));
        }
        message
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// The user properties of a message with `own` ones that follows from one with `received` ones.
    fn carried(received: &[(&str, &str)], own: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut message = message(own);
        carry_on(&self::message(received), &mut message);
        message.properties.unwrap_or_default().user_properties
    }

    #[test]
    fn context_is_carried_on_behind_the_properties_of_the_guest() {
        let received = [("k", "v"), (TRACESTATE, "a=1,b=2"), (TRACEPARENT, PARENT)];
        let expected = [("own", "1"), (TRACEPARENT, PARENT), (TRACESTATE, "a=1,b=2")];
        assert_eq!(carried(&received, &[("own", "1")]), owned(&expected));
    }

    #[test]
    fn message_without_a_context_adds_nothing() {
        let mut follower = message(&[]);
        carry_on(&message(&[]), &mut follower);
        carry_on(&message(&[("k", "v")]), &mut follower);
        carry_on(&message(&[(TRACESTATE, "a=1")]), &mut follower);
        assert_eq!(follower.properties, None);
    }

    #[test]
    fn context_of_the_guest_wins() {
        let received = [(TRACEPARENT, PARENT), (TRACESTATE, "a=1")];
        let own = [(TRACEPARENT, OTHER)];
        assert_eq!(carried(&received, &own), owned(&own));

        let copied = [(TRACEPARENT, PARENT)];
        assert_eq!(carried(&received, &copied), owned(&received));
        let own_state = [(TRACESTATE, "b=2")];
        let expected = [(TRACESTATE, "b=2"), (TRACEPARENT, PARENT)];
        assert_eq!(carried(&received, &own_state), owned(&expected));
    }

    #[test]
    fn parent_is_replaced_within_its_trace_and_in_a_new_one() {
        let parent = TraceParent::parse(OTHER).unwrap();
        let set = |pairs: &[(&str, &str)]| {
            let mut message = message(pairs);
            set_parent(&mut message, parent);
            message.properties.unwrap().user_properties
        };

        let received = [(TRACEPARENT, PARENT), (TRACESTATE, "a=1"), ("k", "v")];
        let expected = [(TRACEPARENT, OTHER), (TRACESTATE, "a=1"), ("k", "v")];
        assert_eq!(set(&received), owned(&expected));
        let invalid = [(TRACEPARENT, "x"), (TRACESTATE, "a=1"), ("k", "v")];
        let expected = [("k", "v"), (TRACEPARENT, OTHER)];
        assert_eq!(set(&invalid), owned(&expected));
        assert_eq!(set(&[]), owned(&[(TRACEPARENT, OTHER)]));
    }

    #[test]
    fn ambiguous_and_invalid_contexts_are_ignored() {
        let twice = [(TRACEPARENT, PARENT), (TRACEPARENT, OTHER)];
        assert!(carried(&twice, &[]).is_empty());
        assert!(carried(&[(TRACEPARENT, "00-x")], &[]).is_empty());
        assert!(carried(&[("Traceparent", PARENT)], &[]).is_empty());

        let long = "x".repeat(VALUE_BYTES + 1);
        for states in [
            vec!["a=1", "b=2"],
            vec![""],
            vec!["a=\u{1}"],
            vec!["a=ä"],
            vec![&long],
        ] {
            let mut received = vec![(TRACEPARENT, PARENT)];
            received.extend(states.iter().map(|state| (TRACESTATE, *state)));
            let expected = owned(&[(TRACEPARENT, PARENT)]);
            assert_eq!(carried(&received, &[]), expected, "{states:?}");
        }
    }
}

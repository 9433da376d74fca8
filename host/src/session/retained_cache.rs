//! Pure: what the broker keeps for the topics that services are subscribed to. In: messages that arrive. Out: the values, for a service
//! that comes to a subscription which the broker has already, as long as they are certain. Owns the values, bounded in bytes.
//!
//! A message from before a subscription is marked (retain), one that comes later is not, whether the broker keeps it or not. So the
//! values of a subscription are certain until a message without the mark comes for it; from then on the broker has to be asked.

use std::collections::{HashMap, HashSet};

use crate::message::{Message, Subscription};
use crate::topic::Topic;

/// What all values may take together, in bytes.
const MOST: usize = 16 * 1024 * 1024;

/// What the broker keeps.
#[derive(Debug, Default)]
pub struct RetainedCache {
    values: HashMap<Topic, Message>,
    bytes: usize,
    /// Identifiers of subscriptions of which not all values are certain.
    uncertain: HashSet<u32>,
    /// None are: a message came of which the broker did not say for which subscription, or there was no room for a value.
    all_uncertain: bool,
}

impl RetainedCache {
    /// The broker has lost the session: all that it keeps comes again.
    pub fn session_lost(&mut self) {
        *self = Self::default();
    }

    /// Subscriptions have ended; `wanted` says which topics some service still wants.
    pub fn ended(&mut self, wanted: impl Fn(&Topic) -> bool) {
        self.values.retain(|topic, _| wanted(topic));
        self.bytes = self.values.values().map(Message::weight).sum();
    }

    /// Notes a message that came for these subscriptions.
    pub fn arrived(&mut self, message: &Message, ids: &[u32]) {
        if message.retain {
            return self.keep(message);
        }
        if ids.is_empty() {
            self.give_up();
        }
        for id in ids {
            if !self.uncertain.contains(id) {
                self.uncertain.insert(*id);
            }
        }
    }

    /// Whether all values of the subscription `id` are known for certain.
    pub fn is_certain(&self, id: u32) -> bool {
        !self.all_uncertain && !self.uncertain.contains(&id)
    }

    /// Nothing is certain any more, so nothing need be kept.
    fn give_up(&mut self) {
        *self = Self {
            all_uncertain: true,
            ..Self::default()
        };
    }

    fn keep(&mut self, message: &Message) {
        if self.all_uncertain {
            return;
        }
        if let Some(old) = self.values.remove(&message.topic) {
            self.bytes -= old.weight();
        }
        if self.bytes + message.weight() > MOST {
            return self.give_up();
        }
        self.bytes += message.weight();
        let value = Message {
            dup: false,
            ..message.detached()
        };
        self.values.insert(value.topic.clone(), value);
    }

    /// The values for a service that has come to these subscriptions, each topic once. The broker sends none for shared ones.
    pub fn values<'a>(
        &'a self,
        subscriptions: &'a [&Subscription],
    ) -> impl Iterator<Item = Message> + 'a {
        let plain = |one: &&&Subscription| one.filter.pattern().len() == one.filter.as_str().len();
        self.values.values().filter_map(move |value| {
            let mut found = subscriptions
                .iter()
                .filter(plain)
                .filter(|one| one.filter.matches(&value.topic));
            let qos = found.next().map(|one| value.qos.min(one.qos))?;
            Some(Message {
                qos,
                ..value.clone()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::Qos;
    use crate::topic::Filter;

    fn message(topic: &str, payload: &str, retain: bool) -> Message {
        Message::new(
            Topic::new(topic).unwrap(),
            payload.to_owned(),
            Qos::AtLeastOnce,
            retain,
        )
    }

    fn values(retained: &RetainedCache, filters: &[&str]) -> Vec<(String, String)> {
        let subscription = |filter: &&str| Subscription {
            filter: Filter::new(filter).unwrap(),
            qos: Qos::AtMostOnce,
        };
        let all: Vec<_> = filters.iter().map(subscription).collect();
        let all: Vec<_> = all.iter().collect();
        let shown = |message: Message| {
            assert!(message.retain && message.qos == Qos::AtMostOnce);
            (
                message.topic.to_string(),
                String::from_utf8(message.payload.to_vec()).unwrap(),
            )
        };
        let mut values: Vec<_> = retained.values(&all).map(shown).collect();
        values.sort();
        values
    }

    fn pair(topic: &str, value: &str) -> (String, String) {
        (topic.to_owned(), value.to_owned())
    }

    #[test]
    fn values_are_certain_until_something_else_comes() {
        let mut retained = RetainedCache::default();
        retained.arrived(&message("a/x", "1", true), &[1]);
        retained.arrived(&message("a/y", "2", true), &[1]);
        retained.arrived(&message("b", "3", true), &[2]);
        assert_eq!(
            values(&retained, &["a/#", "+/x"]),
            [pair("a/x", "1"), pair("a/y", "2")]
        );
        assert!(values(&retained, &["$share/g/a/#", "c"]).is_empty());
        retained.arrived(&message("a/x", "4", false), &[1]);
        assert_eq!(
            (retained.is_certain(1), retained.is_certain(2)),
            (false, true)
        );
        retained.arrived(&message("a/x", "4", false), &[]);
        assert!(!retained.is_certain(2), "for which one is not said");
        retained.session_lost();
        assert!(retained.is_certain(1) && values(&retained, &["#"]).is_empty());
    }

    #[test]
    fn values_that_nobody_wants_any_more_go() {
        let mut retained = RetainedCache::default();
        for topic in ["a", "b"] {
            retained.arrived(&message(topic, "1", true), &[1]);
        }
        retained.ended(|topic| topic.as_str() == "b");
        assert_eq!(values(&retained, &["#"]), [pair("b", "1")]);
    }

    #[test]
    fn a_full_cache_confirms_no_value() {
        let mut retained = RetainedCache::default();
        for number in 0..3 {
            assert!(retained.is_certain(1));
            retained.arrived(
                &message(&number.to_string(), &"x".repeat(MOST / 2 - 1_000), true),
                &[1],
            );
        }
        // so it need keep none
        assert!(!retained.is_certain(1) && values(&retained, &["#"]).is_empty());
        retained.arrived(&message("3", "short", true), &[1]);
        assert!(retained.values.is_empty() && retained.bytes == 0);
    }
}

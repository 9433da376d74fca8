//! Retained messages of the topics that services are subscribed to, for services that subscribe to a filter that the broker has already.
//!
//! Messages from before a subscription have the retain flag; later ones do not, whether the broker keeps them or not. The cached
//! messages of a subscription are therefore certain until a message without the flag comes for it; from then on the broker has to be
//! asked. The cache is bounded in bytes.

use std::collections::{HashMap, HashSet};

use crate::message::{Message, Subscription};
use crate::topic::Topic;

/// The size of all messages together, in bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Retained messages by topic.
#[derive(Debug, Default)]
pub(super) struct RetainedCache {
    values: HashMap<Topic, Message>,
    bytes: usize,
    /// Identifiers of subscriptions whose messages are not certain.
    uncertain: HashSet<u32>,
    /// Nothing is certain: a message came without subscription identifier, or there was no room for one.
    all_uncertain: bool,
}

impl RetainedCache {
    /// Forgets everything. With a new session the broker sends its retained messages again.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets topics that no service wants any more.
    pub(super) fn retain_wanted(&mut self, wanted: impl Fn(&Topic) -> bool) {
        self.values.retain(|topic, _| wanted(topic));
        self.bytes = self.values.values().map(Message::weight).sum();
    }

    /// Handles a message that came for these subscriptions.
    pub(super) fn on_message(&mut self, message: &Message, ids: &[u32]) {
        if message.retain {
            return self.insert(message);
        }
        if ids.is_empty() {
            self.invalidate();
        }
        for id in ids {
            if !self.uncertain.contains(id) {
                self.uncertain.insert(*id);
            }
        }
    }

    /// Whether the messages of the subscription `id` are certain.
    pub(super) fn is_certain(&self, id: u32) -> bool {
        !self.all_uncertain && !self.uncertain.contains(&id)
    }

    /// Marks everything as uncertain, so nothing needs to be kept.
    fn invalidate(&mut self) {
        *self = Self {
            all_uncertain: true,
            ..Self::default()
        };
    }

    fn insert(&mut self, message: &Message) {
        if self.all_uncertain {
            return;
        }
        if let Some(old) = self.values.remove(&message.topic) {
            self.bytes -= old.weight();
        }
        if self.bytes + message.weight() > MAX_BYTES {
            return self.invalidate();
        }
        self.bytes += message.weight();
        let value = Message {
            dup: false,
            ..message.to_detached()
        };
        self.values.insert(value.topic.clone(), value);
    }

    /// Messages for a service with these new subscriptions, each topic once. There are none for shared subscriptions, as at the broker.
    pub(super) fn messages_for<'a>(
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

        let mut values: Vec<_> = retained.messages_for(&all).map(shown).collect();
        values.sort();
        values
    }

    fn pair(topic: &str, value: &str) -> (String, String) {
        (topic.to_owned(), value.to_owned())
    }

    #[test]
    fn messages_are_certain_until_one_without_flag_comes() {
        let mut retained = RetainedCache::default();
        retained.on_message(&message("a/x", "1", true), &[1]);
        retained.on_message(&message("a/y", "2", true), &[1]);
        retained.on_message(&message("b", "3", true), &[2]);
        assert_eq!(
            values(&retained, &["a/#", "+/x"]),
            [pair("a/x", "1"), pair("a/y", "2")]
        );
        assert!(values(&retained, &["$share/g/a/#", "c"]).is_empty());
        retained.on_message(&message("a/x", "4", false), &[1]);
        assert_eq!(
            (retained.is_certain(1), retained.is_certain(2)),
            (false, true)
        );
        retained.on_message(&message("a/x", "4", false), &[]);
        assert!(!retained.is_certain(2), "its subscription is unknown");
        retained.clear();
        assert!(retained.is_certain(1) && values(&retained, &["#"]).is_empty());
    }

    #[test]
    fn topics_without_subscription_are_forgotten() {
        let mut retained = RetainedCache::default();
        for topic in ["a", "b"] {
            retained.on_message(&message(topic, "1", true), &[1]);
        }
        retained.retain_wanted(|topic| topic.as_str() == "b");
        assert_eq!(values(&retained, &["#"]), [pair("b", "1")]);
    }

    #[test]
    fn a_full_cache_confirms_no_value() {
        let mut retained = RetainedCache::default();
        for number in 0..3 {
            assert!(retained.is_certain(1));
            retained.on_message(
                &message(
                    &number.to_string(),
                    &"x".repeat(MAX_BYTES / 2 - 1_000),
                    true,
                ),
                &[1],
            );
        }

        // nothing needs to be kept
        assert!(!retained.is_certain(1) && values(&retained, &["#"]).is_empty());
        retained.on_message(&message("3", "short", true), &[1]);
        assert!(retained.values.is_empty() && retained.bytes == 0);
    }
}

//! Pure: what the broker keeps for the topics that services are subscribed to. In: subscriptions, messages that arrive. Out: the last
//! values, for a service that comes to a subscription which the broker has already; which messages are from before a subscription.
//! Owns the values, bounded in bytes.
//!
//! With MQTT 5 the broker says of each message whether it keeps it (retain as published, section 3.8.3.1), so values are exact. What is
//! from before a subscription comes soon after it was asked for, once for each topic. In 3.1.1 only messages from before a
//! subscription are marked: a topic that had one is taken to have the last message that came on it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::config::Protocol;
use crate::message::{Message, Subscription};
use crate::router::Numbered;
use crate::topic::{Filter, Topic};

/// So long after the last one another message from before a subscription may come.
const SETTLING: Duration = Duration::from_secs(10);
/// What all values may take together, in bytes.
const MOST: usize = 16 * 1024 * 1024;

/// What the broker keeps.
#[derive(Debug, Default)]
pub struct Retained {
    values: HashMap<Topic, Message>,
    bytes: usize,
    /// Subscriptions that this session was asked for.
    asked: HashSet<Filter>,
    /// Those for which messages from before may still come, by identifier.
    settling: HashMap<u32, Settling>,
    /// Whether a value was left out since that was last asked.
    overflowed: bool,
}

#[derive(Debug)]
struct Settling {
    until: Instant,
    came: HashSet<Topic>,
}

impl Retained {
    /// The broker is asked for a subscription.
    pub fn asked(&mut self, subscription: &Numbered, now: Instant) {
        if self.asked.insert(subscription.subscription.filter.clone()) {
            self.settling.insert(subscription.id.0, Settling { until: now + SETTLING, came: HashSet::new() });
        }
    }

    /// Subscriptions have ended; `wanted` says which topics some service still wants.
    pub fn ended(&mut self, filters: &[Filter], wanted: impl Fn(&Topic) -> bool) {
        for filter in filters {
            self.asked.remove(filter);
        }
        self.values.retain(|topic, _| wanted(topic));
        self.bytes = self.values.values().map(Message::weight).sum();
    }

    /// The broker has lost the session: all that it keeps comes again.
    pub fn session_lost(&mut self) {
        *self = Self { overflowed: self.overflowed, ..Self::default() };
    }

    /// Notes a message, and makes its retain flag say whether it is from before its subscription.
    pub fn arrived(&mut self, message: &mut Message, ids: &[u32], protocol: Protocol, now: impl FnOnce() -> Instant) {
        match protocol {
            Protocol::V5 if message.retain => {
                message.retain = self.is_from_before(&message.topic, ids, now());
                self.keep(message);
            }
            Protocol::V311 if message.retain || self.values.contains_key(&message.topic) => self.keep(message),
            Protocol::V5 | Protocol::V311 => {}
        }
    }

    fn is_from_before(&mut self, topic: &Topic, ids: &[u32], now: Instant) -> bool {
        self.settling.retain(|_, settling| settling.until > now);
        let mut before = false;
        for (id, settling) in &mut self.settling {
            // a broker without identifiers does not say for which one it is
            if (ids.is_empty() || ids.contains(id)) && settling.came.insert(topic.clone()) {
                settling.until = now + SETTLING;
                before = true;
            }
        }
        before
    }

    fn keep(&mut self, message: &Message) {
        if let Some(old) = self.values.remove(&message.topic) {
            self.bytes -= old.weight();
        }
        // an empty payload takes the value away (MQTT 5, section 3.3.1.3)
        if message.payload.is_empty() {
            return;
        }
        if self.bytes + message.weight() > MOST {
            self.overflowed = true;
            return;
        }
        self.bytes += message.weight();
        let value = Message { retain: true, dup: false, ..message.clone() };
        self.values.insert(message.topic.clone(), value);
    }

    /// The values for a service that has come to these subscriptions, each topic once. The broker sends none for shared ones.
    pub fn values<'a>(&'a self, subscriptions: &'a [&Subscription]) -> impl Iterator<Item = Message> + 'a {
        let plain = |one: &&&Subscription| one.filter.pattern().len() == one.filter.as_str().len();
        self.values.values().filter_map(move |value| {
            let mut found = subscriptions.iter().filter(plain).filter(|one| one.filter.matches(&value.topic));
            let qos = found.next().map(|one| value.qos.min(one.qos))?;
            Some(Message { qos, ..value.clone() })
        })
    }

    /// Whether a value was left out for want of room since the last call.
    pub const fn take_overflowed(&mut self) -> bool {
        std::mem::replace(&mut self.overflowed, false)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::Qos;
    use crate::router::SubscriptionId;

    fn message(topic: &str, payload: &str, retain: bool) -> Message {
        Message::new(Topic::new(topic).unwrap(), payload.to_owned(), Qos::AtLeastOnce, retain)
    }

    fn subscription(filter: &str, qos: Qos) -> Subscription {
        Subscription { filter: Filter::new(filter).unwrap(), qos }
    }

    fn numbered(id: u32) -> Numbered {
        let subscription = subscription(&format!("filter/{id}"), Qos::AtLeastOnce);
        Numbered { subscription, id: SubscriptionId(id) }
    }

    /// Whether the message counts as one from before.
    fn comes(retained: &mut Retained, text: (&str, &str, bool), id: u32, protocol: Protocol, now: Instant) -> bool {
        let mut message = message(text.0, text.1, text.2);
        retained.arrived(&mut message, &[id], protocol, || now);
        message.retain
    }

    fn values(retained: &Retained, filters: &[&str]) -> Vec<(String, String)> {
        let all: Vec<_> = filters.iter().map(|filter| subscription(filter, Qos::AtMostOnce)).collect();
        let all: Vec<_> = all.iter().collect();
        let shown = |message: Message| {
            assert!(message.retain && message.qos == Qos::AtMostOnce);
            (message.topic.to_string(), String::from_utf8(message.payload.to_vec()).unwrap())
        };
        let mut values: Vec<_> = retained.values(&all).map(shown).collect();
        values.sort();
        values
    }

    fn pair(topic: &str, value: &str) -> (String, String) {
        (topic.to_owned(), value.to_owned())
    }

    #[test]
    fn with_mqtt_5_values_are_what_the_broker_keeps() {
        let (mut retained, now) = (Retained::default(), Instant::now());
        retained.asked(&numbered(1), now);
        let mut comes = |text, id, now| comes(&mut retained, text, id, Protocol::V5, now);
        assert!(comes(("a/x", "1", true), 1, now), "from before");
        assert!(!comes(("a/x", "2", true), 1, now), "kept while we are subscribed");
        assert!(!comes(("a/x", "3", false), 1, now), "not kept");
        assert!(!comes(("a/late", "1", true), 1, now + 2 * SETTLING), "long after the subscription");
        assert!(!comes(("a/gone", "1", true), 1, now + 2 * SETTLING));
        assert!(!comes(("a/gone", "", true), 1, now + 2 * SETTLING));
        assert_eq!(values(&retained, &["a/#", "+/x"]), [pair("a/late", "1"), pair("a/x", "2")]);
        assert!(values(&retained, &["$share/g/a/#", "b"]).is_empty());
    }

    #[test]
    fn each_subscription_has_its_own_messages_from_before() {
        let (mut retained, now) = (Retained::default(), Instant::now());
        retained.asked(&numbered(1), now);
        assert!(comes(&mut retained, ("a", "1", true), 1, Protocol::V5, now));
        retained.asked(&numbered(2), now);
        assert!(comes(&mut retained, ("a", "1", true), 2, Protocol::V5, now));
        // asked for again, the broker does not send them again
        retained.asked(&numbered(2), now + SETTLING);
        assert!(!comes(&mut retained, ("b", "1", true), 2, Protocol::V5, now + 2 * SETTLING));
        retained.session_lost();
        assert!(values(&retained, &["#"]).is_empty());
        retained.asked(&numbered(2), now + 2 * SETTLING);
        assert!(comes(&mut retained, ("b", "1", true), 2, Protocol::V5, now + 2 * SETTLING));
    }

    #[test]
    fn in_3_1_1_the_last_message_of_a_topic_that_had_a_value_counts() {
        let (mut retained, now) = (Retained::default(), Instant::now());
        let mut comes = |text| comes(&mut retained, text, 1, Protocol::V311, now);
        assert!(comes(("a", "1", true)));
        assert!(!comes(("a", "2", false)));
        assert!(!comes(("b", "1", false)));
        assert_eq!(values(&retained, &["#"]), [pair("a", "2")]);
    }

    #[test]
    fn values_that_nobody_wants_any_more_go() {
        let (mut retained, now) = (Retained::default(), Instant::now());
        retained.asked(&numbered(1), now);
        for topic in ["a", "b"] {
            comes(&mut retained, (topic, "1", true), 1, Protocol::V5, now);
        }
        retained.ended(&[numbered(1).subscription.filter], |topic| topic.as_str() == "b");
        assert_eq!(values(&retained, &["#"]), [pair("b", "1")]);
        assert!(!retained.take_overflowed());
    }

    #[test]
    fn too_much_is_left_out_and_said() {
        let (mut retained, now) = (Retained::default(), Instant::now());
        for number in 0..3 {
            let payload = "x".repeat(MOST / 2 - 1_000);
            comes(&mut retained, (&number.to_string(), &payload, true), 1, Protocol::V5, now);
        }
        assert_eq!(values(&retained, &["#"]).len(), 2);
        assert!(retained.take_overflowed() && !retained.take_overflowed());
    }
}

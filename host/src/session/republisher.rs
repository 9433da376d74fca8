//! Retained messages of services, to be published again when the broker has lost them. Bounded for each service.
//!
//! A broker without persistence that was restarted has no retained messages, and a service publishes a value again only when it
//! changes. The only sign of the loss is a new session.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::message::{Message, Publication};
use crate::offline::OfflinePolicy;
use crate::router::ServiceId;
use crate::topic::Topic;

/// The largest number of topics of one service.
pub(super) const MAX_TOPICS: usize = 10_000;
/// The largest size of its messages, in bytes.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// Retained messages of the services that enabled it.
#[derive(Debug, Default)]
pub(super) struct Republisher {
    /// The usage of the services that enabled it.
    shares: HashMap<ServiceId, ServiceUsage>,
    messages: HashMap<Topic, LastMessage>,
    /// Topics that are to be published again.
    pending: VecDeque<Topic>,
    /// Whether there was a session that can be lost.
    had_session: bool,
}

/// The usage of one service.
#[derive(Debug, Default)]
struct ServiceUsage {
    topics: usize,
    bytes: usize,
    /// It was reported that there is no room.
    is_reported_full: bool,
}

/// The last message of a topic.
#[derive(Debug)]
struct LastMessage {
    service: ServiceId,
    message: Message,
    /// When the broker would drop it.
    expires: Option<Instant>,
    /// Whether it was published since the session was lost.
    sent: bool,
}

impl Republisher {
    /// Keeps the retained messages of a service from now on, or no longer.
    pub(super) fn set_enabled(&mut self, service: ServiceId, on: bool) {
        if on {
            self.shares.entry(service).or_default();
        } else if self.shares.remove(&service).is_some() {
            self.messages.retain(|_, kept| kept.service != service);
        }
    }

    /// Whether any service enabled it.
    pub(super) fn is_enabled(&self) -> bool {
        !self.shares.is_empty()
    }

    /// Handles the publishes of a service. `Some`: a topic for which there is no room, once for each service.
    pub(super) fn on_publish(
        &mut self,
        service: ServiceId,
        publishes: &[Publication],
        connected: bool,
        now: Instant,
    ) -> Option<Topic> {
        let mut without_room = None;
        for publication in publishes
            .iter()
            .filter(|publication| publication.message.retain)
        {
            let rule = publication
                .terms
                .as_deref()
                .and_then(|terms| terms.offline.as_deref());
            let dropped = !connected && rule.is_some_and(|rule| rule.policy == OfflinePolicy::Drop);
            if !dropped && !self.store(service, &publication.message, now) {
                without_room = Some(publication.message.topic.clone());
            }
        }

        let share = self.shares.get_mut(&service)?;
        without_room.filter(|_| !std::mem::replace(&mut share.is_reported_full, true))
    }

    /// Forgets a message that became a dead letter. Returns its service, if it was the last message of its topic.
    pub(super) fn forget(&mut self, message: &Message) -> Option<ServiceId> {
        self.messages
            .get(&message.topic)
            .filter(|kept| kept.message.payload == message.payload)?;
        let kept = self.messages.remove(&message.topic)?;
        if let Some(share) = self.shares.get_mut(&kept.service) {
            share.topics -= 1;
            share.bytes -= kept.message.weight();
        }
        Some(kept.service)
    }

    /// Replaces the last message of a topic, whichever service published it; `false`: there is no room.
    fn store(&mut self, service: ServiceId, message: &Message, now: Instant) -> bool {
        if let Some(old) = self.messages.remove(&message.topic)
            && let Some(share) = self.shares.get_mut(&old.service)
        {
            share.topics -= 1;
            share.bytes -= old.message.weight();
        }

        let Some(share) = self.shares.get_mut(&service) else {
            return true;
        };
        // an empty payload removes the retained message (MQTT 5, section 3.3.1.3)
        if message.payload.is_empty() {
            return true;
        }
        if share.topics == MAX_TOPICS || share.bytes + message.weight() > MAX_BYTES {
            return false;
        }
        let message = message.to_detached();
        share.topics += 1;
        share.bytes += message.weight();
        let expiry = message
            .properties
            .as_ref()
            .and_then(|properties| properties.message_expiry);
        let expires = expiry.map(|seconds| now + Duration::from_secs(seconds.into()));
        self.messages.insert(
            message.topic.clone(),
            LastMessage {
                service,
                message,
                expires,
                sent: true,
            },
        );

        true
    }

    /// Handles a CONNACK with success. When the connection before ended in the middle of republishing, it starts again: QoS 0 messages
    /// may not have arrived.
    pub(super) fn on_connected(&mut self, session_present: bool) {
        if std::mem::replace(&mut self.had_session, true) && (!session_present || self.is_pending())
        {
            self.messages
                .values_mut()
                .for_each(|kept| kept.sent = false);
            self.pending = self.messages.keys().cloned().collect();
            self.pending.make_contiguous().sort();
        }
    }

    /// Whether messages are left to publish again.
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Returns the next message to publish again, with its remaining expiry. Each topic comes once, unless a newer message was
    /// published meanwhile.
    pub(super) fn next_message(&mut self, now: Instant) -> Option<Message> {
        while let Some(topic) = self.pending.pop_front() {
            let Some(kept) = self.messages.get_mut(&topic).filter(|kept| !kept.sent) else {
                continue;
            };
            kept.sent = true;
            let left = kept
                .expires
                .map(|end| end.saturating_duration_since(now).as_secs());
            if left == Some(0) {
                continue;
            }
            let mut message = kept.message.clone();
            if let Some(properties) = &mut message.properties {
                properties.message_expiry = left.and_then(|seconds| u32::try_from(seconds).ok());
            }
            return Some(message);
        }

        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::message::{Properties, Qos};

    const ONE: ServiceId = ServiceId(1);
    const OTHER: ServiceId = ServiceId(2);

    fn message(topic: &str, payload: &str) -> Publication {
        Message::new(
            Topic::new(topic.to_owned()).unwrap(),
            payload.to_owned(),
            Qos::AtLeastOnce,
            true,
        )
        .into()
    }

    /// The messages that are published again after a new session.
    fn republished(republish: &mut Republisher, now: Instant) -> Vec<(String, String)> {
        republish.on_connected(false);
        let next = std::iter::from_fn(|| republish.next_message(now));
        let text = |message: Message| {
            (
                message.topic.to_string(),
                String::from_utf8_lossy(&message.payload).into_owned(),
            )
        };

        next.map(text).collect()
    }

    fn pair(topic: &str, payload: &str) -> (String, String) {
        (topic.to_owned(), payload.to_owned())
    }

    #[test]
    fn last_messages_are_republished_after_a_new_session() {
        let mut republish = Republisher::default();
        let now = Instant::now();
        republish.set_enabled(ONE, true);
        republish.on_connected(false);
        assert!(!republish.is_pending(), "there was no session to lose");
        let publishes = [
            message("a", "1"),
            message("b", "1"),
            message("a", "2"),
            message("c", "1"),
            message("c", ""),
        ];

        assert_eq!(republish.on_publish(ONE, &publishes, true, now), None);
        republish.on_publish(OTHER, &[message("d", "1")], true, now);
        republish.on_connected(true);
        assert!(!republish.is_pending());
        assert_eq!(
            republished(&mut republish, now),
            [pair("a", "2"), pair("b", "1")]
        );
        republish.on_publish(OTHER, &[message("b", "of another")], true, now);
        assert_eq!(
            republished(&mut republish, now),
            [pair("a", "2")],
            "the last value of b is not its"
        );
        republish.set_enabled(ONE, false);
        assert_eq!(republished(&mut republish, now), []);
        assert!(!republish.is_enabled() && republish.messages.is_empty());
    }

    #[test]
    fn newer_messages_are_not_republished() {
        let mut republish = Republisher::default();
        let now = Instant::now();
        republish.set_enabled(ONE, true);
        republish.on_connected(false);
        republish.on_publish(ONE, &[message("a", "1"), message("b", "1")], true, now);
        republish.on_connected(false);
        republish.on_publish(ONE, &[message("a", "2")], true, now);
        assert_eq!(republish.next_message(now).unwrap().topic.as_str(), "b");
        assert!(republish.next_message(now).is_none() && !republish.is_pending());
    }

    #[test]
    fn interrupted_republishing_restarts() {
        let mut republish = Republisher::default();
        let now = Instant::now();
        republish.set_enabled(ONE, true);
        republish.on_connected(false);
        republish.on_publish(ONE, &[message("a", "1"), message("b", "1")], true, now);
        republish.on_connected(false);
        assert_eq!(republish.next_message(now).unwrap().topic.as_str(), "a");
        republish.on_connected(true);
        let topics: Vec<_> = std::iter::from_fn(|| republish.next_message(now))
            .map(|message| message.topic.to_string())
            .collect();
        assert_eq!(topics, ["a", "b"]);
        republish.on_connected(true);
        assert!(!republish.is_pending());
    }

    #[test]
    fn a_message_that_is_never_sent_does_not_come_again() {
        let mut republish = Republisher::default();
        let now = Instant::now();
        republish.set_enabled(ONE, true);
        republish.on_connected(false);
        republish.on_publish(ONE, &[message("a", "1"), message("b", "1")], true, now);
        assert_eq!(republish.forget(&message("a", "1").message), Some(ONE));
        assert_eq!(
            republish.forget(&message("b", "0").message),
            None,
            "a newer one has replaced it"
        );
        assert_eq!(republished(&mut republish, now), [pair("b", "1")]);
        assert_eq!(republish.shares[&ONE].topics, 1);
    }

    #[test]
    fn message_expiry_counts_while_kept() {
        let mut republish = Republisher::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        republish.set_enabled(ONE, true);
        republish.on_connected(false);
        let mut short = message("a", "1");
        let expiry = Properties {
            message_expiry: Some(10),
            ..Properties::default()
        };
        short.message.properties = Some(Box::new(expiry));
        republish.on_publish(ONE, &[short], true, now);
        republish.on_connected(false);
        let message = republish.next_message(now + 4 * second).unwrap();
        assert_eq!(message.properties.unwrap().message_expiry, Some(6));
        assert_eq!(republished(&mut republish, now + 10 * second), []);
    }

    #[test]
    fn oversized_retained_messages_are_logged_once() {
        let mut republish = Republisher::default();
        let now = Instant::now();
        republish.set_enabled(ONE, true);
        let half = "x".repeat(MAX_BYTES / 2);
        assert_eq!(
            republish.on_publish(ONE, &[message("a", &half)], true, now),
            None
        );
        let b = message("b", &half);
        assert_eq!(
            republish.on_publish(ONE, std::slice::from_ref(&b), true, now),
            Some(b.message.topic.clone())
        );
        assert_eq!(republish.on_publish(ONE, &[b], true, now), None);
        assert_eq!(republish.messages.len(), 1);
        republish.on_publish(ONE, &[message("a", "")], true, now);
        republish.on_publish(ONE, &[message("b", &half)], true, now);
        assert_eq!(republish.messages.len(), 1, "there is room again");
    }

    proptest! {
        /// After any publishes, on a new session, each topic comes once, with its last value, and the counts are right.
        #[test]
        fn the_last_value_of_each_topic_comes_once(
            steps in prop::collection::vec((any::<bool>(), 0_u8..5, 0_u8..4), 0..100),
        ) {
            let mut republish = Republisher::default();
            let now = Instant::now();
            republish.set_enabled(ONE, true);
            republish.set_enabled(OTHER, true);
            republish.on_connected(false);
            let mut last = BTreeMap::new();
            for (which, topic, payload) in steps {
                let topic = topic.to_string();
                let payload = "x".repeat(payload.into());
                republish.on_publish(if which { ONE } else { OTHER }, &[message(&topic, &payload)], true, now);
                last.insert(topic, payload);
            }

            last.retain(|_, payload| !payload.is_empty());
            let bytes: usize = republish.messages.values().map(|kept| kept.message.weight()).sum();
            prop_assert_eq!(republish.shares.values().map(|share| share.bytes).sum::<usize>(), bytes);
            prop_assert_eq!(republish.shares.values().map(|share| share.topics).sum::<usize>(), republish.messages.len());
            prop_assert_eq!(republished(&mut republish, now), last.into_iter().collect::<Vec<_>>());
        }
    }
}

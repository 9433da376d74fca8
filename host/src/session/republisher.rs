//! Pure: what services have published retained, to be published again when a broker has forgotten it. In: what services publish,
//! connections, the time. Out: the last message of each topic, after a new session. Owns the messages, bounded for each service.
//!
//! A broker without persistence that was restarted has no retained messages, and a service publishes a value again only when it
//! changes. That the session is new is all that a broker tells of it.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::message::{Message, Publication};
use crate::offline::OfflinePolicy;
use crate::router::ServiceId;
use crate::topic::Topic;

/// How many topics are kept of one service.
pub const TOPICS: usize = 10_000;
/// How many bytes its messages may take.
pub const BYTES: usize = 4 << 20;

/// Retained messages of services that ask for it.
#[derive(Debug, Default)]
pub struct Republisher {
    /// The services that ask for it, and what they hold.
    shares: HashMap<ServiceId, Share>,
    kept: HashMap<Topic, LastMessage>,
    /// Topics that are to be published again.
    pending: VecDeque<Topic>,
    /// Whether there was a session that can be lost.
    begun: bool,
}

/// What one service holds.
#[derive(Debug, Default)]
struct Share {
    topics: usize,
    bytes: usize,
    /// That there is no room was said.
    full: bool,
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
    /// From now on what this service publishes retained is kept, or no longer.
    pub fn set(&mut self, service: ServiceId, on: bool) {
        if on {
            self.shares.entry(service).or_default();
        } else if self.shares.remove(&service).is_some() {
            self.kept.retain(|_, kept| kept.service != service);
        }
    }

    /// Whether any service asks for it.
    pub fn is_used(&self) -> bool {
        !self.shares.is_empty()
    }

    /// Notes what a service publishes. `Some`: a topic for which there is no room; of each service this is said once.
    pub fn published(
        &mut self,
        service: ServiceId,
        publishes: &[Publication],
        connected: bool,
        now: Instant,
    ) -> Option<Topic> {
        let mut left_out = None;
        for publication in publishes
            .iter()
            .filter(|publication| publication.message.retain)
        {
            let rule = publication
                .terms
                .as_deref()
                .and_then(|terms| terms.offline.as_deref());
            let dropped = !connected && rule.is_some_and(|rule| rule.policy == OfflinePolicy::Drop);
            if !dropped && !self.keep(service, &publication.message, now) {
                left_out = Some(publication.message.topic.clone());
            }
        }
        let share = self.shares.get_mut(&service)?;
        left_out.filter(|_| !std::mem::replace(&mut share.full, true))
    }

    /// A message is never sent, since the broker ends the connection for it: it is not published again either. Gives the service whose it
    /// was, where it was the last one of its topic.
    pub fn forget(&mut self, message: &Message) -> Option<ServiceId> {
        self.kept
            .get(&message.topic)
            .filter(|kept| kept.message.payload == message.payload)?;
        let kept = self.kept.remove(&message.topic)?;
        if let Some(share) = self.shares.get_mut(&kept.service) {
            share.topics -= 1;
            share.bytes -= kept.message.weight();
        }
        Some(kept.service)
    }

    /// Keeps the last message of a topic in the place of the one before, whosoever that was; `false`: there is no room.
    fn keep(&mut self, service: ServiceId, message: &Message, now: Instant) -> bool {
        if let Some(old) = self.kept.remove(&message.topic)
            && let Some(share) = self.shares.get_mut(&old.service)
        {
            share.topics -= 1;
            share.bytes -= old.message.weight();
        }
        let Some(share) = self.shares.get_mut(&service) else {
            return true;
        };
        // an empty payload is how a retained message is removed (MQTT 5, section 3.3.1.3)
        if message.payload.is_empty() {
            return true;
        }
        if share.topics == TOPICS || share.bytes + message.weight() > BYTES {
            return false;
        }
        let message = message.detached();
        share.topics += 1;
        share.bytes += message.weight();
        let expiry = message
            .properties
            .as_ref()
            .and_then(|properties| properties.message_expiry);
        let expires = expiry.map(|seconds| now + Duration::from_secs(seconds.into()));
        self.kept.insert(
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

    /// CONNACK came with success. When the connection before ended in the middle of it, all of it begins again: what was sent with QoS 0
    /// may not have arrived.
    pub fn connected(&mut self, session_present: bool) {
        if std::mem::replace(&mut self.begun, true) && (!session_present || self.is_pending()) {
            self.kept.values_mut().for_each(|kept| kept.sent = false);
            self.pending = self.kept.keys().cloned().collect();
            self.pending.make_contiguous().sort();
        }
    }

    /// Whether something is to be published again.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The next message to publish again, with what is left of its time; each topic once, unless a newer one came meanwhile.
    pub fn next(&mut self, now: Instant) -> Option<Message> {
        while let Some(topic) = self.pending.pop_front() {
            let Some(kept) = self.kept.get_mut(&topic).filter(|kept| !kept.sent) else {
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

    /// What is published again after a new session.
    fn again(republish: &mut Republisher, now: Instant) -> Vec<(String, String)> {
        republish.connected(false);
        let next = std::iter::from_fn(|| republish.next(now));
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
    fn the_last_values_come_again_on_a_new_session_only() {
        let (mut republish, now) = (Republisher::default(), Instant::now());
        republish.set(ONE, true);
        republish.connected(false);
        assert!(!republish.is_pending(), "the first session is no lost one");
        let publishes = [
            message("a", "1"),
            message("b", "1"),
            message("a", "2"),
            message("c", "1"),
            message("c", ""),
        ];
        assert_eq!(republish.published(ONE, &publishes, true, now), None);
        republish.published(OTHER, &[message("d", "1")], true, now);
        republish.connected(true);
        assert!(!republish.is_pending());
        assert_eq!(again(&mut republish, now), [pair("a", "2"), pair("b", "1")]);
        republish.published(OTHER, &[message("b", "of another")], true, now);
        assert_eq!(
            again(&mut republish, now),
            [pair("a", "2")],
            "the last value of b is not its"
        );
        republish.set(ONE, false);
        assert_eq!(again(&mut republish, now), []);
        assert!(!republish.is_used() && republish.kept.is_empty());
    }

    #[test]
    fn newer_messages_are_not_republished() {
        let (mut republish, now) = (Republisher::default(), Instant::now());
        republish.set(ONE, true);
        republish.connected(false);
        republish.published(ONE, &[message("a", "1"), message("b", "1")], true, now);
        republish.connected(false);
        republish.published(ONE, &[message("a", "2")], true, now);
        assert_eq!(republish.next(now).unwrap().topic.as_str(), "b");
        assert!(republish.next(now).is_none() && !republish.is_pending());
    }

    #[test]
    fn interrupted_republishing_restarts() {
        let (mut republish, now) = (Republisher::default(), Instant::now());
        republish.set(ONE, true);
        republish.connected(false);
        republish.published(ONE, &[message("a", "1"), message("b", "1")], true, now);
        republish.connected(false);
        assert_eq!(republish.next(now).unwrap().topic.as_str(), "a");
        republish.connected(true);
        let topics: Vec<_> = std::iter::from_fn(|| republish.next(now))
            .map(|message| message.topic.to_string())
            .collect();
        assert_eq!(topics, ["a", "b"]);
        republish.connected(true);
        assert!(!republish.is_pending());
    }

    #[test]
    fn a_message_that_is_never_sent_does_not_come_again() {
        let (mut republish, now) = (Republisher::default(), Instant::now());
        republish.set(ONE, true);
        republish.connected(false);
        republish.published(ONE, &[message("a", "1"), message("b", "1")], true, now);
        assert_eq!(republish.forget(&message("a", "1").message), Some(ONE));
        assert_eq!(
            republish.forget(&message("b", "0").message),
            None,
            "a newer one has taken its place"
        );
        assert_eq!(again(&mut republish, now), [pair("b", "1")]);
        assert_eq!(republish.shares[&ONE].topics, 1);
    }

    #[test]
    fn time_that_has_passed_counts() {
        let (mut republish, now, second) = (
            Republisher::default(),
            Instant::now(),
            Duration::from_secs(1),
        );
        republish.set(ONE, true);
        republish.connected(false);
        let mut short = message("a", "1");
        let expiry = Properties {
            message_expiry: Some(10),
            ..Properties::default()
        };
        short.message.properties = Some(Box::new(expiry));
        republish.published(ONE, &[short], true, now);
        republish.connected(false);
        let message = republish.next(now + 4 * second).unwrap();
        assert_eq!(message.properties.unwrap().message_expiry, Some(6));
        assert_eq!(again(&mut republish, now + 10 * second), []);
    }

    #[test]
    fn oversized_retained_messages_are_logged_once() {
        let (mut republish, now) = (Republisher::default(), Instant::now());
        republish.set(ONE, true);
        let half = "x".repeat(BYTES / 2);
        assert_eq!(
            republish.published(ONE, &[message("a", &half)], true, now),
            None
        );
        let b = message("b", &half);
        assert_eq!(
            republish.published(ONE, std::slice::from_ref(&b), true, now),
            Some(b.message.topic.clone())
        );
        assert_eq!(republish.published(ONE, &[b], true, now), None);
        assert_eq!(republish.kept.len(), 1);
        republish.published(ONE, &[message("a", "")], true, now);
        republish.published(ONE, &[message("b", &half)], true, now);
        assert_eq!(republish.kept.len(), 1, "there is room again");
    }

    proptest! {
        /// Whatever is published: after a new session each topic comes once, with its last value, and the counts are right.
        #[test]
        fn the_last_value_of_each_topic_comes_once(
            steps in prop::collection::vec((any::<bool>(), 0_u8..5, 0_u8..4), 0..100),
        ) {
            let (mut republish, now) = (Republisher::default(), Instant::now());
            republish.set(ONE, true);
            republish.set(OTHER, true);
            republish.connected(false);
            let mut last = BTreeMap::new();
            for (which, topic, payload) in steps {
                let (topic, payload) = (topic.to_string(), "x".repeat(payload.into()));
                republish.published(if which { ONE } else { OTHER }, &[message(&topic, &payload)], true, now);
                last.insert(topic, payload);
            }
            last.retain(|_, payload| !payload.is_empty());
            let bytes: usize = republish.kept.values().map(|kept| kept.message.weight()).sum();
            prop_assert_eq!(republish.shares.values().map(|share| share.bytes).sum::<usize>(), bytes);
            prop_assert_eq!(republish.shares.values().map(|share| share.topics).sum::<usize>(), republish.kept.len());
            prop_assert_eq!(again(&mut republish, now), last.into_iter().collect::<Vec<_>>());
        }
    }
}

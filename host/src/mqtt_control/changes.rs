//! The difference between the retained messages that there should be and those that were published. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::message::{Message, Qos};
use crate::topic::Topic;

/// The retained messages that were published on this connection.
#[derive(Debug, Default)]
pub(super) struct PublishedStates(BTreeMap<Topic, Bytes>);

impl PublishedStates {
    /// Forgets all: the broker may have lost them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the messages that there should be, and those of `former` runs that there may be. Returns the messages to publish: new and
    /// changed ones, and an empty one for each topic that is not wanted any more.
    pub(super) fn update(
        &mut self,
        wanted: BTreeMap<Topic, Bytes>,
        former: impl IntoIterator<Item = Topic>,
    ) -> Vec<Message> {
        let known = self.0.keys().cloned();
        let unwanted: BTreeMap<Topic, Bytes> = known
            .chain(former)
            .filter(|topic| !wanted.contains_key(topic))
            .map(|topic| (topic, Bytes::new()))
            .collect();
        let changed = wanted
            .iter()
            .filter(|(topic, payload)| self.0.get(*topic) != Some(*payload));
        let messages = unwanted
            .iter()
            .chain(changed)
            .map(|(topic, payload)| retained(topic.clone(), payload.clone()));

        let messages = messages.collect();
        self.0 = wanted;
        messages
    }
}

fn retained(topic: Topic, payload: Bytes) -> Message {
    let has_text = !payload.is_empty();
    let mut message = Message::new(topic, payload, Qos::AtLeastOnce, true);
    if has_text {
        let properties = message.properties.get_or_insert_default();
        properties.content_type = Some("application/json".to_owned());
        properties.utf8 = true;
    }
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::new(name.to_owned()).unwrap()
    }

    fn states() -> impl Strategy<Value = BTreeMap<Topic, Bytes>> {
        let payload = (1_u8..4).prop_map(|byte| Bytes::from(vec![byte]));
        prop::collection::btree_map("[a-d]".prop_map(|name| topic(&name)), payload, 0..4)
    }

    proptest! {
        /// A broker that takes the messages always has what is wanted, and no message is without need.
        #[test]
        fn broker_has_what_is_wanted(runs in prop::collection::vec(states(), 1..8), former in states()) {
            let mut published = PublishedStates::default();
            let mut broker = former.clone();
            let mut topics: Vec<Topic> = former.into_keys().collect();
            for wanted in runs {
                for message in published.update(wanted.clone(), topics.drain(..)) {
                    prop_assert!(message.retain);
                    let before = match message.payload.is_empty() {
                        true => broker.remove(&message.topic),
                        false => broker.insert(message.topic.clone(), message.payload.clone()),
                    };
                    prop_assert!(message.payload.is_empty() || published.0.get(&message.topic) == Some(&message.payload));
                    prop_assert!(before.is_some() || !message.payload.is_empty());
                }

                prop_assert_eq!(&broker, &wanted);
            }
        }
    }

    #[test]
    fn everything_is_published_again_after_a_loss() {
        let wanted = BTreeMap::from([(topic("a"), Bytes::from_static(b"1"))]);
        let mut published = PublishedStates::default();
        assert_eq!(published.update(wanted.clone(), []).len(), 1);
        assert!(published.update(wanted.clone(), []).is_empty());
        published.clear();
        assert_eq!(published.update(wanted, []).len(), 1);
    }
}

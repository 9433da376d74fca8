//! The values of properties that guests may read: subscribed to while some guest watches them.
//!
//! They have a mailbox of their own, so that many changes of properties never push an answer out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::WhenFull;
use crate::guest::PropertyCache;
use crate::mailbox::{self, Mailbox, Next};
use crate::message::{Message, Qos, Subscription};
use crate::topic::Filter;

/// Values that may wait to be taken over. Beyond it, the broker keeps them.
const WAITING: usize = 1024;

/// The watched properties.
pub(super) struct WatchedProperties {
    cache: Arc<PropertyCache>,
    /// Filters with the number of guests that watch them.
    watchers: BTreeMap<String, (Filter, usize)>,
    sender: mailbox::Sender,
    mailbox: Mailbox,
}

impl Default for WatchedProperties {
    fn default() -> Self {
        let (sender, mailbox) = mailbox::mailbox(mailbox::Limits {
            messages: WAITING,
            bytes: usize::MAX,
            when_full: WhenFull::Hold,
        });
        Self {
            cache: Arc::default(),
            watchers: BTreeMap::new(),
            sender,
            mailbox,
        }
    }
}

impl WatchedProperties {
    /// The cache that is fed.
    pub(super) fn cache(&self) -> Arc<PropertyCache> {
        self.cache.clone()
    }

    /// The end of the mailbox for the router.
    pub(super) fn sender(&self) -> mailbox::Sender {
        self.sender.clone()
    }

    /// The next message. Cancel-safe.
    pub(super) async fn next(&mut self) -> Next {
        self.mailbox.next().await
    }

    /// Whether any guest watches.
    pub(super) fn is_watching(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// Adds a watcher. Returns whether the subscriptions change.
    pub(super) fn watch(&mut self, filter: Filter) -> bool {
        let key = filter.as_str().to_owned();
        let (_, count) = self.watchers.entry(key).or_insert((filter, 0));
        *count += 1;
        *count == 1
    }

    /// Removes a watcher. Returns whether the subscriptions change.
    pub(super) fn unwatch(&mut self, filter: &Filter) -> bool {
        let Some((_, count)) = self.watchers.get_mut(filter.as_str()) else {
            return false;
        };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        self.watchers.remove(filter.as_str());
        // the values would grow old unseen
        self.cache.forget(filter);
        true
    }

    /// The subscriptions.
    pub(super) fn subscriptions(&self) -> Vec<Subscription> {
        let filters = self.watchers.values().map(|(filter, _)| filter.clone());
        filters
            .map(|filter| Subscription {
                filter,
                qos: Qos::AtLeastOnce,
            })
            .collect()
    }

    /// Takes a value over.
    pub(super) fn on_message(&self, message: &Message) {
        let mut watched = self.watchers.values();
        // one that was on its way when the last watcher left
        if watched.any(|(filter, _)| filter.matches(&message.topic)) {
            self.cache.set(&message.topic, &message.payload);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::topic::Topic;

    #[test]
    fn values_are_kept_while_somebody_watches() {
        let mut properties = WatchedProperties::default();
        let filter = Filter::new("m/I/prop/+").unwrap();
        let topic = Topic::new("m/I/prop/x".to_owned()).unwrap();
        let value = Message::new(topic.clone(), "1", Qos::AtLeastOnce, true);

        assert!(properties.watch(filter.clone()));
        assert!(!properties.watch(filter.clone()));
        properties.on_message(&value);
        assert!(!properties.unwatch(&filter));
        assert_eq!(properties.cache().get(&topic).unwrap(), "1");

        assert!(properties.unwatch(&filter));
        assert_eq!(properties.cache().get(&topic), None);
        properties.on_message(&value);
        assert_eq!(properties.cache().get(&topic), None);
        assert!(properties.subscriptions().is_empty());
        assert!(!properties.unwatch(&filter));
    }
}

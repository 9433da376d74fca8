//! The values of properties of interfaces that guests call: the last retained message of each topic. Guests read it; the task that
//! carries requests feeds it. The lock is held for a few instructions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::topic::{Filter, Topic};

/// The known values.
#[derive(Debug, Default)]
pub struct PropertyCache {
    values: Mutex<HashMap<Topic, Bytes>>,
    changed: Notify,
}

impl PropertyCache {
    /// Sets a value; an empty payload removes it, as it does at the broker.
    pub fn set(&self, topic: &Topic, payload: &[u8]) {
        if payload.is_empty() {
            self.values().remove(topic);
            return;
        }
        // in memory of its own: a message shares the buffer into which it was read
        let payload = Bytes::copy_from_slice(payload);
        self.values().insert(topic.to_detached(), payload);
        self.changed.notify_waiters();
    }

    /// Forgets the values that `filter` matches.
    pub fn forget(&self, filter: &Filter) {
        self.values().retain(|topic, _| !filter.matches(topic));
    }

    /// The value, if it is known.
    pub fn get(&self, topic: &Topic) -> Option<Bytes> {
        self.values().get(topic).cloned()
    }

    /// Waits until the value is known.
    pub async fn known(&self, topic: &Topic) -> Bytes {
        loop {
            // registered first, so that no change is missed
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(value) = self.get(topic) {
                return value;
            }
            changed.await;
        }
    }

    fn values(&self) -> MutexGuard<'_, HashMap<Topic, Bytes>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn values_are_unknown_until_they_come_and_after_they_were_removed() {
        let cache = PropertyCache::default();
        let topic = Topic::new("m/I/prop/x".to_owned()).unwrap();
        assert_eq!(cache.get(&topic), None);

        let feed = async {
            tokio::task::yield_now().await;
            cache.set(&topic, b"1");
        };
        let (value, ()) = tokio::join!(cache.known(&topic), feed);
        assert_eq!(value, "1");
        cache.set(&topic, b"");
        assert_eq!(cache.get(&topic), None);

        cache.set(&topic, b"2");
        cache.forget(&Filter::new("m/I/prop/+").unwrap());
        assert_eq!(cache.get(&topic), None);
    }
}

//! Sizes of the retained messages of the embedded broker, and the room that is left. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::OutboxLimits;

/// The sizes of retained messages, in bytes.
#[derive(Debug, Default)]
pub(super) struct RetainedUsage {
    sizes: HashMap<Arc<str>, usize>,
    bytes: usize,
}

impl RetainedUsage {
    /// A message of `size` bytes is kept for `topic`; 0: none.
    pub(super) fn set(&mut self, topic: Arc<str>, size: usize) {
        let before = if size == 0 {
            self.sizes.remove(&topic)
        } else {
            self.sizes.insert(topic, size)
        };
        self.bytes = self.bytes + size - before.unwrap_or(0);
    }

    /// Whether the broker refuses to keep a message of `bytes` for `topic`.
    pub(super) fn exceeds_limit(&self, topic: &[u8], bytes: usize, most: OutboxLimits) -> bool {
        let known = || std::str::from_utf8(topic).is_ok_and(|topic| self.sizes.contains_key(topic));
        bytes > self.remaining(most.bytes).saturating_add(topic.len())
            || (self.sizes.len() >= most.messages && !known())
    }

    /// The largest message that may be kept besides, in bytes. The broker takes 0 as "any".
    pub(super) fn remaining(&self, most: usize) -> usize {
        most.saturating_sub(self.bytes).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_is_not_taken_and_never_nothing() {
        let mut retained = RetainedUsage::default();
        let most = OutboxLimits {
            messages: 2,
            bytes: 100,
        };
        retained.set("a".into(), 40);
        retained.set("b".into(), 50);
        retained.set("a".into(), 30);
        assert_eq!(retained.remaining(most.bytes), 20);
        assert!(retained.exceeds_limit(b"c", 10, most), "too many");
        assert!(!retained.exceeds_limit(b"a", 10, most));
        assert!(retained.exceeds_limit(b"a", 50, most), "too large");
        retained.set("b".into(), 0);
        assert!(!retained.exceeds_limit(b"c", 10, most));
        retained.set("a".into(), 1000);
        assert_eq!(retained.remaining(most.bytes), 1);
    }
}

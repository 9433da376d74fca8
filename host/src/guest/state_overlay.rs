//! The changes of the running call to the service's state: the values as the call has left them, and at most one change for
//! each key to commit.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::effects::StateChange;
use crate::guest::service_state::Values;

/// Changes of the state that are not yet committed.
#[derive(Debug, Default)]
pub(super) struct StateOverlay {
    /// `None`: the key is removed.
    changes: BTreeMap<String, Option<Bytes>>,
    /// Size of the values in `changes` with their keys.
    added: usize,
    /// Size of the committed values that `changes` overrides.
    replaced: usize,
    /// The number of values, less the number of committed ones.
    more: isize,
}

impl StateOverlay {
    /// The value of `key` as the call has left it.
    pub(super) fn get<'a>(&'a self, values: &'a Values, key: &str) -> Option<&'a Bytes> {
        self.changes
            .get(key)
            .map_or_else(|| values.get(key), Option::as_ref)
    }

    /// The size of the state if `key` had a value of `bytes` bytes.
    pub(super) fn size_with(&self, values: &Values, key: &str, bytes: usize) -> usize {
        let present = self
            .get(values, key)
            .map_or(0, |value| key.len() + value.len());
        values.bytes() + self.added - self.replaced - present + key.len() + bytes
    }

    /// The number of values if `key` had one.
    pub(super) fn count_with(&self, values: &Values, key: &str) -> usize {
        let present = usize::from(self.get(values, key).is_some());
        values.len().saturating_add_signed(self.more) - present + 1
    }

    /// Sets `key`, or removes it.
    pub(super) fn put(&mut self, values: &Values, key: String, value: Option<Bytes>) {
        let size =
            |value: &Option<Bytes>| value.as_ref().map_or(0, |value| key.len() + value.len());
        self.more += isize::from(value.is_some()) - isize::from(self.get(values, &key).is_some());
        let committed = values.get(&key).map_or(0, |value| key.len() + value.len());
        match self.changes.get(&key) {
            Some(before) => self.added -= size(before),
            None => self.replaced += committed,
        }
        self.added += size(&value);
        if value.is_none() && committed == 0 {
            self.changes.remove(&key);
        } else {
            self.changes.insert(key, value);
        }
    }

    /// The keys that begin with `prefix`, and whether each has a value.
    pub(super) fn keys<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, bool)> {
        let from = (
            std::ops::Bound::Included(prefix),
            std::ops::Bound::Unbounded,
        );
        let changes = self
            .changes
            .range::<str, _>(from)
            .take_while(move |(key, _)| key.starts_with(prefix));
        changes.map(|(key, value)| (key, value.is_some()))
    }

    /// Takes the changes and leaves none.
    pub(super) fn take(&mut self) -> Vec<StateChange> {
        let changes = std::mem::take(self).changes;
        changes
            .into_iter()
            .map(|(key, value)| StateChange { key, value })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guest::service_state::ServiceState;

    proptest! {
        /// Sizes and values are those of a plain map to which every change was made at once.
        #[test]
        fn is_what_the_changes_make_of_the_state(
            before in prop::collection::btree_map("[a-c]{1,2}", "[x-z]{0,3}", 0..5),
            changes in prop::collection::vec(("[a-c]{1,2}", prop::option::of("[x-z]{0,3}")), 0..20),
        ) {
            let bytes = |text: &String| Bytes::from(text.clone());
            let service_state = ServiceState::with_state(before.iter().map(|(key, value)| (key.clone(), bytes(value))));
            let mut overlay = StateOverlay::default();
            let mut map = before;
            for (key, value) in &changes {
                let values = service_state.values();
                if let Some(value) = value {
                    map.insert(key.clone(), value.clone());
                    let size: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
                    prop_assert_eq!(overlay.size_with(&values, key, value.len()), size);
                    prop_assert_eq!(overlay.count_with(&values, key), map.len());
                } else {
                    map.remove(key);
                }

                overlay.put(&values, key.clone(), value.as_ref().map(bytes));
                for key in ["a", "b", "ab"] {
                    prop_assert_eq!(overlay.get(&values, key).cloned(), map.get(key).map(bytes));
                }
            }

            service_state.apply(overlay.take());
            let values = service_state.values();
            let after: Vec<_> = values.keys("").map(|key| (key.clone(), values.get(key).cloned())).collect();
            let expected: Vec<_> = map.iter().map(|(key, value)| (key.clone(), Some(bytes(value)))).collect();
            prop_assert_eq!(after, expected);
            prop_assert_eq!(values.bytes(), map.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>());
            prop_assert!(overlay.take().is_empty());
        }
    }
}

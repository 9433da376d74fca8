//! A map whose changes can be reverted. It counts the timers and subscriptions of a service as a call changes them, and
//! forgets the changes when the call fails.

use std::collections::HashMap;
use std::hash::Hash;

/// A map with an undo log: changes since the last [`commit`](Self::commit) can be taken back together.
#[derive(Debug)]
pub(super) struct UndoMap<K, V> {
    entries: HashMap<K, V>,
    undo: Vec<(K, Option<V>)>,
}

impl<K, V> Default for UndoMap<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            undo: Vec::new(),
        }
    }
}

impl<K: Eq + Hash + Clone, V> UndoMap<K, V> {
    /// The number of entries, uncommitted changes included.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The keys, uncommitted changes included, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }

    /// Whether there is an entry for `key`.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Puts `value` under `key`.
    pub(super) fn insert(&mut self, key: K, value: V) {
        let before = self.entries.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    /// Removes `key`, if it is there.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some((key, value)) = self.entries.remove_entry(key) {
            self.undo.push((key, Some(value)));
        }
    }

    /// Removes `key` if `predicate` holds for its value. Committed at once: a roll-back does not restore it.
    pub(super) fn remove_if(&mut self, key: &K, predicate: impl FnOnce(&V) -> bool) {
        if self.entries.get(key).is_some_and(predicate) {
            self.entries.remove(key);
        }
    }

    /// Keeps the changes since the last commit.
    pub(super) fn commit(&mut self) {
        self.undo.clear();
    }

    /// Reverts the changes since the last commit, the last one first.
    pub(super) fn roll_back(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(value) => self.entries.insert(key, value),
                None => self.entries.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(map: &mut UndoMap<u8, u8>, changes: &[(u8, Option<u8>)]) {
        for (key, value) in changes {
            match value {
                Some(value) => map.insert(*key, *value),
                None => map.remove(key),
            }
        }
    }

    proptest! {
        #[test]
        fn a_failed_call_leaves_no_trace(
            kept in prop::collection::vec((0..8u8, any::<Option<u8>>()), 0..20),
            failed in prop::collection::vec((0..8u8, any::<Option<u8>>()), 0..20),
        ) {
            let mut map = UndoMap::default();
            apply(&mut map, &kept);
            map.commit();
            let before = map.entries.clone();
            apply(&mut map, &failed);
            map.roll_back();
            prop_assert_eq!(map.entries, before);
        }

        #[test]
        fn a_committed_call_stays(changes in prop::collection::vec((0..8u8, any::<Option<u8>>()), 0..20)) {
            let mut map = UndoMap::default();
            let mut model = HashMap::new();
            apply(&mut map, &changes);
            for (key, value) in changes {
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }

            map.commit();
            map.roll_back();
            prop_assert_eq!(map.len(), model.len());
            prop_assert_eq!(map.entries, model);
        }
    }
}

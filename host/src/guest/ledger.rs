//! Pure: a map whose changes can be taken back. In: changes during a guest call. Out: what the service holds, so that limits
//! count what is really there. Owns the map and the list of what to undo when the call fails.

use std::collections::HashMap;
use std::hash::Hash;

/// A map with an undo log: changes since the last [`commit`](Self::commit) can be taken back together.
#[derive(Debug)]
pub(super) struct Ledger<K, V> {
    entries: HashMap<K, V>,
    undo: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Ledger<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            undo: Vec::new(),
        }
    }
}

impl<K: Eq + Hash + Clone, V> Ledger<K, V> {
    /// How many entries there are, uncommitted changes included.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What is there, uncommitted changes included, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }

    /// Whether `key` is there.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Puts `value` under `key`.
    pub(super) fn insert(&mut self, key: K, value: V) {
        let before = self.entries.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    /// Takes `key` away; nothing happens when it is not there.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some((key, value)) = self.entries.remove_entry(key) {
            self.undo.push((key, Some(value)));
        }
    }

    /// Takes `key` away when `gone` says so of its value. Committed at once: it can not be taken back.
    pub(super) fn settle(&mut self, key: &K, gone: impl FnOnce(&V) -> bool) {
        if self.entries.get(key).is_some_and(gone) {
            self.entries.remove(key);
        }
    }

    /// Keeps the changes since the last commit.
    pub(super) fn commit(&mut self) {
        self.undo.clear();
    }

    /// Takes back the changes since the last commit, the last first.
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

    fn apply(ledger: &mut Ledger<u8, u8>, changes: &[(u8, Option<u8>)]) {
        for (key, value) in changes {
            match value {
                Some(value) => ledger.insert(*key, *value),
                None => ledger.remove(key),
            }
        }
    }

    proptest! {
        #[test]
        fn a_failed_call_leaves_no_trace(
            kept in prop::collection::vec((0..8u8, any::<Option<u8>>()), 0..20),
            failed in prop::collection::vec((0..8u8, any::<Option<u8>>()), 0..20),
        ) {
            let mut ledger = Ledger::default();
            apply(&mut ledger, &kept);
            ledger.commit();
            let before = ledger.entries.clone();
            apply(&mut ledger, &failed);
            ledger.roll_back();
            prop_assert_eq!(ledger.entries, before);
        }

        #[test]
        fn a_committed_call_stays(changes in prop::collection::vec((0..8u8, any::<Option<u8>>()), 0..20)) {
            let mut ledger = Ledger::default();
            let mut model = HashMap::new();
            apply(&mut ledger, &changes);
            for (key, value) in changes {
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            ledger.commit();
            ledger.roll_back();
            prop_assert_eq!(ledger.len(), model.len());
            prop_assert_eq!(ledger.entries, model);
        }
    }
}

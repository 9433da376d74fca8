//! Pure: which of many keys is due first. In: a deadline for a key, or none. Out: the earliest deadline, the keys that are
//! due. Owns a binary heap in which outdated entries stay until they come up or outnumber the others.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// Outdated entries are cleared away when there are more of them than of the others, but not below this number.
const SLACK: usize = 64;

/// Deadlines by key, at most one a key. Setting and taking cost O(log n), looking O(1).
#[derive(Debug, Clone)]
pub struct Heap<K> {
    /// The deadline that holds for each key: an entry of `order` counts if it says the same.
    deadlines: HashMap<K, Instant>,
    /// Its first entry always counts.
    order: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord> Default for Heap<K> {
    fn default() -> Self {
        Self { deadlines: HashMap::new(), order: BinaryHeap::new() }
    }
}

impl<K: Copy + Eq + Hash + Ord> Heap<K> {
    /// No deadlines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets, moves or (with `None`) removes the deadline of `key`.
    pub fn set(&mut self, key: K, deadline: Option<Instant>) {
        let before = match deadline {
            Some(at) => self.deadlines.insert(key, at),
            None => self.deadlines.remove(&key),
        };
        if before == deadline {
            return;
        }
        self.order.extend(deadline.map(|at| Reverse((at, key))));
        self.clear_outdated();
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.order.peek().map(|Reverse((at, _))| *at)
    }

    /// The key with the earliest deadline, if that is not after `now`; its deadline is removed.
    pub fn pop(&mut self, now: Instant) -> Option<(Instant, K)> {
        let Reverse((at, key)) = *self.order.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.order.pop();
        self.deadlines.remove(&key);
        self.clear_outdated();
        Some((at, key))
    }

    /// Appends the keys whose deadline is not after `now`, earliest first; their deadlines are removed.
    pub fn pop_due(&mut self, now: Instant, due: &mut Vec<K>) {
        while let Some((_, key)) = self.pop(now) {
            due.push(key);
        }
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether no key has a deadline.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    fn clear_outdated(&mut self) {
        if self.order.len() > 2 * self.deadlines.len() + SLACK {
            self.order = self.deadlines.iter().map(|(key, at)| Reverse((*at, *key))).collect();
        }
        while let Some(Reverse((at, key))) = self.order.peek()
            && self.deadlines.get(key) != Some(at)
        {
            self.order.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn the_earliest_comes_first_and_a_moved_one_only_once() {
        let start = Instant::now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        let mut heap = Heap::new();
        heap.set('a', at(3));
        heap.set('b', at(2));
        heap.set('a', at(1));
        heap.set('a', at(3));
        heap.set('c', at(1));
        heap.set('c', None);
        assert_eq!(heap.next(), at(2));
        let mut due = Vec::new();
        heap.pop_due(start + Duration::from_millis(9), &mut due);
        assert_eq!(due, ['b', 'a']);
        assert!(heap.is_empty());
        assert_eq!(heap.next(), None);
    }

    #[test]
    fn moving_a_deadline_for_ever_does_not_fill_the_memory() {
        let start = Instant::now();
        let mut heap = Heap::new();
        heap.set(0, Some(start));
        for ms in (0..100_000).rev() {
            heap.set(1, Some(start + Duration::from_millis(ms)));
        }
        assert!(heap.order.len() <= 2 * heap.len() + SLACK + 1, "{} entries", heap.order.len());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(u8, Option<u64>),
        Pop(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u8..6, prop::option::weighted(0.8, 0_u64..40)).prop_map(|(key, at)| Step::Set(key, at)),
            1 => (0_u64..40).prop_map(Step::Pop),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_list(steps in prop::collection::vec(step(), 0..400)) {
            let start = Instant::now();
            let instant = |ms: u64| start + Duration::from_millis(ms);
            let mut heap = Heap::new();
            let mut model: BTreeMap<u8, u64> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(key, at) => {
                        heap.set(key, at.map(instant));
                        match at {
                            Some(at) => model.insert(key, at),
                            None => model.remove(&key),
                        };
                    }
                    Step::Pop(now) => {
                        let mut due = Vec::new();
                        heap.pop_due(instant(now), &mut due);
                        let mut expected: Vec<(u64, u8)> =
                            model.iter().filter(|(_, at)| **at <= now).map(|(key, at)| (*at, *key)).collect();
                        expected.sort_unstable();
                        model.retain(|_, at| *at > now);
                        prop_assert_eq!(due, expected.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
                    }
                }
                prop_assert_eq!(heap.len(), model.len());
                prop_assert_eq!(heap.next(), model.values().min().copied().map(instant));
            }
        }
    }
}

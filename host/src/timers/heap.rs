//! Heap of deadlines with keys. Pure.
//!
//! The owner of the keys knows which deadline of a key is current, and skips outdated entries as they come up. So each key costs one
//! look-up in place of two, and moving a deadline is one push.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Number of outdated entries below which they are never removed at once.
const SLACK: usize = 64;

/// Heap of deadlines with keys. Adding and taking cost O(log n), looking O(1).
#[derive(Debug, Clone)]
pub struct Heap<K> {
    order: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord> Default for Heap<K> {
    fn default() -> Self {
        Self {
            order: BinaryHeap::new(),
        }
    }
}

impl<K: Copy + Ord> Heap<K> {
    /// Creates an empty heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a deadline; an earlier one of the same key stays until it comes up.
    pub fn push(&mut self, at: Instant, key: K) {
        self.order.push(Reverse((at, key)));
    }

    /// The earliest deadline and its key; of equal deadlines, the smallest key.
    pub fn peek(&self) -> Option<(Instant, K)> {
        self.order.peek().map(|Reverse(first)| *first)
    }

    /// Takes the earliest deadline, if that is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        self.peek().filter(|(at, _)| *at <= now)?;
        self.order.pop().map(|Reverse(first)| first)
    }

    /// Removes outdated entries from the front, so that `peek` returns a current one.
    pub fn skip(&mut self, holds: impl Fn(Instant, K) -> bool) {
        while self.peek().is_some_and(|(at, key)| !holds(at, key)) {
            self.order.pop();
        }
    }

    /// Removes all outdated entries if they outnumber the `holding` ones: O(n), but so rarely that it does not matter.
    pub fn tidy(&mut self, holding: usize, holds: impl Fn(Instant, K) -> bool) {
        if self.order.len() > 2 * holding + SLACK {
            self.order.retain(|Reverse((at, key))| holds(*at, *key));
        }
    }

    /// Number of entries, with outdated ones.
    pub fn entries(&self) -> usize {
        self.order.len()
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
    fn outdated_entries_are_cleared_away_when_they_outnumber_the_others() {
        let start = Instant::now();
        let mut heap = Heap::new();
        for ms in 0..100_000 {
            let at = start + Duration::from_millis(ms);
            heap.push(at, 1);
            heap.tidy(1, |held, _| held == at);
            assert!(heap.entries() <= SLACK + 2);
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(u8, Option<u64>),
        Pop(u64),
        Tidy,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0_u8..6, prop::option::weighted(0.8, 0_u64..40)).prop_map(|(key, at)| Step::Set(key, at)),
            2 => (0_u64..40).prop_map(Step::Pop),
            1 => Just(Step::Tidy),
        ]
    }

    proptest! {
        #[test]
        fn shows_and_gives_the_deadlines_that_hold_in_order(steps in prop::collection::vec(step(), 0..400)) {
            let start = Instant::now();
            let instant = |ms: u64| start + Duration::from_millis(ms);
            let mut heap = Heap::new();
            let mut holding: BTreeMap<u8, u64> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(key, Some(at)) => {
                        heap.push(instant(at), key);
                        holding.insert(key, at);
                    }
                    Step::Set(key, None) => {
                        holding.remove(&key);
                    }
                    Step::Pop(now) => {
                        let due = |(key, at): (&u8, &u64)| (*at <= now).then_some((*at, *key));
                        let mut expected: Vec<(u64, u8)> = holding.iter().filter_map(due).collect();
                        expected.sort_unstable();
                        let mut given = Vec::new();
                        while let Some((at, key)) = heap.pop_due(instant(now)) {
                            let ms = u64::try_from((at - start).as_millis()).unwrap();
                            if holding.get(&key) == Some(&ms) {
                                holding.remove(&key);
                                given.push((ms, key));
                            }
                        }

                        prop_assert_eq!(given, expected);
                    }
                    Step::Tidy => heap.tidy(holding.len(), |at, key| holding.get(&key).copied().map(instant) == Some(at)),
                }

                heap.skip(|at, key| holding.get(&key).copied().map(instant) == Some(at));
                prop_assert_eq!(heap.peek().map(|(at, _)| at), holding.values().min().copied().map(instant));
                prop_assert!(heap.entries() >= holding.len());
            }
        }
    }
}

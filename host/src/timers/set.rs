//! Timers of one service. Pure: the time is an argument. A periodic timer keeps to the grid of its first due time forever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::heap::Heap;
use crate::effects::{DueTimer, TimerChange};

/// Shortest period: the resolution of the timers task.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// The timers of one service, by name.
#[derive(Debug, Clone, Default)]
pub struct TimerSet {
    by_name: HashMap<Arc<str>, usize>,
    slots: Vec<Option<Timer>>,
    free: Vec<usize>,
    /// Its first entry is never outdated.
    order: Heap<Key>,
    last: u64,
}

/// Timers are numbered as they are set, so that those due at the same instant are reported in this order; a number is
/// never reused, a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    number: u64,
    slot: usize,
}

#[derive(Debug, Clone)]
struct Timer {
    name: Arc<str>,
    number: u64,
    /// `None`: due once.
    period: Option<Duration>,
    /// `None`: so far ahead that no clock shows it.
    at: Option<Instant>,
}

/// A timer as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTimer {
    /// The name.
    pub name: Arc<str>,
    /// `None`: due once.
    pub period: Option<Duration>,
    /// The next due time; `None`: so far ahead that no clock shows it.
    pub at: Option<Instant>,
}

impl TimerSet {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets and cancels timers, in order. Delays count from `now`.
    pub fn apply(&mut self, changes: Vec<TimerChange>, now: Instant) {
        for change in changes {
            match change {
                TimerChange::Every {
                    name,
                    period,
                    delay,
                } => {
                    self.set(
                        name,
                        Some(period.max(SHORTEST_PERIOD)),
                        now.checked_add(delay),
                    );
                }
                TimerChange::After { name, delay } => self.set(name, None, now.checked_add(delay)),
                TimerChange::Cancel { name } => self.cancel(&name),
            }
        }
    }

    /// The timers by name, in order.
    pub fn list(&self) -> Vec<ListedTimer> {
        let timers = self.slots.iter().flatten();
        let mut list: Vec<ListedTimer> = timers
            .map(|timer| ListedTimer {
                name: timer.name.clone(),
                period: timer.period,
                at: timer.at,
            })
            .collect();

        list.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        list
    }

    /// Takes the timers that are due at `now`, in the order of due times. A periodic timer advances to its next due time after `now`;
    /// missed due times are counted. A one-shot timer is removed.
    pub fn due(&mut self, now: Instant) -> Vec<DueTimer> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.order.pop_due(now) {
            let Some(timer) = find(&mut self.slots, at, key) else {
                continue;
            };
            let name = timer.name.as_ref().to_owned();
            let Some(period) = timer.period else {
                self.forget(key.slot);
                due.push(DueTimer { name, count: 1 });
                continue;
            };
            let (count, next) = next_occurrence(at, period, now);
            timer.at = next;
            if let Some(next) = next {
                self.order.push(next, key);
            }
            due.push(DueTimer { name, count });
        }

        self.skip_outdated();
        due
    }

    /// Time at which the next timer is due; `None`: never.
    pub fn next(&self) -> Option<Instant> {
        self.order.peek().map(|(at, _)| at)
    }

    /// Time at which the timer of this name is due next; `None` when there is none, or it is never due.
    pub fn at(&self, name: &str) -> Option<Instant> {
        self.by_name
            .get(name)
            .and_then(|slot| self.slots[*slot].as_ref()?.at)
    }

    /// Names and next due times, in no order; `None`: never due.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<Instant>)> {
        self.slots
            .iter()
            .flatten()
            .map(|timer| (timer.name.as_ref(), timer.at))
    }

    /// Number of timers.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are no timers.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Takes over due times at a swap: a periodic timer that `old` has too, by name and period, continues as it would have in `old`;
    /// any other stays as it was set.
    pub fn inherit(&mut self, old: &TimerSet) {
        for (slot, timer) in self.slots.iter_mut().enumerate() {
            let Some(timer) = timer.as_mut().filter(|timer| timer.period.is_some()) else {
                continue;
            };
            let before = old
                .by_name
                .get(&timer.name)
                .and_then(|slot| old.slots[*slot].as_ref());
            let Some(before) = before.filter(|before| before.period == timer.period) else {
                continue;
            };
            timer.at = before.at;
            let key = Key {
                number: timer.number,
                slot,
            };
            if let Some(at) = before.at {
                self.order.push(at, key);
            }
        }

        self.skip_outdated();
    }

    fn set(&mut self, name: String, period: Option<Duration>, at: Option<Instant>) {
        self.cancel(&name);
        self.last += 1;
        let name: Arc<str> = name.into();
        let timer = Timer {
            name: Arc::clone(&name),
            number: self.last,
            period,
            at,
        };

        let slot = self.free.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(Some(timer));
        } else {
            self.slots[slot] = Some(timer);
        }
        self.by_name.insert(name, slot);
        if let Some(at) = at {
            let number = self.last;
            self.order.push(at, Key { number, slot });
        }
        self.skip_outdated();
    }

    fn cancel(&mut self, name: &str) {
        if let Some(slot) = self.by_name.get(name).copied() {
            self.forget(slot);
            self.skip_outdated();
        }
    }

    fn forget(&mut self, slot: usize) {
        if let Some(timer) = self.slots[slot].take() {
            self.by_name.remove(&timer.name);
            self.free.push(slot);
        }
    }

    fn skip_outdated(&mut self) {
        let slots = &self.slots;
        let holds = |at, key: Key| {
            slots[key.slot]
                .as_ref()
                .is_some_and(|timer| timer.is(at, key))
        };
        self.order.tidy(self.by_name.len(), holds);
        self.order.skip(holds);
    }
}

impl Timer {
    fn is(&self, at: Instant, key: Key) -> bool {
        self.number == key.number && self.at == Some(at)
    }
}

/// The timer of an entry of the heap, unless the entry is outdated.
fn find(slots: &mut [Option<Timer>], at: Instant, key: Key) -> Option<&mut Timer> {
    slots[key.slot].as_mut().filter(|timer| timer.is(at, key))
}

/// How many due times from `at` on, a `period` apart, are not after `now`, and the next one. `at` is not after `now`.
fn next_occurrence(at: Instant, period: Duration, now: Instant) -> (u64, Option<Instant>) {
    let late = now.saturating_duration_since(at).as_nanos();
    let step = period.as_nanos();
    let count = u64::try_from(late / step + 1).unwrap_or(u64::MAX);
    let since_last = Duration::from_nanos(u64::try_from(late % step).unwrap_or(u64::MAX));
    (
        count,
        now.checked_sub(since_last)
            .and_then(|last| last.checked_add(period)),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn every(name: &str, period: u64, delay: u64) -> TimerChange {
        TimerChange::Every {
            name: name.to_owned(),
            period: ms(period),
            delay: ms(delay),
        }
    }

    fn after(name: &str, delay: u64) -> TimerChange {
        TimerChange::After {
            name: name.to_owned(),
            delay: ms(delay),
        }
    }

    fn cancel(name: &str) -> TimerChange {
        TimerChange::Cancel {
            name: name.to_owned(),
        }
    }

    fn set(changes: Vec<TimerChange>, now: Instant) -> TimerSet {
        let mut set = TimerSet::new();
        set.apply(changes, now);
        set
    }

    fn named(due: Vec<DueTimer>) -> Vec<(String, u64)> {
        due.into_iter()
            .map(|timer| (timer.name, timer.count))
            .collect()
    }

    fn pairs(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
        expected
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn a_periodic_timer_keeps_to_its_grid_and_counts_what_it_missed() {
        let start = Instant::now();
        let mut set = set(vec![every("a", 100, 30)], start);
        assert_eq!(set.due(start + ms(29)), []);
        assert_eq!(named(set.due(start + ms(30))), pairs(&[("a", 1)]));
        assert_eq!(set.next(), Some(start + ms(130)));
        assert_eq!(named(set.due(start + ms(475))), pairs(&[("a", 4)]));
        assert_eq!(set.next(), Some(start + ms(530)));
        assert_eq!(named(set.due(start + ms(530))), pairs(&[("a", 1)]));
    }

    #[test]
    fn a_one_shot_timer_is_due_once() {
        let start = Instant::now();
        let mut set = set(vec![after("once", 10)], start);
        assert_eq!(named(set.due(start + ms(1000))), pairs(&[("once", 1)]));
        assert_eq!((set.len(), set.next()), (0, None));
        assert_eq!(set.due(start + ms(2000)), []);
    }

    #[test]
    fn a_taken_name_is_replaced_and_a_cancelled_one_forgotten() {
        let start = Instant::now();
        let mut set = set(
            vec![
                every("a", 10, 10),
                after("b", 5),
                after("a", 20),
                cancel("b"),
                cancel("c"),
            ],
            start,
        );

        assert_eq!(set.len(), 1);
        assert_eq!(set.due(start + ms(19)), []);
        assert_eq!(named(set.due(start + ms(20))), pairs(&[("a", 1)]));
        assert!(set.is_empty());
    }

    #[test]
    fn due_timers_come_in_the_order_of_their_times_then_of_setting() {
        let start = Instant::now();
        let mut set = set(
            vec![
                after("z", 7),
                after("a", 7),
                after("late", 9),
                after("early", 1),
            ],
            start,
        );

        let expected = pairs(&[("early", 1), ("z", 1), ("a", 1), ("late", 1)]);
        assert_eq!(named(set.due(start + ms(9))), expected);
    }

    #[test]
    fn a_swap_keeps_the_phase_of_what_stays_the_same() {
        let start = Instant::now();
        let old = set(
            vec![
                every("same", 100, 30),
                every("changed", 100, 30),
                every("gone", 10, 10),
                after("once", 5),
            ],
            start,
        );

        let swap = start + ms(20);
        let mut new = set(
            vec![
                every("same", 100, 100),
                every("changed", 70, 70),
                after("once", 50),
            ],
            swap,
        );

        new.inherit(&old);
        assert_eq!(new.len(), 3);
        assert_eq!(named(new.due(start + ms(30))), pairs(&[("same", 1)]));
        assert_eq!(
            named(new.due(start + ms(90))),
            pairs(&[("once", 1), ("changed", 1)])
        );
        assert_eq!(new.next(), Some(start + ms(130)));
    }

    #[test]
    fn times_beyond_the_clock_are_never_due() {
        let start = Instant::now();
        let far = TimerChange::After {
            name: "far".to_owned(),
            delay: Duration::MAX,
        };
        let slow = TimerChange::Every {
            name: "slow".to_owned(),
            period: Duration::MAX,
            delay: ms(1),
        };
        let mut set = set(vec![far, slow], start);
        assert_eq!(named(set.due(start + ms(10))), pairs(&[("slow", 1)]));
        assert_eq!((set.len(), set.next()), (2, None));
    }

    #[test]
    fn a_period_of_zero_does_not_spin() {
        let start = Instant::now();
        let mut set = set(vec![every("a", 0, 0)], start);
        assert_eq!(named(set.due(start + ms(5))), pairs(&[("a", 6)]));
        assert_eq!(set.next(), Some(start + ms(6)));
    }

    #[test]
    fn setting_a_timer_for_ever_does_not_fill_the_memory() {
        let start = Instant::now();
        let mut set = set(vec![after("first", 0)], start);
        for turn in 0..10_000 {
            set.apply(
                vec![every("a", 1, turn), after("b", turn), cancel("b")],
                start,
            );
        }

        assert!(
            set.slots.len() <= 3 && set.order.entries() < 100,
            "{} slots, {} entries",
            set.slots.len(),
            set.order.entries()
        );
    }

    proptest! {
        /// However late and irregularly it is asked, a periodic timer reports each due time exactly once.
        #[test]
        fn no_due_time_is_lost_or_repeated(period in 1_u64..50, delay in 0_u64..80, waits in prop::collection::vec(0_u64..200, 1..60)) {
            let start = Instant::now();
            let mut set = set(vec![every("a", period, delay)], start);
            let mut now = 0;
            let mut reported = 0;
            for wait in waits {
                now += wait;
                reported += set.due(start + ms(now)).iter().map(|timer| timer.count).sum::<u64>();
                let expected = if now < delay { 0 } else { (now - delay) / period + 1 };
                prop_assert_eq!(reported, expected);
                prop_assert_eq!(set.next(), Some(start + ms(delay + expected * period)));
            }
        }

        /// Against a list that is searched from end to end.
        #[test]
        fn behaves_like_a_list(steps in prop::collection::vec((0_u8..5, 0_u8..4, 1_u64..20, 0_u64..20, 0_u64..9), 0..120)) {
            let names = ["a", "b", "c", "d"];
            let start = Instant::now();
            let mut set = TimerSet::new();
            // name, period, due time, all in milliseconds, in the order of setting
            let mut model: Vec<(&str, Option<u64>, u64)> = Vec::new();
            let mut now = 0;
            for (kind, name, period, delay, wait) in steps {
                let name = names[usize::from(name)];
                now += wait;
                let change = match kind {
                    0 | 1 => every(name, period, delay),
                    2 => after(name, delay),
                    3 => cancel(name),
                    _ => {
                        let mut expected = Vec::new();
                        for (order, (name, period, at)) in model.iter_mut().enumerate() {
                            if *at > now { continue }
                            let count = period.map_or(1, |period| (now - *at) / period + 1);
                            expected.push((*at, order, (*name).to_owned(), count));
                            *at += count * period.unwrap_or(u64::MAX / 4);
                        }

                        model.retain(|(_, _, at)| *at < u64::MAX / 8);
                        expected.sort();
                        let expected: Vec<_> = expected.into_iter().map(|(_, _, name, count)| (name, count)).collect();
                        prop_assert_eq!(named(set.due(start + ms(now))), expected);
                        continue;
                    }
                };

                model.retain(|(held, ..)| *held != name);
                match kind {
                    0 | 1 => model.push((name, Some(period), now + delay)),
                    2 => model.push((name, None, now + delay)),
                    _ => {}
                }
                set.apply(vec![change], start + ms(now));
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.next(), model.iter().map(|(_, _, at)| start + ms(*at)).min());
            }
        }
    }
}

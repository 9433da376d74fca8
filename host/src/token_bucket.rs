//! A token bucket. The clock is an argument.

use std::time::{Duration, Instant};

/// Size of a bucket: the amount that flows in within this time.
const BURST: Duration = Duration::from_secs(1);

/// A bucket that holds one second's worth of its inflow. It begins full. The rate is given with each use, so that a new one
/// holds at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenBucket {
    /// When it will be full again; in the past or `None`: it is.
    full: Option<Instant>,
}

impl TokenBucket {
    /// Takes `amount` whether it is there or not, and says how long it then takes until the level is positive again: zero when it
    /// is. `rate` flows in each second; zero counts as one.
    pub fn spend(&mut self, amount: u64, rate: u64, now: Instant) -> Duration {
        self.full = self.after(amount, rate, now);
        self.full.map_or(Duration::ZERO, |full| {
            full.saturating_duration_since(now).saturating_sub(BURST)
        })
    }

    /// Takes one if it is there; says whether it was.
    pub fn take(&mut self, rate: u64, now: Instant) -> bool {
        let after = self.after(1, rate, now);
        let there = after.is_none_or(|full| full.saturating_duration_since(now) <= BURST);
        if there {
            self.full = after;
        }
        there
    }

    /// Returns the time at which it would be full again if `amount` were taken now. A time that no clock can express counts as none.
    fn after(&self, amount: u64, rate: u64, now: Instant) -> Option<Instant> {
        let nanoseconds = u128::from(amount) * 1_000_000_000 / u128::from(rate.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let from = self.full.map_or(now, |full| full.max(now));
        from.checked_add(cost).or(self.full)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However it is used, no span of time takes more than the inflow and one burst.
        #[test]
        fn never_gives_more_than_the_rate_and_a_burst(
            rate in 1_u64..1_000, pauses in prop::collection::vec(0_u64..50, 1..400),
        ) {
            let mut bucket = TokenBucket::default();
            let start = Instant::now();
            let mut now = Instant::now();
            let mut taken = 0_u64;
            for pause in pauses {
                now += Duration::from_millis(pause);
                taken += u64::from(bucket.take(rate, now));
                let flowed = rate as f64 * (now - start).as_secs_f64();
                prop_assert!(taken as f64 <= flowed + rate as f64 + 1.0, "{taken} of {flowed}");
            }
        }

        /// A user that waits as long as told has the rate exactly, beyond the burst.
        #[test]
        fn a_caller_that_waits_keeps_the_rate(rate in 1_u64..100_000, amounts in prop::collection::vec(1_u64..10_000, 1..100)) {
            let mut bucket = TokenBucket::default();
            let start = Instant::now();
            let mut now = Instant::now();
            let mut spent = 0_u64;
            for amount in &amounts {
                now += bucket.spend(*amount, rate, now);
                spent += amount;
                let flowed = rate as f64 * (now - start).as_secs_f64();
                prop_assert!(spent as f64 <= flowed + rate as f64 + 1.0, "{spent} of {flowed}");
            }

            // and no later than that: nothing but the burst is given away
            let needed = spent as f64 / rate as f64 - 1.0;
            prop_assert!((now - start).as_secs_f64() <= needed.max(0.0) + 0.001, "{:?} for {needed}", now - start);
        }
    }

    #[test]
    fn is_full_again_after_a_second_without_use() {
        let mut bucket = TokenBucket::default();
        let now = Instant::now();
        assert_eq!(bucket.spend(100, 100, now), Duration::ZERO);
        assert!(!bucket.take(100, now));
        assert_eq!(bucket.spend(100, 100, now), BURST);
        let later = now + 2 * BURST;
        assert_eq!(bucket.spend(100, 100, later), Duration::ZERO);
        assert_eq!(bucket.spend(50, 100, later), BURST / 2);
    }
}

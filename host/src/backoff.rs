//! Exponential back-off with jitter. Pure: neither a clock nor randomness of its own.

use std::time::Duration;

/// Doubling waits with jitter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Creates a back-off with waits from `min` to `max`. A `min` above `max` counts as `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self {
            min: min.min(max),
            max,
            failures: 0,
        }
    }

    /// Counts a failure and returns the wait that follows it. `jitter`, a random number in 0.0 to 1.0, spreads it over half to all of
    /// the current bound, so that clients that failed together do not return together.
    pub fn next(&mut self, jitter: f64) -> Duration {
        let bound = self.bound();
        self.failures = self.failures.saturating_add(1);
        let half = bound / 2;
        // the clamp sends NaN through, `max` turns it into 0
        half + (bound - half).mul_f64(jitter.clamp(0.0, 1.0).max(0.0))
    }

    /// Resets the count of failures, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn bound(&self) -> Duration {
        let doubled = 1_u32
            .checked_shl(self.failures)
            .and_then(|factor| self.min.checked_mul(factor));
        doubled.unwrap_or(self.max).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_up_to_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<u128> = (0..6).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.failures(), 6);
        backoff.reset();
        assert_eq!(backoff.failures(), 0);
        assert_eq!(backoff.next(0.0), Duration::from_millis(50));
    }

    #[test]
    fn stays_at_the_maximum_for_ever() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::MAX);
        for _ in 0..100 {
            backoff.next(0.5);
        }
        assert_eq!(backoff.next(0.0), Duration::MAX / 2);
    }

    #[test]
    fn zero_delay_stays_zero_and_swapped_bounds_are_sorted() {
        assert_eq!(
            Backoff::new(Duration::ZERO, Duration::from_secs(1)).next(1.0),
            Duration::ZERO
        );
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(1));
        assert_eq!(backoff.next(1.0), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn lies_between_half_and_all_of_the_bound(
            min in 1_u64..10_000, factor in 1_u64..1_000, failures in 0_u32..80, jitter in -1.0..2.0_f64,
        ) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(min * factor));
            let mut backoff = Backoff::new(min, max);
            for _ in 0..failures {
                backoff.next(jitter);
            }
            let doubled = 2_f64.powi(failures.cast_signed()) * min.as_secs_f64();
            let bound = doubled.min(max.as_secs_f64());
            let wait = backoff.next(jitter).as_secs_f64();
            prop_assert!(wait >= bound / 2.0 - 1e-6 && wait <= bound + 1e-6, "{wait} for a bound of {bound}");
        }

        #[test]
        fn grows_with_the_jitter(low in 0.0..1.0_f64, more in 0.0..1.0_f64) {
            let fresh = Backoff::new(Duration::from_secs(1), Duration::from_secs(9));
            let high = low + (1.0 - low) * more;
            prop_assert!(fresh.clone().next(low) <= fresh.clone().next(high));
        }
    }
}

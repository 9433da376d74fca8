//! Durations, their percentiles and medians. Pure.

use std::time::Duration;

/// Durations of one measurement.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples {
    nanoseconds: Vec<u64>,
}

impl Samples {
    /// Adds one.
    pub(crate) fn add(&mut self, sample: Duration) {
        self.nanoseconds.push(sample.as_nanos() as u64);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.nanoseconds.len()
    }

    /// The mean in microseconds; not a number when there are none.
    pub(crate) fn mean(&self) -> f64 {
        let sum: u64 = self.nanoseconds.iter().sum();
        sum as f64 / 1e3 / self.nanoseconds.len() as f64
    }

    /// The value in microseconds below which `share` (0 to 1) of the samples are; zero when there are none.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.nanoseconds.clone();
        sorted.sort_unstable();
        let place =
            ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        sorted.get(place).map_or(0.0, |ns| *ns as f64 / 1e3)
    }
}

/// The median of figures; not a number when there are none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_samples() {
        let mut samples = Samples::default();
        (1..=1000)
            .rev()
            .for_each(|us| samples.add(Duration::from_micros(us)));
        assert_eq!(
            [0.5, 0.99, 0.999, 1.0].map(|p| samples.percentile(p)),
            [500.0, 990.0, 999.0, 1000.0]
        );
    }

    #[test]
    fn medians_of_odd_and_even_numbers_of_figures() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }
}

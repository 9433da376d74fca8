//! Figures with their spread: the median of several rounds, and an interval in which the true median most likely lies. Pure.

use crate::samples::median;

/// The least probability that the true median lies in the interval; rounds fewer than four cannot reach it.
const CONFIDENCE: f64 = 0.85;

/// A figure of several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// The median of the rounds; not a number when there are none.
    pub median: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// Estimates a figure from one measurement a round.
    ///
    /// The interval goes from the k-th smallest to the k-th largest of n figures, with the largest k for which it contains the
    /// median of a continuous distribution with [`CONFIDENCE`]: the number of figures below the median has a binomial distribution.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = rounds.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let outside = outside(sorted.len());
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        Self {
            median: median(sorted.iter().copied()),
            low: at(outside),
            high: at(sorted.len().wrapping_sub(1 + outside)),
        }
    }

    /// Estimates the ratio of two figures that were measured in turn, round by round: a change of the machine's speed between two
    /// rounds has no part in it.
    pub(crate) fn of_pairs(pairs: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::of(pairs.into_iter().map(|(figure, base)| figure / base))
    }

    /// The width of the interval relative to the median.
    pub(crate) fn spread(&self) -> f64 {
        (self.high - self.low) / self.median
    }

    /// The decimals with which it is shown: three where two would hide its interval.
    pub(crate) fn decimals(&self) -> usize {
        let width = self.high - self.low;
        if width > 0.0 && width < 0.1 { 3 } else { 2 }
    }

    /// The same figure less a constant.
    pub(crate) fn less(self, constant: f64) -> Self {
        Self {
            median: self.median - constant,
            low: self.low - constant,
            high: self.high - constant,
        }
    }
}

impl From<f64> for Estimate {
    /// A figure without spread: of one measurement, or a count.
    fn from(figure: f64) -> Self {
        Self {
            median: figure,
            low: figure,
            high: figure,
        }
    }
}

/// How many of `rounds` figures lie outside of the interval at each of its ends.
fn outside(rounds: usize) -> usize {
    let all = 0.5f64.powi(i32::try_from(rounds).unwrap_or(i32::MAX));
    let mut combinations = 1.0;
    let mut below = 0.0;
    let mut outside = 0;
    while outside < rounds / 2 {
        // the probability that at most `outside` figures are below the median
        below += combinations * all;
        if 1.0 - 2.0 * below < CONFIDENCE {
            break;
        }
        outside += 1;
        combinations *= (rounds - outside + 1) as f64 / outside as f64;
    }

    outside.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_follow_from_the_number_of_rounds() {
        // of 5 rounds all (94 %), of 7 and 9 all but two (87.5 % and 96 %), of 15 all but eight (88 %)
        assert_eq!([1, 3, 5, 6, 7, 9, 15].map(outside), [0, 0, 0, 0, 1, 1, 4]);
        let rounds = [7.0, 1.0, 3.0, 2.0, 6.0, 5.0, 4.0];
        let expected = Estimate {
            median: 4.0,
            low: 2.0,
            high: 6.0,
        };
        assert_eq!(Estimate::of(rounds), expected);
        assert!(Estimate::of([]).median.is_nan());
    }

    #[test]
    fn pairs_cancel_what_both_figures_share() {
        let speeds = [1.0, 2.0, 0.5, 3.0, 1.5];
        let ratio = Estimate::of_pairs(speeds.map(|speed| (4.0 * speed, speed)));
        assert_eq!(ratio, Estimate::from(4.0));
        assert_eq!(ratio.spread(), 0.0);
    }
}

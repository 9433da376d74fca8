//! The measurements: each makes one `Section` of the report.

pub(crate) mod at_least_once;
pub(crate) mod cold;
pub(crate) mod echo;
pub(crate) mod echo_table;
pub(crate) mod hostile;
pub(crate) mod idle;
pub(crate) mod recovery;
pub(crate) mod slow;
pub(crate) mod swap;
pub(crate) mod typed;
pub(crate) mod watched;

use std::time::Duration;

/// How long everything is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Rounds; figures are medians of them.
    pub rounds: usize,
    /// One measurement of throughput.
    pub span: Duration,
    /// One measurement of latency.
    pub latency: Duration,
    /// One measurement at a fixed rate, and of ticking services.
    pub steady: Duration,
    /// Whether to measure what the generator can do at most.
    pub ceiling: bool,
}

impl Plan {
    /// A few minutes in all.
    pub(crate) fn quick() -> Self {
        let ms = Duration::from_millis;
        Self {
            rounds: 5,
            span: ms(500),
            latency: ms(200),
            steady: ms(5_000),
            ceiling: false,
        }
    }

    /// Longer, for figures to keep.
    pub(crate) fn full() -> Self {
        let ms = Duration::from_millis;
        Self {
            rounds: 7,
            span: ms(2_000),
            latency: ms(1_000),
            steady: ms(15_000),
            ceiling: true,
        }
    }
}

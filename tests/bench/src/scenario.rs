//! The measurements: each makes one `Section` of the report.

pub mod at_least_once;
pub mod cold;
pub mod echo;
pub mod echo_table;
pub mod hostile;
pub mod idle;
pub mod recovery;
pub mod slow;
pub mod swap;

use std::time::Duration;

/// How long everything is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
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
    pub fn quick() -> Self {
        let ms = Duration::from_millis;
        Self {
            rounds: 3,
            span: ms(800),
            latency: ms(200),
            steady: ms(5_000),
            ceiling: false,
        }
    }

    /// Longer, for figures to keep.
    pub fn full() -> Self {
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

//! A deadline for waiting: an error names the awaited thing.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, timeout_at};

/// The longest wait for one event. Long, because a machine that runs tests may be busy; it is used up only by failures.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The instant after which a test has waited long enough.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline [`PATIENCE`] from now.
    pub fn new() -> Self {
        Self::after(PATIENCE)
    }

    /// A deadline `span` from now.
    pub fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// Waits for `event`.
    ///
    /// # Errors
    /// When the deadline comes first; the error names `what`.
    pub async fn wait<T>(
        self,
        what: impl std::fmt::Display,
        event: impl Future<Output = T>,
    ) -> Result<T> {
        timeout_at(self.0, event)
            .await
            .map_err(|_| anyhow::anyhow!("deadline reached while waiting for {what}"))
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

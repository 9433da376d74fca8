//! The quota of log lines of one instance, for the log interface and for stdout and stderr together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::fault_kind::FaultKind;
use crate::guest::service_state::ServiceState;
use crate::service_ctx::ServiceCtx;

/// The quota of one instance.
#[derive(Debug)]
pub(super) struct LogQuota {
    service_state: Arc<ServiceState>,
    /// `limits.log_lines`.
    per_call: usize,
    /// `limits.log_rate`.
    rate: u64,
    lines: AtomicUsize,
}

impl LogQuota {
    pub(super) fn new(ctx: &ServiceCtx) -> Self {
        Self {
            service_state: ctx.state.clone(),
            per_call: ctx.config.limits.call.log_lines,
            rate: ctx.config.limits.rates.log_lines,
            lines: AtomicUsize::new(0),
        }
    }

    /// Starts a call.
    pub(super) fn reset(&self) {
        self.lines.store(0, Ordering::Relaxed);
    }

    /// Whether one more line may be written. Counts the line, or the exceeded limit.
    pub(super) fn may_log(&self) -> bool {
        let meter = self.service_state.meter();
        let exceeded = if self.lines.load(Ordering::Relaxed) >= self.per_call {
            FaultKind::LogLines
        } else if !meter.may_log(self.rate, Instant::now()) {
            FaultKind::LogRate
        } else {
            self.lines.fetch_add(1, Ordering::Relaxed);
            return true;
        };

        meter.exceeded(exceeded);
        false
    }
}

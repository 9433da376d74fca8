//! Machine: whether a guest may write one more log line. In: lines of the log interface and of stdout and stderr. Out: yes, or no and
//! a count. Owns how many lines the running call has written; shared by the streams of one instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::fault_kind::FaultKind;
use crate::guest::belongings::Belongings;
use crate::service_ctx::ServiceCtx;

/// The log lines of one instance.
#[derive(Debug)]
pub(super) struct Voice {
    belongings: Arc<Belongings>,
    /// `limits.log_lines`.
    per_call: usize,
    /// `limits.log_rate`.
    rate: u64,
    lines: AtomicUsize,
}

impl Voice {
    pub(super) fn new(ctx: &ServiceCtx) -> Self {
        Self {
            belongings: ctx.state.clone(),
            per_call: ctx.config.limits.call.log_lines,
            rate: ctx.config.limits.rates.log_lines,
            lines: AtomicUsize::new(0),
        }
    }

    /// A call begins.
    pub(super) fn reset(&self) {
        self.lines.store(0, Ordering::Relaxed);
    }

    /// Whether one more line may be written; counts it, and what may not.
    pub(super) fn may_log(&self) -> bool {
        let meter = self.belongings.meter();
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

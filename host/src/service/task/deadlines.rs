//! Deadlines of a service: deferred messages, the end of probation, the renewal of its presence, and the log.

use std::time::Instant;

use super::{Flow, Task};

impl Task {
    /// When something is due that no message or command brings. One timer serves all of it: each would make the task larger.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.queue.backlog.due(),
            self.rollout.probation_end(),
            self.outputs.presence.renewal(),
            self.usage.due(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Handles everything that is due. Deferred messages and the log are looked after at the beginning of each turn.
    pub(super) async fn on_deadline(&mut self) -> Flow {
        let now = Instant::now();
        let is_due = |at: Instant| at <= now;
        if self.rollout.probation_end().is_some_and(is_due) {
            self.on_probation_end().await;
        }
        if self.outputs.presence.renewal().is_some_and(is_due) {
            self.outputs.presence.renew().await;
        }
        Flow::Continue(())
    }
}

//! Begin of services whose component was not ready when the host started.

use std::path::Path;
use std::sync::Arc;

use crate::rollout::Fallback;
use crate::router::ServiceId;
use crate::service::{Begin, Command, First};
use crate::service_ctx::ServiceCtx;

use super::{QueuedCommand, Supervisor};

impl Supervisor {
    /// The number of services that are still starting for the first time.
    pub fn starting(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.is_starting)
            .count()
    }

    /// Has a service begin as its file says, with `first`, which was started in the context `ctx`. Another version, or a new section of
    /// the configuration, may have come first; then `first` is dropped.
    pub fn begin(
        &mut self,
        id: ServiceId,
        ctx: &Arc<ServiceCtx>,
        first: First,
        interrupted: Option<Fallback>,
    ) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            return;
        };
        let is_awaited = Arc::ptr_eq(&entry.ctx, ctx) && entry.component().is_none();
        if let Some(component) = first.component().filter(|_| is_awaited) {
            let begin = Begin {
                number: entry.issue(component),
                first,
                interrupted,
            };
            let command = Command::Begin(Box::new(begin));
            self.orders.push_back(QueuedCommand { id, command });
        }

        self.end_start(id);
    }

    /// Ends the first start of a service: changes of its file that came meanwhile are looked at now.
    pub fn end_start(&mut self, id: ServiceId) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            return;
        };
        entry.is_starting = false;
        let file = entry.file.clone();
        if !self.is_starting_from(&file) && self.preparations.dirty.remove(&file) {
            self.prepare(file);
        }
    }

    /// Whether a service that uses the file is still starting for the first time.
    pub(super) fn is_starting_from(&self, file: &Path) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.is_starting && entry.file == file)
    }
}

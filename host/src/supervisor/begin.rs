//! Begin of services whose component was not ready when the host started.

use std::path::Path;
use std::sync::Arc;

use crate::guest::Component;
use crate::rollout::Fallback;
use crate::router::ServiceId;
use crate::service::{Begin, Command, First};
use crate::service_ctx::ServiceCtx;

use super::{QueuedCommand, Supervisor};

/// How a service begins.
pub struct FirstStart {
    /// Its instance, or its component if that did not start.
    pub first: First,
    /// The component in its file, which may be another one.
    pub in_file: Component,
    /// Fallback in case the version that was on probation when the host ended fails.
    pub interrupted: Option<Fallback>,
}

impl Supervisor {
    /// The number of services that are still starting for the first time.
    pub fn starting(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.is_starting)
            .count()
    }

    /// Has a service begin with an instance that was started in the context `ctx`. Another version, or a new section of the
    /// configuration, may have come first; then the instance is dropped.
    pub fn begin(&mut self, id: ServiceId, ctx: &Arc<ServiceCtx>, start: FirstStart) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            return;
        };
        let FirstStart {
            first,
            in_file,
            interrupted,
        } = start;
        entry.set_in_file(Some(in_file));
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

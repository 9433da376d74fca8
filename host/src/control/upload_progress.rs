//! The progress of an upload, as its sender sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of an upload that are on their way. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct UploadProgress(Arc<AtomicU64>);

impl UploadProgress {
    /// The bytes so far.
    pub fn sent(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

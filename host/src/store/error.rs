//! Errors of the store.

use std::path::PathBuf;

/// Reasons why a change is not on disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or written.
    #[error("the state file {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the database or of the system.
        reason: String,
    },
    /// Too many commands wait for the disk.
    #[error("the disk is slower than the messages: too much waits to be written")]
    Busy,
    /// The thread that writes has ended.
    #[error("the state is no longer written: the host is stopping")]
    Ended,
}

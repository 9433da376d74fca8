//! The log file.

use std::fs::{File, OpenOptions};
use std::path::Path;

use super::LoggingError;

/// Opens `path` for appending; creates it if it does not exist.
pub(super) fn open(path: &Path) -> Result<File, LoggingError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|source| LoggingError::File {
            path: path.to_owned(),
            source,
        })
}

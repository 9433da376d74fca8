//! Surface: the log file. In: its path. Out: a stream that appends to it. Owns nothing.

use std::fs::{File, OpenOptions};
use std::path::Path;

use super::LoggingError;

/// Opens `path` for appending, and makes it where it is not there.
pub(super) fn open(path: &Path) -> Result<File, LoggingError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|source| LoggingError::File {
        path: path.to_owned(),
        source,
    })
}

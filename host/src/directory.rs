//! Machine: a directory for what only this user may see. In: its path. Out: it is there. Owns nothing.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes the directory and those above it where they are missing, with mode 0700. One that is there stays as it is.
///
/// # Errors
/// When the system refuses.
pub fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

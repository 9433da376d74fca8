//! The surroundings in which a configuration is read: its file, the files and environment variables that it refers to, and the
//! diagnostics that its readers make.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostics;
use super::text::{self, Position, TextError};

/// The surroundings that the readers share while one configuration is read.
#[derive(Debug)]
pub(crate) struct LoadContext {
    /// The file as it was named; `None` when there is none.
    pub file: Option<PathBuf>,
    /// The directory from which relative paths start.
    directory: PathBuf,
    /// The findings of the readers.
    pub diagnostics: Diagnostics,
    /// The files and directories that the readers found, as absolute paths.
    pub named: RefCell<BTreeSet<PathBuf>>,
    /// The keys that the readers asked for, so that a test compares them with the reference.
    #[cfg(test)]
    pub asked: RefCell<BTreeSet<String>>,
}

/// A text outside of the configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReferenceError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    /// The file has no text.
    #[error("{}{}{error}", .path.display(), in_position(.error.position()))]
    NotText { path: PathBuf, error: TextError },
    /// The file is empty: it may not have been written to its end.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// The environment variable is not there, or has no text.
    #[error("cannot read the environment variable {name}: {error}")]
    Variable {
        name: String,
        error: std::env::VarError,
    },
}

fn in_position(position: Option<Position>) -> String {
    position.map_or_else(|| " ".to_owned(), |position| format!(", {position}: "))
}

impl LoadContext {
    /// The surroundings of `file`; without one, of the working directory.
    pub(crate) fn new(file: Option<&Path>) -> Self {
        let directory = file
            .and_then(Path::parent)
            .filter(|directory| !directory.as_os_str().is_empty())
            .unwrap_or(Path::new("."));

        Self {
            file: file.map(Path::to_owned),
            directory: std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()),
            diagnostics: Diagnostics::new(file),
            named: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// `text` as an absolute path. Relative paths start from the directory of the file.
    pub(super) fn resolve_path(&self, text: &str) -> PathBuf {
        let path = self.directory.join(text);
        let path = std::path::absolute(&path).unwrap_or(path);
        self.named.borrow_mut().insert(path.clone());
        path
    }

    /// The text of the file `path`, without a byte-order mark at its beginning and without line ends at its end.
    ///
    /// # Errors
    /// When it cannot be read, is not text, or is empty.
    pub(super) fn read_file(&self, path: &Path) -> Result<String, ReferenceError> {
        let bytes = std::fs::read(path).map_err(|error| ReferenceError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        let content = text::decode(&bytes).map_err(|error| ReferenceError::NotText {
            path: path.to_owned(),
            error,
        })?;

        match content.trim_end_matches(['\r', '\n']) {
            "" => Err(ReferenceError::Empty(path.to_owned())),
            content => Ok(content.to_owned()),
        }
    }

    /// The value of the environment variable `name`.
    ///
    /// # Errors
    /// When it is not set, or is not text.
    pub(super) fn read_variable(&self, name: &str) -> Result<String, ReferenceError> {
        std::env::var(name).map_err(|error| ReferenceError::Variable {
            name: name.to_owned(),
            error,
        })
    }
}

//! Where a configuration is read: its file, the directory that relative paths start from, and what it refers
//! to (files and environment variables with secrets). In: the path of the file. Out: paths and texts. Owns nothing.

use std::path::{Path, PathBuf};

use super::text;

/// What the readers know about their surroundings.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The file as it was named; `None` when there is none.
    pub file: Option<PathBuf>,
    dir: PathBuf,
}

impl Place {
    /// The surroundings of `file`; without one, of the working directory.
    pub fn of(file: Option<&Path>) -> Self {
        let dir = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        Self {
            file: file.map(Path::to_owned),
            dir,
        }
    }

    /// `text` as an absolute path, relative paths starting from the directory of the file.
    pub fn path(&self, text: &str) -> PathBuf {
        let path = self.dir.join(text);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// The text of the file `path`, without a byte-order mark at its beginning and without line ends at its end.
    ///
    /// # Errors
    /// When it cannot be read, is no text, or is empty: it may not have been written to its end.
    pub fn file_text(&self, path: &Path) -> Result<String, String> {
        let bytes = std::fs::read(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let content = text::text(&bytes).map_err(|error| match error.position() {
            Some(position) => format!("{}, {position}: {error}", path.display()),
            None => format!("{} {error}", path.display()),
        })?;
        match content.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("{} is empty", path.display())),
            content => Ok(content.to_owned()),
        }
    }

    /// The value of the environment variable `name`.
    pub fn variable(&self, name: &str) -> Result<String, String> {
        std::env::var(name)
            .map_err(|error| format!("cannot read the environment variable {name}: {error}"))
    }
}

//! Pure: what is wrong with a configuration, and where. In: the findings of the readers beside this file. Out:
//! `Problem`, `ConfigError` with all of them. Owns the lists while a file is read.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

/// One finding: an error, or a warning about something that is accepted but does not do what it seems to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file; `None` for something that was written on the command line.
    pub file: Option<PathBuf>,
    /// The line, from 1; `None` where no single line is at fault.
    pub line: Option<usize>,
    /// The key with everything above it (`services.echo.limits.call`); empty for the whole file.
    pub key: String,
    /// What is wrong and what would be accepted.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, one problem a line. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigError(pub Vec<Problem>);

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// Collects problems and warnings while a file is read, so that all are reported at once.
#[derive(Debug)]
pub(super) struct Report {
    file: Option<PathBuf>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl Report {
    /// An empty report about `file`.
    pub fn new(file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), problems: RefCell::default(), warnings: RefCell::default() }
    }

    /// Notes an error at `line` (0: no line).
    pub fn problem(&self, line: usize, key: &str, message: impl Into<String>) {
        self.problems.borrow_mut().push(self.finding(line, key, message.into()));
    }

    /// Notes something that is accepted but may surprise.
    pub fn warning(&self, line: usize, key: &str, message: impl Into<String>) {
        self.warnings.borrow_mut().push(self.finding(line, key, message.into()));
    }

    /// Notes an error that has no place in the file.
    pub fn elsewhere(&self, message: impl Into<String>) {
        let problem = Problem { file: None, line: None, key: String::new(), message: message.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// The warnings in the order of the lines, or all errors.
    pub fn finish(self) -> Result<Vec<Problem>, ConfigError> {
        let (mut problems, mut warnings) = (self.problems.into_inner(), self.warnings.into_inner());
        problems.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
        warnings.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
        if problems.is_empty() { Ok(warnings) } else { Err(ConfigError(problems)) }
    }

    fn finding(&self, line: usize, key: &str, message: String) -> Problem {
        Problem { file: self.file.clone(), line: (line > 0).then_some(line), key: key.to_owned(), message }
    }
}

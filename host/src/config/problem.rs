//! Pure: what is wrong with a configuration, and where. In: the findings of the readers beside this file. Out:
//! `Problem`, `ConfigError` with all of them. Owns the lists while a file is read.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use super::text::TextError;

/// One finding: an error, or a warning about something that is accepted but does not do what it seems to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file; `None` for something that was written on the command line.
    pub file: Option<PathBuf>,
    /// The line, from 1; `None` where no single line is at fault.
    pub line: Option<usize>,
    /// The character of the line, from 1, where it is known.
    pub column: Option<usize>,
    /// The key with everything above it (`services.echo.limits.call`); empty for the whole file.
    pub key: String,
    /// What is wrong and what would be accepted.
    pub message: String,
    /// The file that would mend it by coming, or by becoming whole.
    pub awaited: Option<PathBuf>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
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

impl ConfigError {
    /// The files whose coming, or becoming whole, may mend it.
    pub fn awaited(&self) -> Vec<PathBuf> {
        self.0
            .iter()
            .filter_map(|problem| problem.awaited.clone())
            .collect()
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("\n")
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
        Self {
            file: file.map(Path::to_owned),
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Notes an error at `line` (0: no line).
    pub fn problem(&self, line: usize, key: &str, message: impl Into<String>) {
        self.problems
            .borrow_mut()
            .push(self.finding(line, key, message.into()));
    }

    /// Notes an error at `line` that goes when `file` comes or becomes whole.
    pub fn awaiting(&self, line: usize, key: &str, message: impl Into<String>, file: PathBuf) {
        let problem = Problem {
            awaited: Some(file),
            ..self.finding(line, key, message.into())
        };
        self.problems.borrow_mut().push(problem);
    }

    /// Notes that the file is no text.
    pub fn no_text(&self, error: &TextError) {
        let position = error.position();
        let column = position.map(|position| position.column);
        let finding = self.finding(
            position.map_or(0, |position| position.line),
            "",
            error.to_string(),
        );
        self.problems
            .borrow_mut()
            .push(Problem { column, ..finding });
    }

    /// How many errors there are.
    pub fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// Takes back the errors from the one numbered `first` on, if all of them wait for files.
    pub fn take_awaiting(&self, first: usize) -> Vec<Problem> {
        let mut problems = self.problems.borrow_mut();
        let all = problems.len() > first
            && problems[first..]
                .iter()
                .all(|problem| problem.awaited.is_some());
        if all {
            problems.split_off(first)
        } else {
            Vec::new()
        }
    }

    /// Notes errors that were taken back.
    pub fn put(&self, problems: Vec<Problem>) {
        self.problems.borrow_mut().extend(problems);
    }

    /// Notes something that is accepted but may surprise.
    pub fn warning(&self, line: usize, key: &str, message: impl Into<String>) {
        self.warnings
            .borrow_mut()
            .push(self.finding(line, key, message.into()));
    }

    /// Notes an error that has no place in the file.
    pub fn elsewhere(&self, message: impl Into<String>) {
        let problem = Problem {
            file: None,
            ..self.finding(0, "", message.into())
        };
        self.problems.borrow_mut().push(problem);
    }

    /// The warnings in the order of the lines, or all errors.
    pub fn finish(self) -> Result<Vec<Problem>, ConfigError> {
        let (mut problems, mut warnings) = (self.problems.into_inner(), self.warnings.into_inner());
        problems.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
        warnings.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
        if problems.is_empty() {
            Ok(warnings)
        } else {
            Err(ConfigError(problems))
        }
    }

    /// The errors, where there is no configuration for want of a text.
    pub fn errors(self) -> ConfigError {
        self.finish().err().unwrap_or(ConfigError(Vec::new()))
    }

    fn finding(&self, line: usize, key: &str, message: String) -> Problem {
        let (file, line) = (self.file.clone(), (line > 0).then_some(line));
        Problem {
            file,
            line,
            column: None,
            key: key.to_owned(),
            message,
            awaited: None,
        }
    }
}

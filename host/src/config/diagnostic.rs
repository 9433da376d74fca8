//! Diagnostics: the errors and warnings about a configuration, each with file, line and key. They are collected while a file is
//! read, so that all errors are reported at once.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use super::text::TextError;

/// An error in a configuration, or a warning about something that is accepted but does not do what it seems to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file; `None` for something that was written on the command line.
    pub file: Option<PathBuf>,
    /// The line, from 1; `None` if no single line is at fault.
    pub line: Option<usize>,
    /// The character of the line, from 1, if known.
    pub column: Option<usize>,
    /// The key with everything above it (`services.echo.limits.call`); empty for the whole file.
    pub key: String,
    /// The fault, and the values that would be accepted.
    pub message: String,
    /// The file that would mend it by coming, or by becoming whole.
    pub awaited: Option<PathBuf>,
}

impl fmt::Display for Diagnostic {
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

/// Everything that is wrong with a configuration, one error a line. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", join_lines(.0))]
pub struct ConfigError(pub Vec<Diagnostic>);

impl ConfigError {
    /// The files whose coming, or becoming whole, may mend it.
    pub fn awaited_files(&self) -> Vec<PathBuf> {
        self.0
            .iter()
            .filter_map(|diagnostic| diagnostic.awaited.clone())
            .collect()
    }
}

fn join_lines(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::to_string).collect();
    lines.join("\n")
}

/// The diagnostics about one file.
#[derive(Debug)]
pub(crate) struct Diagnostics {
    file: Option<PathBuf>,
    errors: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<Diagnostic>>,
}

impl Diagnostics {
    /// No diagnostics about `file` yet.
    pub(super) fn new(file: Option<&Path>) -> Self {
        Self {
            file: file.map(Path::to_owned),
            errors: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Notes an error at `line` (0: no line).
    pub(super) fn error(&self, line: usize, key: &str, message: impl Into<String>) {
        let diagnostic = self.diagnostic(line, key, message);
        self.errors.borrow_mut().push(diagnostic);
    }

    /// Notes an error at `line` that goes away when `file` comes or becomes whole.
    pub(super) fn error_until_file(
        &self,
        line: usize,
        key: &str,
        message: impl Into<String>,
        file: PathBuf,
    ) {
        let diagnostic = Diagnostic {
            awaited: Some(file),
            ..self.diagnostic(line, key, message)
        };
        self.errors.borrow_mut().push(diagnostic);
    }

    /// Notes that the file is not text.
    pub(super) fn not_text(&self, error: &TextError) {
        let position = error.position();
        let line = position.map_or(0, |position| position.line);
        let diagnostic = Diagnostic {
            column: position.map(|position| position.column),
            ..self.diagnostic(line, "", error.to_string())
        };
        self.errors.borrow_mut().push(diagnostic);
    }

    /// Notes an error that no line of the file causes, but the command line.
    pub(super) fn command_line_error(&self, message: impl Into<String>) {
        let diagnostic = Diagnostic {
            file: None,
            ..self.diagnostic(0, "", message)
        };
        self.errors.borrow_mut().push(diagnostic);
    }

    /// Notes something that is accepted but may surprise.
    pub(super) fn warning(&self, line: usize, key: &str, message: impl Into<String>) {
        let diagnostic = self.diagnostic(line, key, message);
        self.warnings.borrow_mut().push(diagnostic);
    }

    /// The number of errors.
    pub(super) fn error_count(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Takes back the errors from the one numbered `first` on, if all of them wait for files.
    pub(super) fn take_awaiting(&self, first: usize) -> Vec<Diagnostic> {
        let mut errors = self.errors.borrow_mut();
        let all_wait = errors.len() > first
            && errors[first..]
                .iter()
                .all(|diagnostic| diagnostic.awaited.is_some());

        if all_wait {
            errors.split_off(first)
        } else {
            Vec::new()
        }
    }

    /// Notes errors that were taken back.
    pub(super) fn put_back(&self, errors: Vec<Diagnostic>) {
        self.errors.borrow_mut().extend(errors);
    }

    /// The warnings in the order of the lines, or all errors.
    pub(crate) fn finish(self) -> Result<Vec<Diagnostic>, ConfigError> {
        let mut errors = self.errors.into_inner();
        if !errors.is_empty() {
            errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
            return Err(ConfigError(errors));
        }

        let mut warnings = self.warnings.into_inner();
        warnings.sort_by_key(|warning| warning.line.unwrap_or(usize::MAX));
        Ok(warnings)
    }

    /// Turns the collected errors into a [`ConfigError`].
    pub(crate) fn into_error(self) -> ConfigError {
        ConfigError(self.errors.into_inner())
    }

    fn diagnostic(&self, line: usize, key: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            file: self.file.clone(),
            line: (line > 0).then_some(line),
            column: None,
            key: key.to_owned(),
            message: message.into(),
            awaited: None,
        }
    }
}

//! Cases and their outcomes.

use std::time::{Duration, Instant};

/// One case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name, as the end of a sentence about the component.
    pub name: String,
    /// The time that it took.
    pub time: Duration,
    /// The failure, as lines of text; `None`: the case passed.
    pub failure: Option<String>,
    /// Remarks for the reader, a line each.
    pub notes: Vec<String>,
}

impl Case {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

/// The cases of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// The file.
    pub name: String,
    /// Its cases.
    pub cases: Vec<Case>,
}

impl Suite {
    /// A suite without cases.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cases: Vec::new(),
        }
    }

    /// Adds a case that began at `began` and passed, or failed with this text.
    pub fn add(&mut self, name: impl Into<String>, began: Instant, outcome: Result<(), String>) {
        self.cases.push(Case {
            name: name.into(),
            time: began.elapsed(),
            failure: outcome.err(),
            notes: Vec::new(),
        });
    }
}

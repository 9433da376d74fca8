//! Reasons to refuse a new configuration, and the files whose change may fix it.

use std::path::PathBuf;

use tracing::error;

use crate::config::ConfigError;
use crate::session::transport;
use crate::supervisor::reload::Refusal;
use crate::topic::TopicError;

/// Reason why a new configuration is not put in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// It has errors.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// It changes settings that are fixed while the host runs.
    #[error("{} cannot change while the host runs: start it again for that", .0.join(", "))]
    Restart(Vec<String>),
    /// Its connection settings cannot be used.
    #[error("the connection's settings cannot be used: {0}")]
    Connection(transport::TransportError, Vec<PathBuf>),
    /// A service does not run with it.
    #[error("{0}")]
    Service(Box<Refusal>),
    /// A base topic is too long.
    #[error("services.{0}: {1}")]
    Base(String, TopicError),
    /// A fault in the host itself.
    #[error("reading the configuration failed in the host, which is a bug: {0}")]
    Bug(#[from] tokio::task::JoinError),
}

impl ReloadError {
    /// Files that may fix it when they appear or change.
    pub(crate) fn awaited_files(&self) -> Vec<PathBuf> {
        match self {
            Self::Config(error) => error.awaited_files(),
            Self::Connection(_, files) => files.clone(),
            Self::Service(refusal) => refusal.awaited_files().to_vec(),
            Self::Restart(_) | Self::Base(..) | Self::Bug(_) => Vec::new(),
        }
    }

    /// Describes the errors, one on each line, and the outcome.
    pub(crate) fn lines(&self) -> String {
        let outcome = "the new configuration is refused, the running one stays";
        let outcome = match self {
            Self::Config(error) => format!("{error}\n{outcome}"),
            refused => format!("{outcome}: {refused}"),
        };
        match &self.awaited_files()[..] {
            [] => outcome,
            [file, ..] => format!(
                "{outcome}; it is read again when {} changes",
                file.display()
            ),
        }
    }
}

/// Logs a refusal, line by line.
pub(crate) fn say_refused(refusal: &str) {
    refusal.lines().for_each(|line| error!("{line}"));
}

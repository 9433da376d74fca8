//! Errors of the commands of an operator.

use crate::guest::Fault;
use crate::rollout::first_version::FallbackError;
use crate::rollout::history::FindError;
use crate::topic::TopicError;
use crate::version::Version;

/// A command cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such service.
    #[error("there is no service {service:?}; there are {known}")]
    UnknownService {
        /// The name that was issued.
        service: String,
        /// The names of the services.
        known: String,
    },
    /// No former version can be chosen.
    #[error(transparent)]
    Version(#[from] FindError),
    /// The former version cannot be loaded.
    #[error(transparent)]
    Load(#[from] FallbackError),
    /// The former version does not start.
    #[error("version {} does not start: {fault}", version.short())]
    Start {
        /// The version.
        version: Version,
        /// The fault of its guest.
        fault: Fault,
    },
    /// The service has no topic that switches it on and off.
    #[error("has no topic `enabled`: {0}")]
    Topic(#[from] TopicError),
    /// A restart without a component.
    #[error("has no component that could run: it is being compiled, or was refused (see the log)")]
    NoComponent,
    /// The instance does not run after a restart.
    #[error("does not start, and is tried again: {0}")]
    Restart(Fault),
    /// A new section of the configuration came in between.
    #[error("its configuration has changed meanwhile; try again")]
    Reconfigured,
    /// The running instance cannot save what a recording begins with.
    #[error("cannot save its state for the recording: {0}")]
    Save(String),
    /// Somebody else records the service.
    #[error("is being recorded already")]
    Recorded,
    /// No instance runs that could be recorded.
    #[error("does not run; --restart records from its next start on")]
    NotRunning,
    /// The service has ended.
    #[error("the service has ended")]
    Ended,
    /// The service was removed from the configuration in between.
    #[error("it is no longer configured")]
    Removed,
}

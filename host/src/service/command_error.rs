//! Errors of the commands of an operator.

use std::path::PathBuf;

use crate::guest::Fault;
use crate::rollout::first_version::FallbackError;
use crate::rollout::history::FindError;
use crate::rollout::loader::LoadError;
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
    /// The version cannot be loaded.
    #[error(transparent)]
    Component(#[from] LoadError),
    /// The version runs already.
    #[error("version {} runs already", .0.short())]
    Running(Version),
    /// The component file has no other version.
    #[error("nothing to update: version {} runs, and its component file has no other that can run", .0.short())]
    UpToDate(Version),
    /// The version of the component file runs as a shadow.
    #[error("version {} runs as a shadow, and takes over at the end of swap.shadow", .0.short())]
    InShadow(Version),
    /// The version was rolled back.
    #[error("version {} was rolled back, and does not run again until the file has other bytes, or the command update says so", .0.short())]
    RolledBack(Version),
    /// The version does not take over.
    #[error("version {} does not take over, the running version stays: {reason}", version.short())]
    NotSwapped {
        /// The version.
        version: Version,
        /// The reason.
        reason: String,
    },
    /// Another deployment replaces the component file.
    #[error("another deployment to {} is under way", .0.display())]
    Deploying(PathBuf),
    /// Several services use the component file.
    #[error(
        "{} is also the component of {others}: give each service a file of its own, or replace the file by hand", file.display()
    )]
    SharedFile {
        /// The file.
        file: PathBuf,
        /// The other services.
        others: String,
    },
    /// The version does not start.
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
    /// No instance runs that a shadow could be compared with.
    #[error("does not run, so there is nothing to compare a shadow with")]
    NothingToCompare,
    /// No version runs as a shadow.
    #[error("no version runs as its shadow")]
    NoShadow,
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

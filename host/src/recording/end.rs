//! The end of a recording: the reason, and whether it is the one that was asked for.

use serde::{Deserialize, Serialize};

/// Reason why a recording has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It was stopped.
    #[error("it was stopped")]
    Stopped,
    /// It has as many calls as were asked for.
    #[error("it has as many calls as were asked for")]
    Count,
    /// It holds one dead letter, and that is all.
    #[error("it holds one dead letter")]
    DeadLetter,
    /// It has the size that `--size` allows.
    #[error("it has the size that --size allows")]
    Size,
    /// Calls came faster than they were written, so later ones are missing.
    #[error("calls came faster than they could be written; the calls from here on are missing")]
    TooSlow,
    /// A call read clocks and random numbers more often than a recording holds.
    #[error("a call read more of clocks, random numbers and answers than a recording holds")]
    TooManyInputs,
    /// Another version, or another instance with another configuration, has taken over.
    #[error("another version or another configuration of the service has taken over")]
    Replaced,
    /// A call succeeded, and its changes of the state could not be written.
    #[error("the state of the service could not be written")]
    State,
    /// A call ended by a fault of the host.
    #[error("a call ended by a fault of the host")]
    HostFault,
    /// The service or the host has ended.
    #[error("the service has ended")]
    ServiceEnded,
}

impl End {
    /// Whether the recording holds everything that was asked for.
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::Stopped | Self::Count | Self::DeadLetter)
    }
}

//! The error that ends a guest call whose call over the network failed.

use crate::topic::Topic;
use crate::typed::answer::CallError;

/// A call over the network that failed, of a function that cannot return an error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{topic}: {error}")]
pub(super) struct RemoteCallFailed {
    pub(super) topic: Topic,
    pub(super) error: CallError,
}

//! Suspects, and the decisions about them.

use crate::topic::Filter;

/// A packet, or a filter in one, for which the broker may end the connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Suspect {
    /// The message with this serial number.
    Message(u64),
    /// A filter in a SUBSCRIBE.
    Subscribe(Filter),
    /// A filter in an UNSUBSCRIBE.
    Unsubscribe(Filter),
}

/// A decision about a suspect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Do not send it until more is known.
    Hold(Suspect),
    /// Do not send it any more.
    Quarantine(Suspect),
    /// Send it as usual: it is not to blame.
    Release(Suspect),
}

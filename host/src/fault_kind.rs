//! Kinds of faults of a service: one name for each limit and each way to fail, the same in the log, in statistics and in
//! `miqro.yml`.

use std::fmt;

use serde::{Serialize, Serializer};

/// A kind of fault of a service, or a limit that it exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// More linear memory than `limits.memory`.
    Memory,
    /// More table elements than `limits.table`.
    Table,
    /// More core instances, tables or memories than `limits.instances`.
    Instances,
    /// Calls nested too deeply.
    Stack,
    /// A call longer than `limits.call`.
    Call,
    /// A trap for any other reason.
    Trap,
    /// An error that the guest itself returned.
    Refused,
    /// The host could not make an instance.
    Instantiation,
    /// Access that was not granted, or to something granted that does not exist.
    Grants,
    /// State that could not be written to disk.
    Store,
    /// A bug in the host.
    Bug,
    /// More messages published in a call than `limits.publishes`.
    Publishes,
    /// More bytes published in a call than `limits.publish_bytes`.
    PublishBytes,
    /// A payload larger than `limits.payload`.
    Payload,
    /// More subscriptions than `limits.subscriptions`.
    Subscriptions,
    /// More timers than `limits.timers`.
    Timers,
    /// More changes of subscriptions and timers in a call than `limits.changes`.
    Changes,
    /// More state than `limits.state`.
    State,
    /// More values in the state than `limits.state_keys`.
    StateKeys,
    /// More log lines in a call than `limits.log_lines`.
    LogLines,
    /// More messages in a second than `limits.publish_rate`.
    PublishRate,
    /// More bytes published in a second than `limits.payload_rate`.
    PayloadRate,
    /// More log lines in a second than `limits.log_rate`.
    LogRate,
    /// More bytes of state written in a second than `limits.state_rate`.
    StateRate,
    /// More changes of subscriptions and timers in a second than `limits.change_rate`.
    ChangeRate,
    /// More messages waiting than `limits.mailbox`.
    Mailbox,
    /// More bytes waiting than `limits.mailbox_bytes`.
    MailboxBytes,
    /// More of `broker.outbox` than the service's share.
    Outbox,
    /// A start that failed.
    Start,
    /// A message to a typed interface that does not fit it, or a value that has no form as a payload.
    Malformed,
    /// A call of a typed interface whose caller waits no longer.
    Expired,
    /// A call over the network that failed, of a function that cannot return an error.
    RemoteCall,
}

impl FaultKind {
    /// The name in kebab-case, which is stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Table => "table",
            Self::Instances => "instances",
            Self::Stack => "stack",
            Self::Call => "call",
            Self::Trap => "trap",
            Self::Refused => "refused",
            Self::Instantiation => "instantiation",
            Self::Grants => "grants",
            Self::Store => "store",
            Self::Bug => "bug",
            Self::Publishes => "publishes",
            Self::PublishBytes => "publish-bytes",
            Self::Payload => "payload",
            Self::Subscriptions => "subscriptions",
            Self::Timers => "timers",
            Self::Changes => "changes",
            Self::State => "state",
            Self::StateKeys => "state-keys",
            Self::LogLines => "log-lines",
            Self::PublishRate => "publish-rate",
            Self::PayloadRate => "payload-rate",
            Self::LogRate => "log-rate",
            Self::StateRate => "state-rate",
            Self::ChangeRate => "change-rate",
            Self::Mailbox => "mailbox",
            Self::MailboxBytes => "mailbox-bytes",
            Self::Outbox => "outbox",
            Self::Start => "start",
            Self::Malformed => "malformed",
            Self::Expired => "expired",
            Self::RemoteCall => "remote-call",
        }
    }

    /// Whether the guest caused it by its requests or by the way it runs. Errors that it returns are not offences, nor is
    /// anything that depends on others: messages sent to it, or the state of the host.
    pub const fn is_offence(self) -> bool {
        !matches!(
            self,
            Self::Refused
                | Self::Instantiation
                | Self::Grants
                | Self::Store
                | Self::Bug
                | Self::Mailbox
                | Self::MailboxBytes
                | Self::Outbox
                | Self::Start
                | Self::Malformed
                | Self::Expired
                | Self::RemoteCall
        )
    }

    /// The host's reaction, as the end of a sentence; empty where the sentence already says it.
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::PublishRate | Self::PayloadRate | Self::StateRate | Self::ChangeRate => {
                "; the service has to wait before it is called again"
            }
            Self::Outbox => "; the service waits until the broker has taken some of its messages",
            Self::LogLines | Self::LogRate => "; these log lines are dropped",
            Self::Mailbox | Self::MailboxBytes => "; these messages are dropped",
            Self::Malformed => {
                "; these messages are answered with an error and do not reach the guest"
            }
            Self::Expired => "; these calls do not reach the guest",
            Self::Publishes
            | Self::PublishBytes
            | Self::Payload
            | Self::Subscriptions
            | Self::Timers
            | Self::Changes
            | Self::State
            | Self::StateKeys => "; the guest gets an error",
            _ => "",
        }
    }
}

impl Serialize for FaultKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

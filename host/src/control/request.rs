//! Requests to a running host.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Level;
use crate::message::Qos;

/// A request to a running host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Names of the services.
    Services {},
    /// Snapshot of the host and all services.
    Snapshot {},
    /// Process id, and problems of the host.
    Status {},
    /// The last log lines, and further ones as they are written.
    Logs {
        /// Name of a service whose lines are wanted; `None`: all lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// The lowest level that is wanted; `None`: all that are written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<Level>,
        /// Whether further lines are wanted.
        #[serde(default)]
        follow: bool,
        /// The number of a line; those up to it are not wanted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
    },
    /// Calls of services as they happen.
    Tail {
        /// Name of the service; `None`: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// Version history of a service.
    History {
        /// Name of the service.
        service: String,
    },
    /// Have a service take over the version that waits in its component file.
    Update {
        /// Name of the service.
        service: String,
    },
    /// Roll a service back to a former version.
    Rollback {
        /// Name of the service.
        service: String,
        /// Beginning of the version's hash; `None`: the previous version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Check a component for a service and keep it, so that `Deploy` and `StartShadow` can name it. Its bytes follow the request.
    Upload {
        /// Name of the service.
        service: String,
        /// Number of bytes that follow.
        bytes: u64,
        /// Its signature, as minisign writes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// Have an uploaded or kept version take over, and replace the component file of the service by it.
    Deploy {
        /// Name of the service.
        service: String,
        /// Beginning of the version's hash.
        version: String,
    },
    /// The version that runs as the shadow of a service, and its comparison with the running version.
    Shadow {
        /// Name of the service.
        service: String,
    },
    /// Have an uploaded or kept version handle copies of the messages of a service, without effects, until it is stopped.
    StartShadow {
        /// Name of the service.
        service: String,
        /// Beginning of the version's hash.
        version: String,
    },
    /// Stop the shadow of a service.
    StopShadow {
        /// Name of the service.
        service: String,
    },
    /// Section of a service in the effective configuration, without secrets.
    Section {
        /// Name of the service.
        service: String,
    },
    /// Stored state of a service.
    State {
        /// Name of the service.
        service: String,
    },
    /// Dead letters of a service.
    Letters {
        /// Name of the service.
        service: String,
    },
    /// Process the dead letters of a service again.
    Replay {
        /// Name of the service.
        service: String,
    },
    /// Delete a dead letter of a service.
    DeleteLetter {
        /// Name of the service.
        service: String,
        /// The identity of the letter, as `Letters` lists it.
        letter: String,
    },
    /// Record the calls of a service; the recording follows the reply. Through the socket only.
    Record {
        /// Name of the service.
        service: String,
        /// Whether the instance is restarted, so that the recording begins with its start.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restart: bool,
        /// Calls after which it ends; `None`: when the client ends its side of the connection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
    /// Make a recording of one dead letter, which follows the reply. Through the socket only.
    RecordLetter {
        /// Name of the service.
        service: String,
        /// The identity of the letter, as `Letters` lists it.
        letter: String,
    },
    /// Restart the instance of a service.
    Restart {
        /// Name of the service.
        service: String,
    },
    /// Switch a service on: it gets messages.
    Enable {
        /// Name of the service.
        service: String,
    },
    /// Switch a service off: it gets no messages.
    Disable {
        /// Name of the service.
        service: String,
    },
    /// Set the level of log lines until the configuration changes.
    LogLevel {
        /// Name of a service whose lines it concerns; `None`: the host, and all services without a level of their own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// The level.
        level: Level,
    },
    /// Read the configuration again.
    Reload {},
    /// Publish a message.
    Publish {
        /// The topic.
        topic: String,
        /// The payload, as text.
        #[serde(default)]
        payload: String,
        /// The quality of service.
        #[serde(default)]
        qos: Qos,
        /// Whether the broker retains it.
        #[serde(default)]
        retain: bool,
    },
}

impl Request {
    /// Whether its answer is a stream.
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Logs { .. } | Self::Tail { .. })
    }

    /// Whether its answer is a stream that never ends by itself.
    pub const fn is_endless(&self) -> bool {
        matches!(self, Self::Logs { follow: true, .. } | Self::Tail { .. })
    }

    /// Whether the reply is followed by a recording.
    pub const fn is_recording(&self) -> bool {
        matches!(self, Self::Record { .. } | Self::RecordLetter { .. })
    }

    /// Whether it changes something, or gives away payloads or state. All others only ask.
    pub fn is_change(&self) -> bool {
        match self {
            Self::Services {}
            | Self::Snapshot {}
            | Self::Status {}
            | Self::Logs { .. }
            | Self::Tail { .. }
            | Self::History { .. }
            | Self::Shadow { .. }
            | Self::Section { .. }
            | Self::Letters { .. } => false,
            Self::State { .. }
            | Self::Upload { .. }
            | Self::Deploy { .. }
            | Self::StartShadow { .. }
            | Self::StopShadow { .. }
            | Self::Update { .. }
            | Self::Rollback { .. }
            | Self::Replay { .. }
            | Self::DeleteLetter { .. }
            | Self::Record { .. }
            | Self::RecordLetter { .. }
            | Self::Restart { .. }
            | Self::Enable { .. }
            | Self::Disable { .. }
            | Self::LogLevel { .. }
            | Self::Reload {}
            | Self::Publish { .. } => true,
        }
    }
}

/// For log lines; without payloads.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Services {} => f.write_str("services"),
            Self::Snapshot {} => f.write_str("snapshot"),
            Self::Status {} => f.write_str("status"),
            Self::Reload {} => f.write_str("reload"),
            Self::Logs { .. } => f.write_str("logs"),
            Self::Tail { .. } => f.write_str("tail"),
            Self::History { service } => write!(f, "history of {service:?}"),
            Self::Section { service } => write!(f, "section of {service:?}"),
            Self::State { service } => write!(f, "state of {service:?}"),
            Self::Letters { service } => write!(f, "letters of {service:?}"),
            Self::Update { service } => write!(f, "update of {service:?}"),
            Self::Rollback { service, to: None } => write!(f, "rollback of {service:?}"),
            Self::Rollback {
                service,
                to: Some(to),
            } => write!(f, "rollback of {service:?} to {to:?}"),
            Self::Upload { service, bytes, .. } => {
                write!(f, "upload of {bytes} bytes for {service:?}")
            }
            Self::Deploy { service, version } => {
                write!(f, "deployment of version {version:?} to {service:?}")
            }
            Self::Shadow { service } => write!(f, "shadow of {service:?}"),
            Self::StartShadow { service, version } => {
                write!(
                    f,
                    "start of version {version:?} as the shadow of {service:?}"
                )
            }
            Self::StopShadow { service } => write!(f, "stop of the shadow of {service:?}"),
            Self::Replay { service } => write!(f, "replay of {service:?}"),
            Self::DeleteLetter { service, letter } => {
                write!(f, "deletion of dead letter {letter:?} of {service:?}")
            }
            Self::Record {
                service,
                restart: false,
                ..
            } => write!(f, "recording of {service:?}"),
            Self::Record { service, .. } => write!(f, "recording of {service:?} from a restart on"),
            Self::RecordLetter { service, letter } => {
                write!(f, "recording of dead letter {letter:?} of {service:?}")
            }
            Self::Restart { service } => write!(f, "restart of {service:?}"),
            Self::Enable { service } => write!(f, "enable of {service:?}"),
            Self::Disable { service } => write!(f, "disable of {service:?}"),
            Self::LogLevel {
                service: None,
                level,
            } => write!(f, "log level {level:?}"),
            Self::LogLevel {
                service: Some(service),
                level,
            } => write!(f, "log level {level:?} of {service:?}"),
            Self::Publish { topic, payload, .. } => {
                write!(f, "publish of {} bytes on {topic:?}", payload.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn payloads_are_not_logged() {
        let publish = r#"{"command":"publish","topic":"a/b","payload":"secret","qos":1}"#;
        let publish = serde_json::from_str::<Request>(publish).unwrap();
        assert_eq!(publish.to_string(), r#"publish of 6 bytes on "a/b""#);
        assert!(publish.is_change() && !Request::Snapshot {}.is_change());
    }

    #[test]
    fn requests_look_as_documented() {
        let request = Request::Rollback {
            service: "echo".to_owned(),
            to: None,
        };
        let text = r#"{"command":"rollback","service":"echo"}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        assert_eq!(
            serde_json::from_str::<Request>(r#"{"command":"services"}"#).unwrap(),
            Request::Services {}
        );
        let wrong = serde_json::from_str::<Request>(r#"{"command":"explode"}"#)
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains("rollback") && wrong.contains("history"),
            "{wrong}"
        );
    }
}

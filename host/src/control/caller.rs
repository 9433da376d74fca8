//! The client that sent a request.

use std::fmt;
use std::net::IpAddr;

use tokio::net::UnixStream;

/// The client that sent a request, as the audit log names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A process on this machine, through the control socket.
    Process {
        /// Number of its user; `None` if the system does not tell it.
        user: Option<u32>,
        /// Number of the process; `None` if the system does not tell it.
        process: Option<i32>,
    },
    /// A client of the HTTP server.
    Web {
        /// Name of its token; `None`: it sent none.
        name: Option<String>,
        /// Its address, or that of the proxy.
        address: IpAddr,
    },
    /// A client of the broker. MQTT does not tell who it is.
    Mqtt {
        /// The topic on which it asked to be answered.
        response_topic: Option<String>,
        /// Value by which it recognises the answer, as JSON.
        transaction: Option<String>,
    },
}

impl Caller {
    /// The process at the other end of a Unix socket.
    pub(super) fn of_socket(stream: &UnixStream) -> Self {
        let peer = stream.peer_cred().ok();
        Self::Process {
            user: peer.map(|peer| peer.uid()),
            process: peer.and_then(|peer| peer.pid()),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process {
                user: Some(user),
                process: Some(process),
            } => write!(f, "user {user} in process {process}"),
            Self::Process {
                user: Some(user), ..
            } => write!(f, "user {user}"),
            Self::Process { user: None, .. } => f.write_str("a process of this machine"),
            Self::Web {
                name: Some(name),
                address,
            } => write!(f, "{name:?} from {address}"),
            Self::Web {
                name: None,
                address,
            } => write!(f, "a client without a token from {address}"),
            Self::Mqtt {
                response_topic: Some(topic),
                ..
            } => write!(f, "an mqtt client with response topic {topic:?}"),
            Self::Mqtt {
                transaction: Some(transaction),
                ..
            } => write!(f, "an mqtt client with transaction {transaction}"),
            Self::Mqtt { .. } => f.write_str("an mqtt client"),
        }
    }
}

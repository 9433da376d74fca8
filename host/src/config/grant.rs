//! The things outside its base topic that a service may reach.

use std::fmt;
use std::path::PathBuf;

use crate::topic::Filter;

/// The things outside its base topic that a service may reach. Nothing by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Filters of topics that it may publish to.
    pub publish: Vec<Filter>,
    /// Filters that it may subscribe to.
    pub subscribe: Vec<Filter>,
    /// Directories that it sees.
    pub directories: Vec<Directory>,
    /// Hosts that it may send HTTP requests to.
    pub http: Vec<HttpGrant>,
    /// Addresses that it may connect and send to.
    pub sockets: Vec<SocketGrant>,
    /// Environment variables that it sees.
    pub environment: Vec<String>,
}

/// A directory of this machine that a service sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The path on this machine.
    pub path: PathBuf,
    /// The path under which the guest sees it.
    pub guest: String,
    /// Whether the guest may change what is in it.
    pub write: bool,
}

/// A host that a service may send HTTP requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// Name or address, in lower case.
    pub host: String,
    /// The only port; `None`: every one.
    pub port: Option<u16>,
}

/// An address that a service may connect to, or send datagrams to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketGrant {
    /// The protocol.
    pub protocol: SocketProtocol,
    /// Name or address, in lower case.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// The grants that a component may need: the import that uses one, the key below `grants`, and an example of its value.
pub const NEEDS: [(&str, &str, &str); 9] = [
    ("miqro:service/messaging", "publish", "[some/topic]"),
    ("miqro:service/messaging", "subscribe", "['some/#']"),
    ("wasmcloud:messaging/consumer", "publish", "[some/topic]"),
    ("wasi:messaging/producer", "publish", "[some/topic]"),
    ("fermyon:spin/mqtt", "publish", "[some/topic]"),
    (
        "wasi:filesystem",
        "directories",
        "[{path: /srv/data, guest: /data}]",
    ),
    ("wasi:http", "http", "[host.example]"),
    ("wasi:sockets", "sockets", "['tcp:host.example:502']"),
    ("wasi:cli/environment", "environment", "[NAME]"),
];

impl Grants {
    /// Whether there is anything below `key`.
    pub fn has(&self, key: &str) -> bool {
        match key {
            "publish" => !self.publish.is_empty(),
            "subscribe" => !self.subscribe.is_empty(),
            "directories" => !self.directories.is_empty(),
            "http" => !self.http.is_empty(),
            "sockets" => !self.sockets.is_empty(),
            "environment" => !self.environment.is_empty(),
            _ => false,
        }
    }
}

impl HttpGrant {
    /// Whether it is for this host and port.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port.is_none_or(|own| own == port)
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => f.write_str(&self.host),
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
        }
    }
}

impl fmt::Display for SocketProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for SocketGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            host,
            port,
        } = self;
        if host.contains(':') {
            write!(f, "{protocol}:[{host}]:{port}")
        } else {
            write!(f, "{protocol}:{host}:{port}")
        }
    }
}

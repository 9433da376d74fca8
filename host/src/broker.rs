//! The embedded broker, so that one command is enough to try a service. `mqtt5` is named in this
//! room only.
//!
//! Differences from mosquitto, as tried: it adds the user properties `x-mqtt-client-id` and, with
//! users, `x-mqtt-sender` to every message (there is no switch); it refuses client identifiers with
//! `/` or `\` or of more than 128 bytes (0x85); a client with keepalive 0 is disconnected after 300
//! s of silence.
#![expect(
    clippy::disallowed_methods,
    reason = "the embedded broker is a program of its own, with its own runtime"
)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::MqttError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::{Credentials, EmbeddedBroker};
use crate::secure_dir;

mod access_control;
mod client_queue;
mod client_stream;
mod frame;
mod full_clients;
mod refusals;
mod retained_usage;
mod server;

use access_control::Users;
use server::Server;

/// Time for which the broker continues after the order to stop: the last messages (the services' `online`) are still on their way
/// to the clients then, and the crate does not report their departure.
const STOP_DELAY: Duration = Duration::from_millis(100);

/// How many ports are tried, from the default one on, when it is in use.
const PORTS_TRIED: u16 = 100;

/// The reason why the embedded broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A public address without users.
    #[error(
        "the embedded broker does not listen on {0}, which others can reach, without users: set broker.embedded.users"
    )]
    Open(SocketAddr),
    /// A user who could not be told from anybody who knows the name.
    #[error("the embedded broker's user {0:?} has no password")]
    NoPassword(String),
    /// Another program listens there.
    #[error("the embedded broker cannot listen on {0}: the port is in use")]
    InUse(SocketAddr),
    /// The address cannot be listened on for another reason.
    #[error("the embedded broker cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The data directory cannot be made.
    #[error("the embedded broker's data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The broker itself refused to start, or ended.
    #[error("the embedded broker: {0}")]
    Broker(#[from] MqttError),
    /// The broker ended without being stopped.
    #[error("the embedded broker ended unexpectedly")]
    Ended,
}

/// The broker at work. It ends with `stop`, or with the runtime that `start` was called on.
pub struct BrokerHandle {
    address: SocketAddr,
    server: Arc<Server>,
    task: JoinHandle<Result<(), MqttError>>,
}

impl std::fmt::Debug for BrokerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerHandle")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl BrokerHandle {
    /// Returns its address: another one than configured if that port was in use (`listen_is_default`) or 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the broker ends without being stopped, which normally never happens. Can be dropped and called again.
    pub async fn wait_for_end(&mut self) -> BrokerError {
        outcome((&mut self.task).await)
            .err()
            .unwrap_or(BrokerError::Ended)
    }

    /// Stops it: clients get DISCONNECT 0x8B, sessions and queued messages reach the data directory.
    ///
    /// # Errors
    /// When the last writes failed, or the broker had ended before.
    pub async fn stop(self) -> Result<(), BrokerError> {
        tokio::time::sleep(STOP_DELAY).await;
        self.server.stop();
        outcome(self.task.await)
    }
}

fn outcome(
    ended: Result<Result<(), MqttError>, tokio::task::JoinError>,
) -> Result<(), BrokerError> {
    Ok(ended.map_err(|_| BrokerError::Ended)??)
}

/// The host's own session, which the limits for clients do not concern.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Its client identifier.
    pub client_id: &'a str,
    /// Its user, known besides those of the configuration when there are any.
    pub credentials: Option<&'a Credentials>,
    /// Bytes of the largest packet that it sends or expects.
    pub largest_packet: usize,
}

/// Starts the broker on the current runtime; it accepts clients when this returns.
///
/// # Errors
/// When it would be open to strangers, when the port is in use and was asked for, or when the data directory is not usable.
pub async fn start(
    config: &EmbeddedBroker,
    owner: Option<Owner<'_>>,
) -> Result<BrokerHandle, BrokerError> {
    if config.users.is_empty() && !config.listen.ip().is_loopback() {
        return Err(BrokerError::Open(config.listen));
    }
    let own_user = owner.and_then(|owner| owner.credentials);
    let users = if config.users.is_empty() {
        None
    } else {
        Some(Users::new(config.users.iter().chain(own_user))?)
    };
    if let Some(path) = &config.data_dir {
        secure_dir::create(path).map_err(|source| BrokerError::DataDir {
            path: path.display().to_string(),
            source,
        })?;
    }

    let listener = listen(config).await?;
    let address = listener
        .local_addr()
        .map_err(|source| BrokerError::Listen {
            address: config.listen,
            source,
        })?;
    let server = Server::open(config, users, owner).await?;
    let task = tokio::spawn(Arc::clone(&server).run(listener));
    Ok(BrokerHandle {
        address,
        server,
        task,
    })
}

/// Listens on the configured address, or with the default one on the next whose port is free.
async fn listen(config: &EmbeddedBroker) -> Result<TcpListener, BrokerError> {
    let tries = if config.listen_is_default {
        PORTS_TRIED
    } else {
        1
    };
    for offset in 0..tries {
        let address = SocketAddr::new(
            config.listen.ip(),
            config.listen.port().saturating_add(offset),
        );
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(BrokerError::Listen { address, source }),
        }
    }

    Err(BrokerError::InUse(config.listen))
}

//! Surface: the embedded broker, so that one command is enough to try a service. In: `config::EmbeddedBroker`, and the
//! credentials of the host's own session. Out: `Running`, which knows the address and can be stopped. Owns the broker's task and
//! its storage. The only file that names the crate `mqtt5`.
//!
//! What this broker does otherwise than mosquitto, as tried: it adds the user properties `x-mqtt-client-id` and, with users,
//! `x-mqtt-sender` to every message (there is no switch); it refuses client identifiers with `/` or `\` or of more than 128
//! bytes (0x85); a client with keepalive 0 is disconnected after 300 s of silence.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::MqttError;
use mqtt5::broker::{
    AuthProvider, AuthResult, BrokerConfig, BrokerShutdownHandle, MqttBroker, ResourceLimits, StorageBackendType,
    StorageConfig,
};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::{Credentials, EmbeddedBroker};
use crate::directory;

/// The largest packet that is accepted, in bytes. It is announced in CONNACK (MQTT 5, section 3.2.2.3.6).
const MAX_PACKET_BYTES: usize = 1 << 20;

/// QoS 1 and 2 messages kept for a client that is away or slow; beyond it the oldest are dropped.
const QUEUED_MESSAGES: usize = 10_000;

/// Bytes kept for a client that is away or slow; beyond it the oldest are dropped.
const QUEUED_BYTES: usize = 64 << 20;

/// How long the broker goes on after the order to stop: what was published last (the services' `online`) is still on its way to
/// the clients then, and the crate does not tell when it has left.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How many ports are tried, from the default one on, when it is in use.
const PORTS_TRIED: u16 = 100;

/// Why the embedded broker does not run.
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
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be made.
    #[error("the embedded broker's data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The broker itself refused to start, or ended.
    #[error("the embedded broker: {0}")]
    Broker(#[from] MqttError),
    /// The broker ended though nobody stopped it.
    #[error("the embedded broker ended unexpectedly")]
    Ended,
}

/// The broker at work. It ends with `stop`, or with the runtime that `start` was called on.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), MqttError>>,
}

/// The broker's switch, with a `Debug` that the foreign type does not have.
struct Shutdown(BrokerShutdownHandle);

impl std::fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shutdown")
    }
}

impl Running {
    /// Where it listens: not what was configured when that port was in use (`listen_is_default`) or 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the broker ends though nobody stopped it; for ever, as a rule. Can be dropped and called again.
    pub async fn ended(&mut self) -> BrokerError {
        outcome((&mut self.task).await).err().unwrap_or(BrokerError::Ended)
    }

    /// Stops it: clients get DISCONNECT 0x8B, sessions and queued messages reach the data directory. Takes at most some ten
    /// seconds, when clients do not read.
    ///
    /// # Errors
    /// When the last writes failed, or the broker had ended before.
    pub async fn stop(self) -> Result<(), BrokerError> {
        tokio::time::sleep(LAST_WORDS).await;
        self.shutdown.0.shutdown();
        outcome(self.task.await)
    }
}

fn outcome(ended: Result<Result<(), MqttError>, tokio::task::JoinError>) -> Result<(), BrokerError> {
    Ok(ended.map_err(|_| BrokerError::Ended)??)
}

/// Starts the broker on the current runtime; it accepts clients when this returns.
///
/// `extra_user` is who the host's own session connects as; it matters only when there are users.
///
/// # Errors
/// When it would be open to strangers, when the port is in use and was asked for, or when the data directory is not usable.
pub async fn start(config: &EmbeddedBroker, extra_user: Option<&Credentials>) -> Result<Running, BrokerError> {
    if config.users.is_empty() && !config.listen.ip().is_loopback() {
        return Err(BrokerError::Open(config.listen));
    }
    let users = if config.users.is_empty() { None } else { Some(Users::new(config.users.iter().chain(extra_user))?) };
    if let Some(path) = &config.data_dir {
        directory::make(path).map_err(|source| BrokerError::DataDir { path: path.display().to_string(), source })?;
    }
    let listen = free_address(config).await?;
    let mut broker = MqttBroker::with_config(settings(listen, config.data_dir.as_deref())).await?;
    if let Some(users) = users {
        broker = broker.with_auth_provider(Arc::new(users));
    }
    broker.resource_monitor().update_limits(no_limits());
    run(broker, listen).await
}

async fn run(mut broker: MqttBroker, listen: SocketAddr) -> Result<Running, BrokerError> {
    let address = broker.local_addr().unwrap_or(listen);
    let shutdown = Shutdown(broker.shutdown_handle());
    let mut accepting = broker.ready_receiver();
    let task = tokio::spawn(async move {
        let outcome = broker.run().await;
        // The broker writes its queues when it is told to stop, before its clients have handed back what they had not
        // acknowledged: only this second time has everything.
        match broker.storage() {
            Some(storage) => outcome.and(storage.shutdown().await),
            None => outcome,
        }
    });
    let ready = accepting.wait_for(|ready| *ready).await.is_ok();
    if !ready {
        outcome(task.await)?;
        return Err(BrokerError::Ended);
    }
    Ok(Running { address, shutdown, task })
}

/// The configured address, or with the default one the next whose port is free. The broker's own error does not tell a port in
/// use from other faults, so the address is tried here first.
async fn free_address(config: &EmbeddedBroker) -> Result<SocketAddr, BrokerError> {
    let tries = if config.listen_is_default { PORTS_TRIED } else { 1 };
    for offset in 0..tries {
        let address = SocketAddr::new(config.listen.ip(), config.listen.port().saturating_add(offset));
        match TcpListener::bind(address).await {
            Ok(_) => return Ok(address),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(BrokerError::Listen { address, source }),
        }
    }
    Err(BrokerError::InUse(config.listen))
}

fn settings(listen: SocketAddr, data_dir: Option<&Path>) -> BrokerConfig {
    let storage = StorageConfig::new()
        .with_backend(if data_dir.is_some() { StorageBackendType::File } else { StorageBackendType::Memory })
        .with_base_dir(data_dir.map(Path::to_path_buf).unwrap_or_default())
        .with_max_queued_messages_per_client(QUEUED_MESSAGES)
        .with_max_queued_bytes_per_client(QUEUED_BYTES);
    // Who may connect is decided by `Users`: the crate's own providers hash a password for some 20 ms on the thread that
    // serves clients, and lock out an address, the host's own included, after five wrong passwords.
    let mut settings = BrokerConfig::new().with_bind_address(listen).with_max_packet_size(MAX_PACKET_BYTES);
    settings.max_clients = usize::MAX;
    settings.storage_config = storage;
    settings.sys_topics_enabled = false;
    settings
}

/// The crate's defaults allow 10,000 connections from one address; a host with as many services has more.
fn no_limits() -> ResourceLimits {
    ResourceLimits {
        max_connections: usize::MAX,
        max_connections_per_ip: usize::MAX,
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        max_connection_rate: u32::MAX,
        rate_limit_window: Duration::from_millis(1),
    }
}

/// Who may connect. Passwords are kept as digests, so that comparing them takes no longer for a better guess.
struct Users(HashMap<String, [u8; 32]>);

impl Users {
    fn new<'a>(users: impl Iterator<Item = &'a Credentials>) -> Result<Self, BrokerError> {
        let digest = |user: &Credentials| match &user.password {
            Some(password) => Ok((user.username.clone(), Sha256::digest(password).into())),
            None => Err(BrokerError::NoPassword(user.username.clone())),
        };
        users.map(digest).collect::<Result<_, _>>().map(Self)
    }

    fn knows(&self, connect: &ConnectPacket) -> Option<&str> {
        let (name, password) = connect.username.as_deref().zip(connect.password.as_deref())?;
        let (name, expected) = self.0.get_key_value(name)?;
        (Sha256::digest(password)[..] == expected[..]).then_some(name)
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Users {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        from: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        let result = match self.knows(connect) {
            // With the name the broker lets nobody else take over the session of this client id.
            Some(name) => AuthResult::success_with_user(name),
            None => {
                let user = connect.username.as_deref().unwrap_or("");
                tracing::warn!(client = connect.client_id, user, %from, "the embedded broker refused a client: user name or password");
                AuthResult::fail(ReasonCode::BadUsernameOrPassword)
            }
        };
        Box::pin(ready(Ok(result)))
    }

    fn authorize_publish<'a>(&'a self, _: &str, _: Option<&'a str>, _: &'a str) -> Answer<'a, bool> {
        Box::pin(ready(true))
    }

    fn authorize_subscribe<'a>(&'a self, _: &str, _: Option<&'a str>, _: &'a str) -> Answer<'a, bool> {
        Box::pin(ready(true))
    }
}

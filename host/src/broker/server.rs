//! The embedded broker at work: the crate's router and handlers behind a listener of ours. Each
//! connection that sends CONNECT in time, and for which there is room, gets a handler.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt5::MqttError;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, FileBackend, MemoryBackend, QueueLimits};
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::{BrokerConfig, ResourceLimits, ResourceMonitor, StorageBackend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{interval, sleep, timeout};
use tracing::{debug, warn};

use crate::broker::Owner;
use crate::config::{BrokerLimits, EmbeddedBroker};

use super::access_control::{AccessControl, CLIENT, EventObserver, Users};
use super::client_stream::ClientStream;
use super::frame;
use super::full_clients::{CHANNEL, Client, FullClients};
use super::refusals::{Refusal, RefusalLog};
use super::retained_usage::RetainedUsage;

/// The largest packet that is accepted, in bytes. It is announced in CONNACK (MQTT 5, section 3.2.2.3.6).
const MAX_PACKET_BYTES: usize = 2 << 20;
/// The largest CONNECT, in bytes: a will, a user name and a password have 64 KiB each at most.
const CONNECT_BYTES: usize = 256 << 10;
/// How many messages of QoS 1 and 2 a client has unacknowledged at most.
const WINDOW: u16 = 64;
/// Connections of this machine beyond `limits.connections`: the host's own must always find a place.
const OWN: usize = 100;
/// How often sessions that have expired are removed.
const SWEEP: Duration = Duration::from_secs(60);
/// How often messages that have expired are removed, which looks at all files.
const CLEANUP: Duration = Duration::from_secs(3600);
/// How long clients may take to be told of the end.
const DRAIN: Duration = Duration::from_secs(5);
/// The wait after a connection that the system could not take.
const PAUSE: Duration = Duration::from_millis(100);

/// State that all connections share.
pub(super) struct Server {
    config: Arc<BrokerConfig>,
    limits: Arc<BrokerLimits>,
    router: Arc<MessageRouter>,
    storage: Arc<DynamicStorage>,
    access_control: Arc<AccessControl>,
    monitor: Arc<ResourceMonitor>,
    stats: Arc<BrokerStats>,
    full_clients: Arc<FullClients>,
    retained: Arc<Mutex<RetainedUsage>>,
    refusals: Arc<RefusalLog>,
    connections: Connections,
    stop: broadcast::Sender<()>,
}

/// Connections at this time.
#[derive(Default)]
struct Connections {
    /// Number of those that have said CONNECT.
    open: AtomicUsize,
    /// Those that have not, the oldest first: the end of one is the loss of its sender.
    pending: Mutex<VecDeque<oneshot::Sender<()>>>,
}

/// One counted connection.
struct ConnectionPermit<'a>(&'a AtomicUsize);

impl<'a> ConnectionPermit<'a> {
    fn new(of: &'a AtomicUsize, most: usize) -> Option<Self> {
        let more = |count| (count < most).then_some(count + 1);
        of.fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()
            .map(|_| Self(of))
    }
}

impl Drop for ConnectionPermit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Server {
    /// Reads what is kept in the data directory.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(super) async fn open(
        config: &EmbeddedBroker,
        users: Option<Users>,
        owner: Option<Owner<'_>>,
    ) -> Result<Arc<Self>, MqttError> {
        let largest_packet = owner.map_or(0, |owner| owner.largest_packet);
        let limits = Arc::new(config.limits.clone());
        let refusals = Arc::new(RefusalLog::default());
        let storage = Arc::new(open_storage(config).await?);
        let full_clients = Arc::<FullClients>::default();
        let retained = Arc::<Mutex<RetainedUsage>>::default();
        let observer = Arc::new(EventObserver {
            limits: Arc::clone(&limits),
            router: OnceLock::new(),
            full_clients: Arc::clone(&full_clients),
            retained: Arc::clone(&retained),
        });

        let router =
            MessageRouter::with_storage(Arc::clone(&storage)).with_event_handler(observer.clone());
        let router = Arc::new(router);
        router.recover_sessions(u32::MAX).await?;
        storage.cleanup_expired().await?;
        router.initialize().await?;
        observer.start(&router, &storage).await?;

        let access_control = AccessControl {
            users,
            owner: owner.map(|owner| owner.client_id.to_owned()),
            router: router.clone(),
            limits: limits.clone(),
            storage: storage.clone(),
            refusals: refusals.clone(),
        };

        let largest_packet = largest_packet.max(MAX_PACKET_BYTES);
        let mut settings = BrokerConfig::new().with_max_packet_size(largest_packet);
        settings.client_channel_capacity = CHANNEL;
        settings.max_outbound_inflight = WINDOW;
        settings.event_handler = Some(observer);

        Ok(Arc::new(Self {
            config: Arc::new(settings),
            limits,
            router,
            storage,
            access_control: Arc::new(access_control),
            monitor: Arc::new(ResourceMonitor::new(no_limits())),
            stats: Arc::new(BrokerStats::new()),
            full_clients,
            retained,
            refusals,
            connections: Connections::default(),
            stop: broadcast::Sender::new(1),
        }))
    }

    /// Has `run` end.
    pub(super) fn stop(&self) {
        // an error means that nobody is left to be told
        let _ = self.stop.send(());
    }

    /// Serves until it is stopped; then clients are told, and everything is on disk.
    ///
    /// # Errors
    /// When the last writes fail.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener) -> Result<(), MqttError> {
        let mut stopped = self.stop.subscribe();
        let (connection, mut closed) = mpsc::channel(1);
        let mut sweep = interval(SWEEP);
        let mut cleanup = interval(CLEANUP);
        let refusals = Arc::clone(&self.refusals);
        let mut summary = std::pin::pin!(async move { refusals.run().await });
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((tcp, from)) => self.accept(tcp, from, connection.clone()),
                    Err(error) => {
                        self.refusals.record(Refusal::Accept, || error.to_string());
                        sleep(PAUSE).await;
                    }
                },
                _ = cleanup.tick() => self.clean_up().await,
                _ = sweep.tick() => self.router.sweep_sessions().await,
                () = &mut summary => {}
                _ = stopped.recv() => break,
            }
        }

        drop((listener, connection));
        if timeout(DRAIN, closed.recv()).await.is_err() {
            warn!("the embedded broker has not told all clients of its end");
        }
        self.storage.shutdown().await
    }

    async fn clean_up(&self) {
        if let Err(error) = self.storage.cleanup_expired().await {
            warn!("the embedded broker cannot remove what has expired: {error}");
        }
        self.monitor.cleanup_expired_windows().await;
    }

    fn accept(self: &Arc<Self>, tcp: TcpStream, from: SocketAddr, open: mpsc::Sender<()>) {
        let server = Arc::clone(self);
        let mut stopped = self.stop.subscribe();
        let mut displaced = self.add_pending();
        tokio::spawn(async move {
            // held until the connection has ended
            let _open = open;
            let first = tokio::select! {
                first = server.connect_packet(tcp, from) => first,
                _ = &mut displaced => {
                    server.refusals.record(Refusal::Pending, || from.to_string());
                    None
                }
                _ = stopped.recv() => None,
            };

            drop(displaced);
            if let Some((tcp, connect, first)) = first {
                server.serve(tcp, from, &connect, first).await;
            }
        });
    }

    /// Adds a connection that has not said CONNECT. When there are too many, the oldest makes room: silent clients must not
    /// keep out others.
    fn add_pending(&self) -> oneshot::Receiver<()> {
        let (sender, displaced) = oneshot::channel();
        let pending = self.connections.pending.lock();
        let mut pending = pending.unwrap_or_else(PoisonError::into_inner);
        if pending.len() >= self.limits.pending {
            pending.retain(|sender| !sender.is_closed());
        }
        if pending.len() >= self.limits.pending {
            pending.pop_front();
        }
        pending.push_back(sender);
        displaced
    }

    /// Reads CONNECT: a connection that is silent, or says something else, costs no more than this.
    async fn connect_packet(
        &self,
        mut tcp: TcpStream,
        from: SocketAddr,
    ) -> Option<(TcpStream, frame::Connect, Bytes)> {
        let mut bytes = BytesMut::new();
        let reading = async {
            loop {
                match frame::connect(&bytes, CONNECT_BYTES) {
                    Ok(Some(connect)) => return Ok(connect),
                    Ok(None) => {}
                    Err(frame::MalformedFrame) => return Err(Refusal::Foreign),
                }
                bytes.reserve(1024);
                if !matches!(tcp.read_buf(&mut bytes).await, Ok(1..)) {
                    return Err(Refusal::Silent);
                }
            }
        };

        match timeout(self.limits.connect_timeout, reading)
            .await
            .unwrap_or(Err(Refusal::Silent))
        {
            Ok(connect) => Some((tcp, connect, bytes.freeze())),
            Err(refused) => {
                self.refusals.record(refused, || from.to_string());
                None
            }
        }
    }

    async fn serve(
        &self,
        mut tcp: TcpStream,
        from: SocketAddr,
        connect: &frame::Connect,
        first: Bytes,
    ) {
        let own = if from.ip().is_loopback() { OWN } else { 0 };
        let Some(_permit) = ConnectionPermit::new(
            &self.connections.open,
            self.limits.connections.saturating_add(own),
        ) else {
            self.refusals
                .record(Refusal::Connections, || from.to_string());
            // an error means that the client has gone already
            let _ = tcp.write_all(refusal_packet(connect)).await;
            return;
        };

        if let Err(error) = tcp.set_nodelay(true) {
            debug!("{from}: {error}");
        }
        let window = usize::from(connect.receive_maximum.clamp(1, WINDOW));
        let client = Client::new(
            Arc::clone(&self.limits),
            window,
            Arc::clone(&self.full_clients),
            Arc::clone(&self.retained),
        );

        let stream = ClientStream::new(tcp, first, Arc::clone(&client), Arc::clone(&self.refusals));
        let handler = ClientHandler::new(
            BrokerTransport::WebSocket(Box::new(stream)),
            from,
            Arc::clone(&self.config),
            Arc::clone(&self.router),
            self.access_control.clone(),
            Some(Arc::clone(&self.storage)),
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            self.stop.subscribe(),
        );

        match CLIENT.scope(Arc::clone(&client), handler.run()).await {
            Err(error) if !error.is_normal_disconnect() => {
                self.refusals.record(Refusal::Faults, || {
                    format!("{}, from {from}: {error}", client.name())
                });
            }
            _ => {}
        }
    }
}

/// Opens the storage of sessions and retained messages.
async fn open_storage(config: &EmbeddedBroker) -> Result<DynamicStorage, MqttError> {
    let limits = QueueLimits {
        max_messages: config.limits.queue.messages,
        max_bytes: config.limits.queue.bytes,
    };
    Ok(match &config.data_dir {
        Some(path) => DynamicStorage::File(FileBackend::with_queue_limits(path, limits).await?),
        None => DynamicStorage::Memory(MemoryBackend::with_queue_limits(limits)),
    })
}

/// The CONNACK for a connection too many: quota exceeded; in 3.1.1: unavailable (section 3.2.2.3).
fn refusal_packet(connect: &frame::Connect) -> &'static [u8] {
    if connect.level < 5 {
        &[0x20, 2, 0, 3]
    } else {
        &[0x20, 3, 0, 0x97, 0]
    }
}

/// Bounds are ours; the crate's lock an address out, the host's own included.
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

//! A broker with an unknown rule: a proxy before a real broker that ends the connection for each
//! packet that breaks the rule.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// SUBSCRIBE, as the first byte of the packet says it.
pub(super) const SUBSCRIBE: u8 = 8;

/// A packet of a client.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    /// Its type (MQTT 5, section 2.1.2).
    pub kind: u8,
    /// The bytes after the fixed header.
    pub body: &'a [u8],
}

impl Packet<'_> {
    /// Whether `text` stands anywhere in it.
    pub(super) fn has(&self, text: &str) -> bool {
        self.body
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }
}

/// Between clients and a broker.
#[derive(Debug)]
pub(super) struct Censor {
    port: u16,
    ended: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Censor {
    /// Before the broker on `port` of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn before(
        broker: u16,
        forbids: impl Fn(&Packet<'_>) -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let ended = Arc::<AtomicUsize>::default();
        let forbids = Arc::new(forbids);
        let counter = Arc::clone(&ended);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let forbids = Arc::clone(&forbids);
                let counter = Arc::clone(&counter);
                connections.spawn(async move {
                    if connection(client, broker, &*forbids).await {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });

        Ok(Self {
            port,
            ended,
            _accepting: accepting,
        })
    }

    /// The port of the proxy.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections it has ended.
    pub(super) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Whether it was ended by the rule.
async fn connection(
    client: TcpStream,
    broker: u16,
    forbids: &(impl Fn(&Packet<'_>) -> bool + Sync),
) -> bool {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await else {
        return false;
    };
    // small packets are not to wait here
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    tokio::select! {
        ended = up(from_client, to_server, forbids) => ended,
        _ = tokio::io::copy(&mut from_server, &mut to_client) => false,
    }
}

async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    forbids: &(impl Fn(&Packet<'_>) -> bool + Sync),
) -> bool {
    let mut buffer = Vec::new();
    loop {
        while let Some((header, length)) = frame(&buffer) {
            if forbids(&Packet {
                kind: buffer[0] >> 4,
                body: &buffer[header..length],
            }) {
                return true;
            }

            if to.write_all(&buffer[..length]).await.is_err() {
                return false;
            }
            buffer.drain(..length);
        }

        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

/// The lengths of the fixed header and of the whole packet that `bytes` begin with, if it is complete (MQTT 5, section 1.5.5).
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    let mut header = 1;
    loop {
        let byte = usize::from(*bytes.get(header)?);
        length |= (byte & 0x7F) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            return (bytes.len() >= header + length).then_some((header, header + length));
        }
    }
}

//! A broker that delivers poison: a real one, with a proxy before it that puts further packets
//! between those of the broker, and counts their acknowledgements.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result};
use miqro_tests::Deadline;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The first packet identifier of poison: the broker does not come that far.
pub(super) const FIRST_ID: u16 = 60_000;
/// A round of poison comes after so many packets of the broker.
const PERIOD: usize = 25;

/// A broker that delivers poison with every connection, and again and again on it.
#[derive(Debug)]
pub(super) struct Injector {
    port: u16,
    seen: watch::Receiver<Seen>,
    _accepting: JoinSet<()>,
}

/// Counts of the host's packets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Connections of it that have subscribed.
    pub connections: usize,
    /// Rounds of poison that came on them.
    pub rounds: usize,
    /// Packets of poison that it has acknowledged to the end.
    pub acknowledged: usize,
}

impl Injector {
    /// Before the broker on `broker`, delivers `poison` after each first SUBACK and then with every 25th packet.
    pub(super) async fn to(broker: u16, poison: Vec<Vec<u8>>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (sender, seen) = watch::channel(Seen::default());
        let sender = Arc::new(sender);
        let poison = Arc::new(poison);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let poison = Arc::clone(&poison);
                let sender = Arc::clone(&sender);
                connections
                    .spawn(async move { connection(client, broker, &poison, &sender).await.ok() });
            }
        });

        Ok(Self {
            port,
            seen,
            _accepting: accepting,
        })
    }

    /// The port for the host.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until the host has done so much.
    pub(super) async fn wait(&mut self, what: &str, done: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let seen = Deadline::new()
            .wait(what, self.seen.wait_for(|seen| done(seen)))
            .await?;
        seen.map(|seen| *seen).context("the proxy has ended")
    }
}

async fn connection(
    client: TcpStream,
    broker: u16,
    poison: &[Vec<u8>],
    seen: &watch::Sender<Seen>,
) -> Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (replies, replied) = mpsc::channel(64);
    tokio::select! {
        ended = up(from_client, to_server, replies, seen) => ended,
        ended = down(from_server, to_client, replied, poison, seen) => ended,
    }
}

/// From the host to the broker, save what answers poison.
async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    replies: mpsc::Sender<u16>,
    seen: &watch::Sender<Seen>,
) -> Result<()> {
    loop {
        let packet = packet(&mut from).await?;
        let id = match packet[..] {
            [0x40 | 0x50 | 0x70, _, high, low, ..] => u16::from_be_bytes([high, low]),
            _ => 0,
        };
        match packet[0] {
            _ if id < FIRST_ID => to.write_all(&packet).await?,
            0x50 => replies.send(id).await?,
            _ => seen.send_modify(|seen| seen.acknowledged += 1),
        }
    }
}

/// From the broker to the host, with the poison.
async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut replied: mpsc::Receiver<u16>,
    poison: &[Vec<u8>],
    seen: &watch::Sender<Seen>,
) -> Result<()> {
    let (packets_sent, mut packets) = mpsc::channel(64);
    let reading = async move {
        loop {
            packets_sent.send(packet(&mut from).await?).await?;
        }
    };
    let writing = async move {
        let mut count = 0;
        loop {
            tokio::select! {
                packet = packets.recv() => {
                    let Some(packet) = packet else { return Ok(()) };
                    to.write_all(&packet).await?;
                    let first = count == 0 && packet[0] == 0x90;
                    seen.send_modify(|seen| seen.connections += usize::from(first));
                    count += usize::from(first || count > 0);
                    if first || (count > 0 && count % PERIOD == 0) {
                        to.write_all(&poison.concat()).await?;
                        seen.send_modify(|seen| seen.rounds += 1);
                    }
                }
                Some(id) = replied.recv() => {
                    let [high, low] = id.to_be_bytes();
                    to.write_all(&[0x62, 2, high, low]).await?;
                }
            }
        }
    };

    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}

/// The next packet, whole.
async fn packet(from: &mut OwnedReadHalf) -> Result<Vec<u8>> {
    let mut packet = vec![from.read_u8().await?];
    let mut remaining = 0;
    let mut place = 0;
    loop {
        let byte = from.read_u8().await?;
        packet.push(byte);
        remaining |= usize::from(byte & 127) << (7 * place);
        place += 1;
        if byte < 128 {
            break;
        }
    }

    let start = packet.len();
    packet.resize(start + remaining, 0);
    from.read_exact(&mut packet[start..]).await?;
    Ok(packet)
}

//! The bytes between the broker and one client: a transport for the broker that takes every packet
//! at once, so that nothing waits in the broker, where it has no bound, and that writes packets in
//! batches.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use mqtt5::broker::transport::WebSocketTransport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::config::WhenClientFull;

use super::client_queue::{BATCH_PACKETS, ClientQueue, PushResult};
use super::frame::{ClientEvent, OutboundPacket, Scanner, classify_outbound};
use super::full_clients::Client;
use super::refusals::{Refusal, RefusalLog};

/// How long a client for which messages of QoS 1 or 2 wait may read nothing.
const STALLED: Duration = Duration::from_secs(10);
/// Limit of all clients together, as a multiple of the limit of one.
const TOTAL_FACTOR: usize = 4;

/// A client's connection.
pub(super) struct ClientStream {
    tcp: TcpStream,
    /// CONNECT, which was read already, and the bytes after it.
    first: Bytes,
    scanner: Scanner,
    queue: ClientQueue,
    /// When the client has read nothing for too long.
    stalled: Option<Pin<Box<Sleep>>>,
    client: Arc<Client>,
    refusals: Arc<RefusalLog>,
}

impl ClientStream {
    /// `first` was read from `tcp` already.
    pub(super) fn new(
        tcp: TcpStream,
        first: Bytes,
        client: Arc<Client>,
        refusals: Arc<RefusalLog>,
    ) -> Self {
        let queue = ClientQueue::new(client.limits.waiting, client.window);
        Self {
            tcp,
            first,
            scanner: Scanner::default(),
            queue,
            stalled: None,
            client,
            refusals,
        }
    }

    /// Writes what waits as far as the socket takes it.
    fn poll_backlog(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            match self.write_backlog() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_write_ready(context))?;
                }
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Writes what waits, and fails with `WouldBlock` where the socket takes no more.
    fn write_backlog(&mut self) -> Result<()> {
        let before = self.queue.bytes();
        let outcome = loop {
            if self.queue.is_empty() {
                break Ok(());
            }
            let mut slices = [IoSlice::new(&[]); BATCH_PACKETS];
            let batch = self.queue.next_batch(&mut slices);
            match self.tcp.try_write_vectored(batch) {
                Ok(count) => {
                    self.queue.advance(count);
                    self.stalled = None;
                }
                Err(error) => break Err(error),
            }
        };

        self.refusals.update_waiting(before, self.queue.bytes());
        outcome
    }

    /// Fails when the client has read nothing for too long.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Result<()> {
        if self.queue.is_empty()
            || self.client.limits.when_full == WhenClientFull::Drop
            || !self.queue.has_confirmed()
        {
            self.stalled = None;
            return Ok(());
        }

        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        if timer.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        self.refusals
            .record(Refusal::Stalled, || self.client.name());
        Err(Error::new(ErrorKind::TimedOut, "the client reads nothing"))
    }

    fn wait(&mut self, packet: &[u8], kind: OutboundPacket, written: usize) -> Result<()> {
        let before = self.queue.bytes();
        let scarce = self.refusals.waiting_bytes.load(Ordering::Relaxed)
            > TOTAL_FACTOR * self.client.limits.waiting.bytes;
        match self.queue.push(packet, kind, written, scarce) {
            PushResult::Queued => self.refusals.update_waiting(before, self.queue.bytes()),
            PushResult::Dropped => self.refusals.record(Refusal::Slow, || self.client.name()),
            PushResult::Overflow => {
                self.refusals
                    .record(Refusal::Stalled, || self.client.name());
                return Err(Error::new(
                    ErrorKind::TimedOut,
                    "the client reads none of its answers",
                ));
            }
        }

        Ok(())
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(Err(error)) = this.poll_backlog(context) {
            return Poll::Ready(Err(error));
        }
        this.poll_stalled(context)?;
        let before = buf.filled().len();
        if this.first.is_empty() {
            ready!(Pin::new(&mut this.tcp).poll_read(context, buf))?;
        } else {
            let part = this.first.len().min(buf.remaining());
            buf.put_slice(&this.first[..part]);
            this.first.advance(part);
        }

        let queue = &mut this.queue;
        let client = &this.client;
        let refusals = &this.refusals;
        this.scanner
            .feed(&buf.filled()[before..], |seen| match seen {
                ClientEvent::Acknowledged(id) => queue.on_acknowledged(id),
                // the broker answers these with nothing
                ClientEvent::Retained { topic, bytes } if client.exceeds_limit(topic, bytes) => {
                    refusals.record(Refusal::Quota, || client.name());
                }
                ClientEvent::Retained { .. } => {}
            });
        this.client.set_full(this.queue.is_full());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    /// Takes the whole packet: the broker writes one at a time. It leaves with the batch, which is written when it is full and
    /// before the broker reads, so before the task waits for the client.
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        packet: &[u8],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let kind = classify_outbound(packet);
        let mut written = 0;
        if !this.queue.fits_batch(packet.len())
            && let Poll::Ready(()) = this.poll_backlog(context)?
            && !this.queue.fits_batch(packet.len())
            && let Poll::Ready(count) = Pin::new(&mut this.tcp).poll_write(context, packet)?
        {
            written = count;
        }
        match kind {
            OutboundPacket::Acknowledged(_) => {
                this.queue.on_sent(kind);
                this.client.set_full(this.queue.is_full());
            }
            OutboundPacket::Refusal => this.refusals.record(Refusal::Quota, || this.client.name()),
            OutboundPacket::AtMostOnce | OutboundPacket::Other => {}
        }

        if written < packet.len() {
            this.wait(packet, kind, written)?;
        }
        Poll::Ready(Ok(packet.len()))
    }

    /// Does nothing: waiting packets are written whenever the broker reads.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        // the last packet may be a DISCONNECT, and nothing reads after it; a client that does not read it goes without
        let _ = this.write_backlog();
        Pin::new(&mut this.tcp).poll_shutdown(context)
    }
}

impl WebSocketTransport for ClientStream {
    fn peer_addr(&self) -> mqtt5::Result<SocketAddr> {
        Ok(self.tcp.peer_addr()?)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        // as at the shutdown, which not every end has
        let _ = self.write_backlog();
        self.refusals.update_waiting(self.queue.bytes(), 0);
        self.client.set_full(false);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::super::full_clients::FullClients;
    use super::*;
    use crate::config::BrokerLimits;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// The broker's end of a connection, and the client's.
    async fn connection() -> (ClientStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let limits = Arc::new(BrokerLimits::default());
        let state = Client::new(limits, 20, Arc::<FullClients>::default(), Arc::default());
        let stream = ClientStream::new(accepted.unwrap().0, Bytes::new(), state, Arc::default());
        (stream, client.unwrap())
    }

    async fn read_exactly(client: &mut TcpStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = client.read_exact(&mut bytes);
        timeout(DEADLINE, read).await.unwrap().unwrap();
        bytes
    }

    #[tokio::test]
    async fn packets_leave_together_when_the_broker_reads() {
        let (mut stream, mut client) = connection().await;
        for number in 0..10 {
            stream.write_all(&[0xD0, number]).await.unwrap();
        }
        assert_eq!(stream.queue.bytes(), 20);

        let mut buffer = [0; 8];
        tokio::select! {
            biased;
            read = stream.read(&mut buffer) => panic!("{read:?}"),
            bytes = read_exactly(&mut client, 20) => {
                assert_eq!(bytes, (0..10).flat_map(|number| [0xD0, number]).collect::<Vec<_>>());
            }
        }
        assert_eq!(stream.refusals.waiting_bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn full_batches_and_large_packets_are_written_at_once() {
        let (mut stream, mut client) = connection().await;
        for _ in 0..=BATCH_PACKETS {
            stream.write_all(&[0xD0, 0]).await.unwrap();
        }
        read_exactly(&mut client, 2 * BATCH_PACKETS).await;
        assert_eq!(stream.queue.bytes(), 2);

        let large = [7; 50_000];
        stream.write_all(&large).await.unwrap();
        read_exactly(&mut client, 2).await;
        assert_eq!(read_exactly(&mut client, large.len()).await, large);
    }

    #[tokio::test]
    async fn the_last_packets_leave_without_a_read() {
        let (mut stream, mut client) = connection().await;
        stream.write_all(&[0xE0, 0]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read_exactly(&mut client, 2).await, [0xE0, 0]);

        let (mut stream, mut client) = connection().await;
        stream.write_all(&[0xE0, 0]).await.unwrap();
        drop(stream);
        assert_eq!(read_exactly(&mut client, 2).await, [0xE0, 0]);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}

//! One connection's bytes: packets to send, and batches of packets that were read.
//!
//! Nothing here waits: everything is polled, so reading never waits for writing
//! (`session_faults::broker_that_stops_reading_is_noticed`).

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::codec::{Batch, Codec, CodecError};
use super::packet::{Incoming, Outgoing};
use super::transport::Stream;
use crate::mailbox::READ_BUFFER;

/// With less room than this left, another buffer is begun: one is filled first, since messages share the buffer that they came in.
const MIN_READ: usize = 4 * 1024;
/// No more is encoded while this number of bytes is not written.
const WRITE_BUFFER: usize = 256 * 1024;

/// A connection to a broker.
#[derive(Debug)]
pub(super) struct FramedStream {
    stream: Stream,
    codec: Codec,
    input: BytesMut,
    output: BytesMut,
    /// Bytes may wait inside the stream.
    unflushed: bool,
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteProgress {
    /// There was nothing to write.
    Idle,
    /// The socket took some; more is left.
    Partial,
    /// The socket took everything.
    Complete,
    /// The socket took nothing, although there is something.
    Stalled,
}

impl FramedStream {
    pub(super) fn new(stream: Stream, codec: Codec) -> Self {
        Self {
            stream,
            codec,
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
        }
    }

    /// Whether more should be encoded now.
    pub(super) fn has_room(&self) -> bool {
        self.output.len() < WRITE_BUFFER
    }

    /// Whether everything was written.
    pub(super) fn is_written(&self) -> bool {
        self.output.is_empty() && !self.unflushed
    }

    pub(super) fn encode(&mut self, packet: &Outgoing<'_>) -> Result<(), CodecError> {
        self.codec.encode(packet, &mut self.output)
    }

    /// Writes as much as the socket takes.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<WriteProgress> {
        let mut written = WriteProgress::Idle;
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.output.advance(count);
                    self.unflushed = true;
                    written = WriteProgress::Partial;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending if written == WriteProgress::Idle => {
                    return Ok(WriteProgress::Stalled);
                }
                Poll::Pending => return Ok(WriteProgress::Partial),
            }
        }

        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending if written == WriteProgress::Idle => {
                    return Ok(WriteProgress::Stalled);
                }
                Poll::Pending => return Ok(WriteProgress::Partial),
            }

            return Ok(WriteProgress::Complete);
        }

        Ok(written)
    }

    /// Reads once. Ready: some bytes came, and `packets` has the complete packets.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let missing = self
            .codec
            .needed(&self.input)
            .saturating_sub(self.input.len());
        // at most doubling: an announced length gets no memory before its bytes come
        let wanted = missing.min(self.input.len());
        if self.input.capacity() - self.input.len() < wanted.max(MIN_READ) {
            self.input.reserve(wanted.max(READ_BUFFER));
        }
        let read = pin!(self.stream.read_buf(&mut self.input));
        match ready!(read.poll(context))? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The bytes that were read and are not taken out as packets.
    pub(super) fn unread(&self) -> &[u8] {
        &self.input
    }

    /// The complete packets that were read.
    pub(super) fn packets(&mut self) -> Result<Batch, CodecError> {
        self.codec.split(&mut self.input)
    }

    /// The first packet that was read, if it is complete.
    pub(super) fn first_packet(&mut self) -> Result<Option<Incoming>, CodecError> {
        self.codec.first(&mut self.input)
    }

    /// Discards the bytes that were read.
    pub(super) fn discard(&mut self) {
        self.input.clear();
    }

    /// Ends the stream; ready when that is done or failed.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_shutdown(context).map(drop)
    }
}

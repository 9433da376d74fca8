//! Actor: one attempt to connect. In: the connection settings and the CONNECT packet. Out: a wire after a good CONNACK, or why
//! there is none. Owns nothing of the session, so that the session goes on taking commands meanwhile.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use super::codec::{Codec, CodecError};
use super::framed::{FramedStream, WriteProgress};
use super::packet::{ConnAck, Connect, Incoming, Outgoing, Reason};
use super::schedule::Trouble;
use super::transport::tls::TlsError;
use super::transport::{self, Resolver, TransportError, advice};
use crate::config::Connection;

/// How long the last packet may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No stream of bytes.
    #[error("{0}")]
    Link(#[from] TransportError),
    /// Nothing, or no CONNACK, came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The stream broke before CONNACK.
    #[error("the connection broke before CONNACK: {0}")]
    Io(#[from] io::Error),
    /// What came was no packet.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// CONNECT cannot be written.
    #[error("{0}")]
    Settings(CodecError),
    /// Another packet came first.
    #[error("the broker did not answer CONNECT with CONNACK; is it an MQTT broker?")]
    NoConnAck,
    /// The broker said no.
    #[error("the broker refused the connection: {reason}{}", .text.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Refused {
        /// Why.
        reason: Reason,
        /// In its own words.
        text: Option<String>,
    },
}

impl Failure {
    /// Whether somebody has to change something before it can work, as opposed to a broker that is away or busy.
    pub fn trouble(&self) -> Trouble {
        let lasting = match self {
            Self::Refused { reason, .. } => !matches!(
                reason.0,
                0x80 | 0x83 | 0x88 | 0x89 | 0x8B | 0x93 | 0x96..=0x98 | 0x9F
            ),
            Self::Link(TransportError::Tls(TlsError::Handshake(error))) => {
                error.kind() == io::ErrorKind::InvalidData
            }
            Self::Link(TransportError::Tls(_))
            | Self::NoConnAck
            | Self::Codec(_)
            | Self::Settings(_) => true,
            Self::Link(TransportError::WebSocket(error)) => error.is_refusal(),
            Self::Link(_) | Self::Timeout(_) | Self::Io(_) => false,
        };
        if lasting {
            Trouble::Lasting
        } else {
            Trouble::Passing
        }
    }

    /// A word for what failed; the same whatever time, address or number the message has.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Link(TransportError::Resolve { .. } | TransportError::NoAddress { .. }) => "name",
            Self::Link(TransportError::Connect { .. }) => "TCP",
            Self::Link(TransportError::Tls(_)) => "TLS",
            Self::Link(TransportError::WebSocket(_)) => "WebSocket",
            Self::Timeout(_) => "time",
            Self::Io(_) => "broken",
            Self::Codec(_) | Self::NoConnAck => "protocol",
            Self::Settings(_) => "settings",
            Self::Refused { reason, .. } => reason.name(),
        }
    }
}

/// Connects, says CONNECT and waits for CONNACK, all within the connection's time limit.
pub async fn attempt(
    connection: &Connection,
    connect: &Connect,
    resolver: &Resolver,
) -> Result<(FramedStream, ConnAck), Failure> {
    let limit = connection.session.connect_timeout;
    tokio::time::timeout(limit, handshake(connection, connect, resolver))
        .await
        .unwrap_or(Err(Failure::Timeout(limit)))
}

async fn handshake(
    connection: &Connection,
    connect: &Connect,
    resolver: &Resolver,
) -> Result<(FramedStream, ConnAck), Failure> {
    let codec = Codec::new(
        connection.session.protocol,
        connection.session.max_packet_size,
    );
    let mut wire = FramedStream::new(transport::connect(connection, resolver).await?, codec);
    wire.encode(&Outgoing::Connect(connect))
        .map_err(Failure::Settings)?;
    poll_fn(|context| match wire.poll_write(context) {
        Ok(WriteProgress::Partial | WriteProgress::Stalled) => Poll::Pending,
        Ok(WriteProgress::Complete | WriteProgress::Idle) => Poll::Ready(Ok(())),
        Err(error) => Poll::Ready(Err(advice::of_silence(error, connection))),
    })
    .await?;
    loop {
        let read = poll_fn(|context| wire.poll_read(context)).await;
        read.map_err(|error| advice::of_silence(error, connection))?;
        if let Some(what) = advice::of_first_bytes(wire.unread()) {
            return Err(CodecError::Malformed {
                packet: "CONNACK",
                what: what.to_owned(),
            }
            .into());
        }
        if let Some(packet) = wire.first_packet()? {
            return accepted(wire, packet, connect);
        }
    }
}

fn accepted(
    wire: FramedStream,
    packet: Incoming,
    connect: &Connect,
) -> Result<(FramedStream, ConnAck), Failure> {
    let refused = |reason, text| {
        Err(Failure::Refused {
            reason,
            text: of_will(reason, text, connect),
        })
    };
    match packet {
        Incoming::ConnAck(ack) if ack.reason == Reason::SUCCESS => Ok((wire, *ack)),
        Incoming::ConnAck(ack) => refused(ack.reason, ack.text),
        Incoming::Disconnect { reason, text } => refused(reason, text),
        _ => Err(Failure::NoConnAck),
    }
}

/// The broker's words, and where it may be the will that is denied, whose it is: some brokers refuse the connection for it.
fn of_will(reason: Reason, text: Option<String>, connect: &Connect) -> Option<String> {
    let Some(will) = connect
        .will
        .as_ref()
        .filter(|_| reason == Reason::NOT_AUTHORIZED)
    else {
        return text;
    };
    let advice = format!(
        "if the user may connect at all, the will of the client {:?} is denied: allow it to publish on {}",
        connect.client_id, will.topic
    );
    Some(text.map_or(advice.clone(), |text| format!("{text}; {advice}")))
}

/// Says DISCONNECT as far as the socket takes it at once, and closes. A broker that does not read does not get a goodbye.
pub async fn leave(mut wire: FramedStream, reason: Reason) {
    let farewell = async {
        if wire.encode(&Outgoing::Disconnect(reason)).is_ok() {
            poll_fn(|context| match wire.poll_write(context) {
                Ok(WriteProgress::Partial | WriteProgress::Stalled) => Poll::Pending,
                _ => Poll::Ready(()),
            })
            .await;
        }
        poll_fn(|context| wire.poll_shutdown(context)).await;
        // until the broker has closed too: closing with something unread resets the connection, and the broker may then never read
        // our goodbye
        while poll_fn(|context| wire.poll_read(context)).await.is_ok() {
            wire.discard();
        }
    };
    drop(tokio::time::timeout(FAREWELL, farewell).await);
}

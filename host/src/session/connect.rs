//! Connecting: transport, CONNECT and CONNACK, with as much of the will as the broker accepts.
//!
//! Nothing here owns a part of the session, so the session continues to take commands meanwhile.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::capability_probe::AfterConnack;
use super::codec::{Codec, CodecError};
use super::connect_error::ConnectError;
use super::framed::{FramedStream, WriteProgress};
use super::group::Member;
use super::packet::{ConnAck, Connect, Incoming, Outgoing, Reason};
use super::transport::{self, Resolver, advice};
use crate::config::Connection;

/// The time limit for the last packet.
const DISCONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Connects with as much of the will as the broker accepts, when it is this member's turn.
pub(super) async fn connect(
    connection: &Connection,
    connect: &Connect,
    member: &Member,
) -> Result<(FramedStream, ConnAck), ConnectError> {
    let whole = connect.will.as_ref();
    loop {
        let _permit = member.acquire_attempt().await;
        let connect = Connect {
            will: member.reduced_will(whole),
            ..connect.clone()
        };

        match connect_once(connection, &connect, &member.group.resolver).await {
            Ok((stream, mut ack)) => match member.on_accepted(whole, connect.will.as_ref()) {
                AfterConnack::Reconnect => disconnect(stream, Reason::SUCCESS).await,
                AfterConnack::Serve => {
                    member.apply_capabilities(&mut ack.server, whole.is_some());
                    return Ok((stream, ack));
                }
            },
            Err(error) if member.can_retry_with_less(&error, connect.will.as_ref()) => {}
            Err(error) => return Err(error),
        }
    }
}

/// One attempt, within the connection's time limit.
async fn connect_once(
    connection: &Connection,
    connect: &Connect,
    resolver: &Resolver,
) -> Result<(FramedStream, ConnAck), ConnectError> {
    let limit = connection.session.connect_timeout;
    tokio::time::timeout(limit, handshake(connection, connect, resolver))
        .await
        .unwrap_or(Err(ConnectError::Timeout(limit)))
}

async fn handshake(
    connection: &Connection,
    connect: &Connect,
    resolver: &Resolver,
) -> Result<(FramedStream, ConnAck), ConnectError> {
    let codec = Codec::new(
        connection.session.protocol,
        connection.session.max_packet_size,
    );
    let mut stream = FramedStream::new(transport::connect(connection, resolver).await?, codec);
    stream
        .encode(&Outgoing::Connect(connect))
        .map_err(ConnectError::Settings)?;

    poll_fn(|context| match stream.poll_write(context) {
        Ok(WriteProgress::Partial | WriteProgress::Stalled) => Poll::Pending,
        Ok(WriteProgress::Complete | WriteProgress::Idle) => Poll::Ready(Ok(())),
        Err(error) => Poll::Ready(Err(advice::advise_before_connack(error, connection))),
    })
    .await?;

    loop {
        let read = poll_fn(|context| stream.poll_read(context)).await;
        read.map_err(|error| advice::advise_before_connack(error, connection))?;
        if let Some(what) = advice::identify_foreign_protocol(stream.unread()) {
            return Err(CodecError::Malformed {
                packet: "CONNACK",
                what: what.to_owned(),
            }
            .into());
        }

        if let Some(packet) = stream.first_packet()? {
            return on_first_packet(stream, packet, connect);
        }
    }
}

fn on_first_packet(
    stream: FramedStream,
    packet: Incoming,
    connect: &Connect,
) -> Result<(FramedStream, ConnAck), ConnectError> {
    let refused = |reason, text| {
        Err(ConnectError::Refused {
            reason,
            text: with_will_advice(reason, text, connect),
        })
    };

    match packet {
        Incoming::ConnAck(ack) if ack.reason == Reason::SUCCESS => Ok((stream, *ack)),
        Incoming::ConnAck(ack) => refused(ack.reason, ack.text),
        Incoming::Disconnect { reason, text } => refused(reason, text),
        _ => Err(ConnectError::NoConnAck),
    }
}

/// The broker's text. Some brokers refuse the connection because the will is denied; the text then names client and topic.
fn with_will_advice(reason: Reason, text: Option<String>, connect: &Connect) -> Option<String> {
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
    Some(match text {
        Some(text) => format!("{text}; {advice}"),
        None => advice,
    })
}

/// Sends DISCONNECT as far as the socket takes it at once, and closes. A broker that does not read does not get it.
pub(super) async fn disconnect(mut stream: FramedStream, reason: Reason) {
    let closing = async {
        if stream.encode(&Outgoing::Disconnect(reason)).is_ok() {
            poll_fn(|context| match stream.poll_write(context) {
                Ok(WriteProgress::Partial | WriteProgress::Stalled) => Poll::Pending,
                _ => Poll::Ready(()),
            })
            .await;
        }

        poll_fn(|context| stream.poll_shutdown(context)).await;

        // Until the broker has closed too: a socket that is closed with unread bytes resets the connection, and the broker may then
        // never read DISCONNECT.
        while poll_fn(|context| stream.poll_read(context)).await.is_ok() {
            stream.discard();
        }
    };

    // late or not, the connection is over
    let _ = tokio::time::timeout(DISCONNECT_TIMEOUT, closing).await;
}

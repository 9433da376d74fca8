//! A broker that follows a test's commands: a TCP listener that speaks MQTT bytes through rumqttc's
//! codec, so that the host's own codec is checked against another one. The test sees the session's
//! packets in one form for MQTT 5 and 3.1.1; every wait has a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use miqro_host::config::Protocol;
use rumqttc::mqttbytes::{self as v4m, v4};
use rumqttc::v5::mqttbytes::{self as v5m, v5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) mod fixture;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A packet that the session sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Connect {
        client_id: String,
        clean_start: bool,
        keepalive: u16,
        /// Receive maximum and maximum packet size; 3.1.1 has none.
        limits: Option<(u16, u32)>,
        will: Option<String>,
        /// Quality of service and retain of the will.
        will_as: Option<(u8, bool)>,
        login: Option<(String, String)>,
    },
    Publish {
        topic: String,
        id: u16,
        qos: u8,
        dup: bool,
        retain: bool,
        payload: String,
    },
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    Subscribe {
        id: u16,
        subscription_id: Option<usize>,
        filters: Vec<(String, u8)>,
        only_if_new: bool,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    PingReq,
    Disconnect(u8),
    /// The session closed the connection.
    Closed,
}

impl Seen {
    pub(crate) fn publish(topic: &str, id: u16, qos: u8, dup: bool, payload: &str) -> Self {
        let topic = topic.to_owned();
        let payload = payload.to_owned();
        Self::Publish {
            topic,
            id,
            qos,
            dup,
            retain: false,
            payload,
        }
    }

    pub(crate) fn id(&self) -> u16 {
        match self {
            Self::Publish { id, .. }
            | Self::Subscribe { id, .. }
            | Self::Unsubscribe { id, .. } => *id,
            other => panic!("{other:?} has no id of its own"),
        }
    }
}

pub(crate) struct Broker {
    listener: TcpListener,
    pub protocol: Protocol,
}

impl Broker {
    pub(crate) async fn new(protocol: Protocol) -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            protocol,
        }
    }

    pub(crate) async fn on(protocol: Protocol, port: u16) -> Self {
        Self {
            listener: TcpListener::bind(("127.0.0.1", port)).await.unwrap(),
            protocol,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next connection, before CONNECT is read.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = soon("a connection", self.listener.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer {
            stream,
            buffer: BytesMut::new(),
            protocol: self.protocol,
        }
    }

    /// The next connection, CONNECT read and accepted.
    pub(crate) async fn connected(&self, session_present: bool) -> Peer {
        self.connected_as(session_present, |_| {}).await
    }

    /// The same with properties in the CONNACK (MQTT 5).
    pub(crate) async fn connected_as(
        &self,
        session_present: bool,
        set: impl FnOnce(&mut v5::ConnAckProperties),
    ) -> Peer {
        let mut peer = self.accept().await;
        let connect = peer.receive().await;
        assert!(matches!(connect, Seen::Connect { .. }), "{connect:?}");
        peer.connack(session_present, 0, set).await;
        peer
    }
}

/// The broker's end of a connection.
pub(crate) struct Peer {
    pub stream: TcpStream,
    buffer: BytesMut,
    pub protocol: Protocol,
}

impl Peer {
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn send(&mut self, five: v5::Packet, four: v4::Packet) {
        let mut out = BytesMut::new();
        match self.protocol {
            Protocol::V5 => five.write(&mut out, None).unwrap(),
            Protocol::V311 => four.write(&mut out, usize::MAX).unwrap(),
        };
        self.raw(&out).await;
    }

    /// `code` is that of the protocol version.
    pub(crate) async fn connack(
        &mut self,
        session_present: bool,
        code: u8,
        set: impl FnOnce(&mut v5::ConnAckProperties),
    ) {
        if self.protocol == Protocol::V311 || code != 0 {
            let properties: &[u8] = if self.protocol == Protocol::V5 {
                &[0]
            } else {
                &[]
            };
            let head = [
                0x20,
                2 + properties.len() as u8,
                u8::from(session_present),
                code,
            ];

            return self.raw(&[&head, properties].concat()).await;
        }

        let mut properties = no_properties();
        set(&mut properties);
        let ack = v5::ConnAck {
            session_present,
            code: v5::ConnectReturnCode::Success,
            properties: Some(properties),
        };
        let mut out = BytesMut::new();
        ack.write(&mut out).unwrap();
        self.raw(&out).await;
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one packet")]
    pub(crate) async fn publish(
        &mut self,
        topic: &str,
        id: u16,
        qos: u8,
        dup: bool,
        payload: impl Into<Bytes>,
    ) {
        let payload: Bytes = payload.into();
        let mut five = v5::Publish::new(topic, v5m::qos(qos).unwrap(), payload.clone(), None);
        (five.pkid, five.dup) = (id, dup);
        let mut four = v4::Publish::new(topic, v4m::qos(qos).unwrap(), payload);
        (four.pkid, four.dup) = (id, dup);
        self.send(v5::Packet::Publish(five), v4::Packet::Publish(four))
            .await;
    }

    pub(crate) async fn puback(&mut self, id: u16) {
        self.raw(&ack(0x40, id)).await;
    }

    pub(crate) async fn pubrec(&mut self, id: u16) {
        self.raw(&ack(0x50, id)).await;
    }

    pub(crate) async fn pubrel(&mut self, id: u16) {
        self.raw(&ack(0x62, id)).await;
    }

    pub(crate) async fn pubcomp(&mut self, id: u16) {
        self.raw(&ack(0x70, id)).await;
    }

    pub(crate) async fn suback(&mut self, id: u16, codes: &[u8]) {
        let empty: &[u8] = if self.protocol == Protocol::V5 {
            &[0]
        } else {
            &[]
        };
        let [high, low] = id.to_be_bytes();
        let length = (2 + empty.len() + codes.len()) as u8;
        self.raw(&[&[0x90, length, high, low], empty, codes].concat())
            .await;
    }

    pub(crate) async fn unsuback(&mut self, id: u16, count: usize) {
        let [high, low] = id.to_be_bytes();
        let rest = if self.protocol == Protocol::V5 {
            vec![0; 1 + count]
        } else {
            Vec::new()
        };
        self.raw(&[&[0xB0, 2 + rest.len() as u8, high, low], rest.as_slice()].concat())
            .await;
    }

    pub(crate) async fn pingresp(&mut self) {
        self.raw(&[0xD0, 0]).await;
    }

    pub(crate) async fn disconnect(&mut self, reason: u8) {
        self.raw(&[0xE0, 2, reason, 0]).await;
    }

    /// Proves that the session has sent nothing else before, and that it serves the connection: PUBREL of an exchange that
    /// nobody knows is answered at once.
    pub(crate) async fn nothing_before(&mut self) {
        self.pubrel(65_000).await;
        assert_eq!(self.receive().await, Seen::PubComp(65_000));
    }

    /// Reads SUBSCRIBE, answers that all is granted, and gives it back.
    pub(crate) async fn subscribed(&mut self) -> Seen {
        let seen = self.receive().await;
        let Seen::Subscribe { id, filters, .. } = &seen else {
            panic!("not SUBSCRIBE: {seen:?}")
        };
        let granted: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
        self.suback(*id, &granted).await;
        seen
    }

    /// The next packet of the session; PINGREQ is answered and not shown.
    pub(crate) async fn receive(&mut self) -> Seen {
        loop {
            match self.receive_any().await {
                Seen::PingReq => self.pingresp().await,
                other => return other,
            }
        }
    }

    pub(crate) async fn receive_any(&mut self) -> Seen {
        soon("a packet of the session", async {
            loop {
                if let Some(seen) = self.decode() {
                    return seen;
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return Seen::Closed,
                    Ok(_) => {}
                }
            }
        })
        .await
    }

    fn decode(&mut self) -> Option<Seen> {
        // rumqttc cannot read a DISCONNECT that ends before its properties
        if let &[0xE0, length @ (0 | 1), ref rest @ ..] = &self.buffer[..] {
            let length = usize::from(length);
            let reason = if length == 0 { 0 } else { *rest.first()? };
            drop(self.buffer.split_to(2 + length));
            return Some(Seen::Disconnect(reason));
        }

        match self.protocol {
            Protocol::V5 => match v5::Packet::read(&mut self.buffer, None) {
                Ok(packet) => Some(seen_v5(packet)),
                Err(v5m::Error::InsufficientBytes(_)) => None,
                Err(error) => panic!("the session sent bytes that are not a packet: {error}"),
            },
            Protocol::V311 => match v4::Packet::read(&mut self.buffer, usize::MAX) {
                Ok(packet) => Some(seen_v4(packet)),
                Err(v4m::Error::InsufficientBytes(_)) => None,
                Err(error) => panic!("the session sent bytes that are not a packet: {error}"),
            },
        }
    }
}

fn ack(first: u8, id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [first, 2, high, low]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn seen_v5(packet: v5::Packet) -> Seen {
    match packet {
        v5::Packet::Connect(connect, will, login) => Seen::Connect {
            client_id: connect.client_id,
            clean_start: connect.clean_start,
            keepalive: connect.keep_alive,
            limits: connect.properties.and_then(|properties| {
                Some((properties.receive_maximum?, properties.max_packet_size?))
            }),
            will_as: will.as_ref().map(|will| (will.qos as u8, will.retain)),
            will: will.map(|will| text(&will.topic)),
            login: login.map(|login| (login.username, login.password)),
        },
        v5::Packet::Publish(publish) => Seen::Publish {
            topic: text(&publish.topic),
            id: publish.pkid,
            qos: publish.qos as u8,
            dup: publish.dup,
            retain: publish.retain,
            payload: text(&publish.payload),
        },
        v5::Packet::PubAck(ack) => Seen::PubAck(ack.pkid),
        v5::Packet::PubRec(ack) => Seen::PubRec(ack.pkid),
        v5::Packet::PubRel(ack) => Seen::PubRel(ack.pkid),
        v5::Packet::PubComp(ack) => Seen::PubComp(ack.pkid),
        v5::Packet::Subscribe(request) => Seen::Subscribe {
            id: request.pkid,
            subscription_id: request.properties.and_then(|properties| properties.id),
            only_if_new: request
                .filters
                .iter()
                .all(|filter| filter.retain_forward_rule == v5::RetainForwardRule::OnNewSubscribe),
            filters: request
                .filters
                .into_iter()
                .map(|filter| (filter.path, filter.qos as u8))
                .collect(),
        },
        v5::Packet::Unsubscribe(request) => Seen::Unsubscribe {
            id: request.pkid,
            filters: request.filters,
        },
        v5::Packet::PingReq(_) => Seen::PingReq,
        other => panic!("a client does not send {other:?}"),
    }
}

fn seen_v4(packet: v4::Packet) -> Seen {
    match packet {
        v4::Packet::Connect(connect) => Seen::Connect {
            client_id: connect.client_id,
            clean_start: connect.clean_session,
            keepalive: connect.keep_alive,
            limits: None,
            will_as: connect
                .last_will
                .as_ref()
                .map(|will| (will.qos as u8, will.retain)),
            will: connect.last_will.map(|will| will.topic),
            login: connect.login.map(|login| (login.username, login.password)),
        },
        v4::Packet::Publish(publish) => Seen::Publish {
            topic: publish.topic,
            id: publish.pkid,
            qos: publish.qos as u8,
            dup: publish.dup,
            retain: publish.retain,
            payload: text(&publish.payload),
        },
        v4::Packet::PubAck(ack) => Seen::PubAck(ack.pkid),
        v4::Packet::PubRec(ack) => Seen::PubRec(ack.pkid),
        v4::Packet::PubRel(ack) => Seen::PubRel(ack.pkid),
        v4::Packet::PubComp(ack) => Seen::PubComp(ack.pkid),
        v4::Packet::Subscribe(request) => Seen::Subscribe {
            id: request.pkid,
            subscription_id: None,
            filters: request
                .filters
                .into_iter()
                .map(|filter| (filter.path, filter.qos as u8))
                .collect(),
            only_if_new: false,
        },
        v4::Packet::Unsubscribe(request) => Seen::Unsubscribe {
            id: request.pkid,
            filters: request.topics,
        },
        v4::Packet::PingReq => Seen::PingReq,
        other => panic!("a client does not send {other:?}"),
    }
}

fn no_properties() -> v5::ConnAckProperties {
    v5::ConnAckProperties {
        session_expiry_interval: None,
        receive_max: None,
        max_qos: None,
        retain_available: None,
        max_packet_size: None,
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    }
}

//! The connection of a test's client, in one of two protocol versions. A task moves the packets and
//! ends with the connection.

use std::time::Duration;

use anyhow::{Result, anyhow};
use rumqttc::v5 as client5;
use rumqttc::v5::mqttbytes::v5;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Options, Version};
use crate::{Message, Properties};

const LARGEST_PACKET: u32 = 64 << 20;
const KEEPALIVE: Duration = Duration::from_secs(60);
const SESSION: u32 = 3600;
/// Requests that wait for the task.
const REQUESTS: usize = 1000;

/// An answer of the broker.
#[derive(Debug)]
pub(super) enum Reply {
    /// CONNACK.
    Connected { session_present: bool },
    /// SUBACK: the granted quality of service, or why not.
    Subscribed(Result<u8, String>),
    /// PUBACK, PUBCOMP, or a PUBREC that refuses.
    Published(Result<(), String>),
    /// The connection is gone.
    Broken(String),
}

/// The sending half of a connection.
#[derive(Debug)]
pub(super) struct Link {
    id: String,
    client: Either,
}

#[derive(Debug)]
enum Either {
    V5(client5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// The receiving half, as the task holds it.
struct Inbox {
    messages: UnboundedSender<Message>,
    replies: UnboundedSender<Reply>,
}

impl Link {
    /// Starts to connect; the first reply says how that went.
    pub(super) fn open(
        options: &Options,
    ) -> (Self, UnboundedReceiver<Message>, UnboundedReceiver<Reply>) {
        let (messages, taken) = unbounded_channel();
        let (replies, answers) = unbounded_channel();
        let inbox = Inbox { messages, replies };
        let client = match options.version {
            Version::V5 => open_v5(options, inbox),
            Version::V311 => open_v311(options, inbox),
        };
        (
            Self {
                id: options.id.clone(),
                client,
            },
            taken,
            answers,
        )
    }

    /// The client identifier.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Sends PUBLISH.
    pub(super) async fn publish(&self, message: Message) -> Result<()> {
        let Message {
            topic,
            payload,
            qos,
            retain,
            properties,
        } = message;

        match &self.client {
            Either::V5(client) if properties == Properties::default() => Ok(client
                .publish_bytes(topic, level_v5(qos)?, retain, payload)
                .await?),
            Either::V5(client) => {
                let qos = level_v5(qos)?;
                Ok(client
                    .publish_bytes_with_properties(topic, qos, retain, payload, properties.into())
                    .await?)
            }
            Either::V311(client) => Ok(client
                .publish_bytes(topic, level_v311(qos)?, retain, payload)
                .await?),
        }
    }

    /// Sends SUBSCRIBE.
    pub(super) async fn subscribe(&self, filter: &str, qos: u8) -> Result<()> {
        match &self.client {
            Either::V5(client) => Ok(client.subscribe(filter, level_v5(qos)?).await?),
            Either::V311(client) => Ok(client.subscribe(filter, level_v311(qos)?).await?),
        }
    }

    /// Sends DISCONNECT.
    pub(super) async fn disconnect(&self) -> Result<()> {
        match &self.client {
            Either::V5(client) => Ok(client.disconnect().await?),
            Either::V311(client) => Ok(client.disconnect().await?),
        }
    }
}

impl Inbox {
    fn reply(&self, reply: Reply) {
        // the test may have dropped its client already
        let _ = self.replies.send(reply);
    }

    fn message(&self, message: Message) {
        let _ = self.messages.send(message);
    }

    /// Takes one packet of MQTT 5.
    fn take_v5(&self, packet: v5::Packet) {
        match packet {
            v5::Packet::ConnAck(ack) => self.reply(Reply::Connected {
                session_present: ack.session_present,
            }),
            v5::Packet::SubAck(ack) => self.reply(Reply::Subscribed(granted_v5(&ack))),
            v5::Packet::PubAck(ack) => {
                use v5::PubAckReason::{NoMatchingSubscribers, Success};
                let taken = matches!(ack.reason, Success | NoMatchingSubscribers);
                self.reply(Reply::Published(if taken {
                    Ok(())
                } else {
                    Err(format!("{:?}", ack.reason))
                }));
            }
            v5::Packet::PubRec(received) => {
                use v5::PubRecReason::{NoMatchingSubscribers, Success};
                if !matches!(received.reason, Success | NoMatchingSubscribers) {
                    self.reply(Reply::Published(Err(format!("{:?}", received.reason))));
                }
            }
            v5::Packet::PubComp(_) => self.reply(Reply::Published(Ok(()))),
            v5::Packet::Publish(publish) => self.message(Message {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload,
                qos: publish.qos as u8,
                retain: publish.retain,
                properties: publish.properties.map(Properties::from).unwrap_or_default(),
            }),
            _ => {}
        }
    }

    /// Takes one packet of MQTT 3.1.1.
    fn take_v311(&self, packet: rumqttc::Packet) {
        match packet {
            rumqttc::Packet::ConnAck(ack) => self.reply(Reply::Connected {
                session_present: ack.session_present,
            }),
            rumqttc::Packet::SubAck(ack) => {
                let granted = ack.return_codes.first().copied();
                self.reply(Reply::Subscribed(match granted {
                    Some(rumqttc::SubscribeReasonCode::Success(qos)) => Ok(qos as u8),
                    other => Err(format!("{other:?}")),
                }));
            }
            rumqttc::Packet::PubAck(_) | rumqttc::Packet::PubComp(_) => {
                self.reply(Reply::Published(Ok(())))
            }
            rumqttc::Packet::Publish(publish) => self.message(Message {
                topic: publish.topic,
                payload: publish.payload,
                qos: publish.qos as u8,
                retain: publish.retain,
                properties: Properties::default(),
            }),
            _ => {}
        }
    }
}

fn open_v5(options: &Options, inbox: Inbox) -> Either {
    let mut mqtt = client5::MqttOptions::new(&options.id, "127.0.0.1", options.port);
    mqtt.set_keep_alive(KEEPALIVE)
        .set_clean_start(!options.keep_session);
    mqtt.set_max_packet_size(Some(LARGEST_PACKET));
    mqtt.set_session_expiry_interval(options.keep_session.then_some(SESSION));
    if let Some((user, password)) = &options.login {
        mqtt.set_credentials(user, password);
    }
    let (client, mut events) = client5::AsyncClient::new(mqtt, REQUESTS);
    tokio::spawn(async move {
        while !inbox.messages.is_closed() {
            match events.poll().await {
                Ok(client5::Event::Incoming(packet)) => inbox.take_v5(packet),
                Ok(client5::Event::Outgoing(_)) => {}
                Err(error) => return inbox.reply(Reply::Broken(error.to_string())),
            }
        }
    });

    Either::V5(client)
}

fn open_v311(options: &Options, inbox: Inbox) -> Either {
    let mut mqtt = rumqttc::MqttOptions::new(&options.id, "127.0.0.1", options.port);
    mqtt.set_keep_alive(KEEPALIVE)
        .set_clean_session(!options.keep_session);
    mqtt.set_max_packet_size(LARGEST_PACKET as usize, LARGEST_PACKET as usize);
    if let Some((user, password)) = &options.login {
        mqtt.set_credentials(user, password);
    }
    let (client, mut events) = rumqttc::AsyncClient::new(mqtt, REQUESTS);
    tokio::spawn(async move {
        while !inbox.messages.is_closed() {
            match events.poll().await {
                Ok(rumqttc::Event::Incoming(packet)) => inbox.take_v311(packet),
                Ok(rumqttc::Event::Outgoing(_)) => {}
                Err(error) => return inbox.reply(Reply::Broken(error.to_string())),
            }
        }
    });

    Either::V311(client)
}

fn granted_v5(ack: &v5::SubAck) -> Result<u8, String> {
    match ack.return_codes.first() {
        Some(v5::SubscribeReasonCode::Success(qos)) => Ok(*qos as u8),
        other => Err(format!("{other:?}")),
    }
}

fn level_v5(qos: u8) -> Result<client5::mqttbytes::QoS> {
    client5::mqttbytes::qos(qos)
        .ok_or_else(|| anyhow!("expected a quality of service, found {qos}"))
}

fn level_v311(qos: u8) -> Result<rumqttc::QoS> {
    rumqttc::qos(qos).map_err(|_| anyhow!("expected a quality of service, found {qos}"))
}

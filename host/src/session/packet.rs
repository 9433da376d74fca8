//! The packets that a client receives and sends, in one form for MQTT 5 and 3.1.1.
//!
//! Topics and payloads are moved or borrowed, never copied.

use crate::config::Credentials;
use crate::message::{Message, Qos, Subscription};
use crate::topic::Filter;

mod reason;
mod rejected;
mod size;

pub use reason::Reason;
pub use rejected::{RejectedPublish, TOO_LARGE};
pub use size::{MAX_REMAINING, PublishSize, publish_size, varint_size};

/// A packet from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// The answer to CONNECT (MQTT 5, section 3.2).
    ConnAck(Box<ConnAck>),
    /// A message (section 3.3).
    Publish(Publish),
    /// A message that cannot be delivered.
    Rejected(RejectedPublish),
    /// An acknowledgement whose packet identifier cannot be read.
    Unattributed {
        /// The packet type.
        packet: &'static str,
        /// Whether it acknowledges one of our messages: PUBACK, PUBREC or PUBCOMP.
        of_message: bool,
    },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7).
    Ack(Ack),
    /// The answer to SUBSCRIBE, one reason for each filter (section 3.9).
    SubAck {
        /// Packet identifier of the SUBSCRIBE.
        id: u16,
        /// The granted quality of service, or a failure.
        reasons: Vec<Reason>,
    },
    /// The answer to UNSUBSCRIBE; no reasons in 3.1.1 (section 3.11).
    UnsubAck {
        /// Packet identifier of the UNSUBSCRIBE.
        id: u16,
        /// One reason for each filter.
        reasons: Vec<Reason>,
    },
    /// The answer to PINGREQ (section 3.13).
    PingResp,
    /// The broker closes the connection (section 3.14; MQTT 5 only).
    Disconnect {
        /// The reason code.
        reason: Reason,
        /// The broker's text, if it sent one.
        text: Option<String>,
    },
}

/// An incoming message with the data of its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Packet identifier; 0 with QoS 0.
    pub id: u16,
    /// Identifiers of the subscriptions that matched (MQTT 5, section 3.3.2.3.8).
    pub subscription_ids: SubscriptionIds,
    /// The message.
    pub message: Message,
}

/// Subscription identifiers of one message. There are almost always none or one, so the first two need no allocation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionIds {
    first: [u32; 2],
    count: usize,
    all: Vec<u32>,
}

impl SubscriptionIds {
    /// Appends an identifier.
    pub fn push(&mut self, id: u32) {
        match self.first.get_mut(self.count) {
            Some(place) => *place = id,
            None => {
                if self.all.is_empty() {
                    self.all.extend_from_slice(&self.first);
                }
                self.all.push(id);
            }
        }

        self.count += 1;
    }

    /// The identifiers in the order of the packet.
    pub fn as_slice(&self) -> &[u32] {
        self.first.get(..self.count).unwrap_or(&self.all)
    }
}

/// The type of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckKind {
    /// The receiver has a QoS 1 message.
    PubAck,
    /// The receiver has a QoS 2 message.
    PubRec,
    /// The sender of a QoS 2 message has seen PUBREC.
    PubRel,
    /// The receiver of a QoS 2 message has seen PUBREL.
    PubComp,
}

impl AckKind {
    /// The name of the packet in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
        }
    }
}

/// An acknowledgement, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Its type.
    pub kind: AckKind,
    /// Packet identifier of the message.
    pub id: u16,
    /// The reason code; always success in 3.1.1.
    pub reason: Reason,
}

impl Ack {
    /// An acknowledgement with success.
    pub const fn success(kind: AckKind, id: u16) -> Self {
        Self {
            kind,
            id,
            reason: Reason::SUCCESS,
        }
    }
}

/// The answer to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the broker kept the session from before.
    pub session_present: bool,
    /// Success, or the reason for a refusal. The five codes of 3.1.1 are converted to their MQTT 5 equivalents.
    pub reason: Reason,
    /// The broker's text, if it sent one.
    pub text: Option<String>,
    /// The capabilities of the broker.
    pub server: ServerCapabilities,
}

/// The capabilities and limits of a broker (MQTT 5, section 3.2.2.3). The default holds where CONNACK has no property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCapabilities {
    /// How many QoS 1 and 2 messages may be unacknowledged towards the broker.
    pub receive_maximum: u16,
    /// The highest quality of service that it accepts.
    pub maximum_qos: Qos,
    /// Whether it keeps retained messages.
    pub retain_available: bool,
    /// The largest packet that it accepts, in bytes, including the fixed header.
    pub maximum_packet_size: u32,
    /// The client identifier that it chose, when we sent none.
    pub assigned_client_id: Option<String>,
    /// Keepalive in seconds that it demands instead of ours.
    pub keepalive: Option<u16>,
    /// How long it keeps the session after the connection, in seconds, if that differs from the request.
    pub session_expiry: Option<u32>,
    /// Whether it supports subscription identifiers.
    pub subscription_ids: bool,
    /// Whether it supports filters with wildcards.
    pub wildcards: bool,
    /// Whether it supports shared subscriptions.
    pub shared: bool,
}

impl Default for ServerCapabilities {
    fn default() -> Self {
        Self {
            receive_maximum: u16::MAX,
            maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            maximum_packet_size: u32::MAX,
            assigned_client_id: None,
            keepalive: None,
            session_expiry: None,
            subscription_ids: true,
            wildcards: true,
            shared: true,
        }
    }
}

/// CONNECT (MQTT 5, section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Client identifier; empty: the broker chooses one.
    pub client_id: String,
    /// Whether the broker shall forget an earlier session.
    pub clean_start: bool,
    /// Keepalive in seconds; 0: none.
    pub keepalive: u16,
    /// Seconds for which the broker keeps the session after the connection (MQTT 5).
    pub session_expiry: u32,
    /// How many QoS 1 and 2 messages may be unacknowledged towards us (MQTT 5).
    pub receive_maximum: u16,
    /// The largest packet that we accept, in bytes (MQTT 5).
    pub maximum_packet_size: u32,
    /// User name and password.
    pub credentials: Option<Credentials>,
    /// The message that the broker publishes when the connection ends without DISCONNECT.
    pub will: Option<Message>,
}

/// SUBSCRIBE (MQTT 5, section 3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Packet identifier.
    pub id: u16,
    /// Subscription identifier of all filters in it (MQTT 5).
    pub subscription_id: Option<u32>,
    /// Whether retained messages are wanted even where the broker has the subscription already (MQTT 5, section 3.8.3.1).
    pub retained_again: bool,
    /// The subscriptions; never empty.
    pub subscriptions: Vec<Subscription>,
}

/// UNSUBSCRIBE (MQTT 5, section 3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Packet identifier.
    pub id: u16,
    /// The filters; never empty.
    pub filters: Vec<Filter>,
}

/// A packet to the broker, borrowed from the session state while it is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// The first packet of a connection.
    Connect(&'a Connect),
    /// A message.
    Publish {
        /// Packet identifier; 0 with QoS 0.
        id: u16,
        /// Whether it was sent before.
        dup: bool,
        /// The message.
        message: &'a Message,
    },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack),
    /// A request for subscriptions.
    Subscribe(&'a Subscribe),
    /// The end of subscriptions.
    Unsubscribe(&'a Unsubscribe),
    /// PINGREQ.
    PingReq,
    /// The last packet of a connection; 3.1.1 has no reason.
    Disconnect(Reason),
}

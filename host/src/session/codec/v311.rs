//! CONNECT, SUBSCRIBE and UNSUBSCRIBE of MQTT 3.1.1 with the packets of rumqttc, and CONNACK.

use bytes::BytesMut;
use rumqttc::mqttbytes::v4 as mqtt;
use rumqttc::mqttbytes::{Protocol, QoS};

use super::error::CodecError;
use super::frame::Frame;
use crate::message::Qos;
use crate::session::packet::{
    ConnAck, Connect, Outgoing, Reason, ServerCapabilities, Subscribe, Unsubscribe,
};

pub(super) fn connack(frame: &Frame<'_>) -> Result<ConnAck, CodecError> {
    let &[flags, code, ..] = frame.body() else {
        return Err(frame.malformed("no return code"));
    };
    Ok(ConnAck {
        session_present: flags & 1 != 0,
        reason: connect_reason(code),
        text: None,
        server: ServerCapabilities::default(),
    })
}

/// The return codes of 3.1.1 (section 3.2.2.3) as reason codes of MQTT 5.
pub(super) const fn connect_reason(code: u8) -> Reason {
    match code {
        1 => Reason::UNSUPPORTED_VERSION,
        2 => Reason::CLIENT_ID,
        3 => Reason::SERVER_UNAVAILABLE,
        4 => Reason::BAD_CREDENTIALS,
        5 => Reason::NOT_AUTHORIZED,
        other => Reason(other),
    }
}

/// Checks lengths: rumqttc would cut those of longer texts to 16 bits and write a broken packet.
pub(super) fn check_connect(connect: &Connect) -> Result<(), CodecError> {
    let credentials = connect.credentials.as_ref();
    let lengths = [
        ("client identifier", connect.client_id.len()),
        (
            "user name",
            credentials.map_or(0, |login| login.username.len()),
        ),
        (
            "password",
            credentials
                .and_then(|login| login.password.as_ref())
                .map_or(0, String::len),
        ),
        (
            "will payload",
            connect.will.as_ref().map_or(0, |will| will.payload.len()),
        ),
    ];

    match lengths
        .iter()
        .find(|(_, length)| *length > usize::from(u16::MAX))
    {
        None => Ok(()),
        Some((what, length)) => {
            let what = format!("the {what} of {length} bytes is longer than 65,535");
            Err(CodecError::Unwritable {
                packet: "CONNECT",
                what,
            })
        }
    }
}

pub(super) fn encode(packet: &Outgoing<'_>, out: &mut BytesMut) -> Result<(), CodecError> {
    let (name, written) = match packet {
        Outgoing::Connect(connect) => {
            check_connect(connect)?;
            ("CONNECT", self::connect(connect).write(out))
        }
        Outgoing::Subscribe(request) => ("SUBSCRIBE", subscribe(request).write(out)),
        Outgoing::Unsubscribe(request) => ("UNSUBSCRIBE", unsubscribe(request).write(out)),
        _ => return Ok(()),
    };

    written.map(drop).map_err(|error| CodecError::Unwritable {
        packet: name,
        what: error.to_string(),
    })
}

fn connect(connect: &Connect) -> mqtt::Connect {
    let will = connect.will.as_ref().map(|message| {
        mqtt::LastWill::new(
            message.topic.as_str(),
            message.payload.as_ref(),
            qos(message.qos),
            message.retain,
        )
    });

    let login = connect.credentials.as_ref().map(|credentials| {
        mqtt::Login::new(
            credentials.username.as_str(),
            credentials.password.as_deref().unwrap_or_default(),
        )
    });

    mqtt::Connect {
        protocol: Protocol::V4,
        keep_alive: connect.keepalive,
        client_id: connect.client_id.clone(),
        clean_session: connect.clean_start,
        last_will: will,
        login,
    }
}

fn subscribe(request: &Subscribe) -> mqtt::Subscribe {
    let filters = request.subscriptions.iter().map(|subscription| {
        mqtt::SubscribeFilter::new(subscription.filter.to_string(), qos(subscription.qos))
    });
    mqtt::Subscribe {
        pkid: request.id,
        filters: filters.collect(),
    }
}

fn unsubscribe(request: &Unsubscribe) -> mqtt::Unsubscribe {
    mqtt::Unsubscribe {
        pkid: request.id,
        topics: request.filters.iter().map(ToString::to_string).collect(),
    }
}

const fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

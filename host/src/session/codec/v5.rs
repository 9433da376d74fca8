//! CONNECT, CONNACK, SUBSCRIBE and UNSUBSCRIBE of MQTT 5, with the packets of rumqttc.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5 as mqtt;

use super::disconnect::reason_string;
use super::error::CodecError;
use super::frame::Frame;
use super::reader::Reader;
use crate::config::Credentials;
use crate::message::{Message, Qos};
use crate::session::packet::{
    ConnAck, Connect, Outgoing, Reason, ServerCapabilities, Subscribe, Unsubscribe,
};

pub(super) fn connack(frame: &Frame<'_>) -> Result<ConnAck, CodecError> {
    let &[flags, code, ref rest @ ..] = frame.body() else {
        return Err(frame.malformed("no reason code"));
    };
    if rest.is_empty() {
        // a broker that supports only 3.1.1 refuses a CONNECT of MQTT 5 in its own format
        let reason = super::v311::connect_reason(code);
        return Ok(ConnAck {
            session_present: flags & 1 != 0,
            reason,
            text: None,
            server: ServerCapabilities::default(),
        });
    }

    if Reason(code).is_failure() {
        // rumqttc does not know all reasons, and the reason matters more than the other properties
        let text = Reader::new(rest)
            .properties()
            .and_then(reason_string)
            .ok()
            .flatten();
        return Ok(ConnAck {
            session_present: false,
            reason: Reason(code),
            text,
            server: ServerCapabilities::default(),
        });
    }

    let (bytes, first, length_bytes, remaining) = frame.whole();
    let ack = mqtt::ConnAck::read(
        mqtt::FixedHeader::new(first, length_bytes, remaining),
        bytes,
    )
    .map_err(|error| frame.malformed(error))?;
    let mut ack_properties = ack.properties;
    let text = ack_properties
        .as_mut()
        .and_then(|properties| properties.reason_string.take());
    let server = ack_properties.map_or_else(ServerCapabilities::default, server);
    Ok(ConnAck {
        session_present: ack.session_present,
        reason: Reason(code),
        text,
        server,
    })
}

fn server(properties: mqtt::ConnAckProperties) -> ServerCapabilities {
    let yes = |byte: Option<u8>| byte != Some(0);
    let qos = |byte: u8| Qos::try_from(byte).unwrap_or(Qos::ExactlyOnce);
    ServerCapabilities {
        receive_maximum: properties.receive_max.unwrap_or(u16::MAX).max(1),
        maximum_qos: properties.max_qos.map_or(Qos::ExactlyOnce, qos),
        retain_available: yes(properties.retain_available),
        maximum_packet_size: properties.max_packet_size.unwrap_or(u32::MAX),
        assigned_client_id: properties.assigned_client_identifier,
        keepalive: properties.server_keep_alive,
        session_expiry: properties.session_expiry_interval,
        subscription_ids: yes(properties.subscription_identifiers_available),
        wildcards: yes(properties.wildcard_subscription_available),
        shared: yes(properties.shared_subscription_available),
    }
}

pub(super) fn encode(packet: &Outgoing<'_>, out: &mut BytesMut) -> Result<(), CodecError> {
    let (name, written) = match packet {
        Outgoing::Connect(connect) => {
            super::v311::check_connect(connect)?;
            let will = connect.will.as_ref().map(will);
            (
                "CONNECT",
                self::connect(connect).write(&will, &connect.credentials.as_ref().map(login), out),
            )
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
    let properties = mqtt::ConnectProperties {
        session_expiry_interval: Some(connect.session_expiry),
        receive_maximum: Some(connect.receive_maximum.max(1)),
        max_packet_size: Some(connect.maximum_packet_size.max(1)),
        ..mqtt::ConnectProperties::new()
    };

    mqtt::Connect {
        keep_alive: connect.keepalive,
        client_id: connect.client_id.clone(),
        clean_start: connect.clean_start,
        properties: Some(properties),
    }
}

fn will(message: &Message) -> mqtt::LastWill {
    let properties = message
        .properties
        .as_deref()
        .map(|properties| mqtt::LastWillProperties {
            delay_interval: None,
            payload_format_indicator: properties.utf8.then_some(1),
            message_expiry_interval: properties.message_expiry,
            content_type: properties.content_type.clone(),
            response_topic: properties.response_topic.as_ref().map(ToString::to_string),
            correlation_data: properties.correlation_data.clone(),
            user_properties: properties.user_properties.clone(),
        });
    let topic = message.topic.as_str();
    mqtt::LastWill::new(
        topic,
        message.payload.as_ref(),
        qos(message.qos),
        message.retain,
        properties,
    )
}

fn login(credentials: &Credentials) -> mqtt::Login {
    mqtt::Login::new(
        credentials.username.as_str(),
        credentials.password.as_deref().unwrap_or_default(),
    )
}

fn subscribe(request: &Subscribe) -> mqtt::Subscribe {
    let retain_forward_rule = match request.retained_again {
        true => mqtt::RetainForwardRule::OnEverySubscribe,
        false => mqtt::RetainForwardRule::OnNewSubscribe,
    };
    let filters = request
        .subscriptions
        .iter()
        .map(|subscription| mqtt::Filter {
            path: subscription.filter.to_string(),
            qos: qos(subscription.qos),
            nolocal: false,
            // the retain flag then shows that a message is from before the subscription
            preserve_retain: false,
            retain_forward_rule: retain_forward_rule.clone(),
        });
    let id = request.subscription_id.map(|id| id as usize);
    let properties = id.map(|id| mqtt::SubscribeProperties {
        id: Some(id),
        user_properties: Vec::new(),
    });
    mqtt::Subscribe {
        pkid: request.id,
        filters: filters.collect(),
        properties,
    }
}

fn unsubscribe(request: &Unsubscribe) -> mqtt::Unsubscribe {
    let filters = request.filters.iter().map(ToString::to_string).collect();
    mqtt::Unsubscribe {
        pkid: request.id,
        filters,
        properties: None,
    }
}

const fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

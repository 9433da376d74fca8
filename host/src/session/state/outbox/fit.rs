//! Messages within the broker's capabilities. A packet that exceeds its maximum size would end the connection, again and again
//! (`session_faults::message_too_large_for_broker_is_not_sent`).

use crate::config::Protocol;
use crate::message::{Message, Outcome};
use crate::session::packet::{ServerCapabilities, publish_size};
use crate::session::state::event::Event;
use crate::session::state::output::Outputs;

/// Makes `message` one that the broker accepts; false when it never will.
pub(super) fn fit(
    message: &mut Message,
    server: &ServerCapabilities,
    protocol: Protocol,
    outputs: &mut Outputs,
) -> bool {
    if message.qos > server.maximum_qos {
        message.qos = server.maximum_qos;
        outputs.log(Event::Lowered {
            topic: message.topic.clone(),
            what: "the quality of service asked for",
        });
    }

    if message.retain && !server.retain_available {
        message.retain = false;
        outputs.log(Event::Lowered {
            topic: message.topic.clone(),
            what: "retain",
        });
    }

    let size = publish_size(message, protocol).map(|size| size.packet);
    let max = server.maximum_packet_size;
    let fits =
        size.is_some_and(|size| u64::try_from(size).is_ok_and(|size| size <= u64::from(max)));
    if !fits {
        outputs.log(Event::TooLarge {
            topic: message.topic.clone(),
            size,
            max,
        });
    }

    fits
}

/// The outcome of a message that does not fit.
pub(super) fn too_large(server: &ServerCapabilities) -> Outcome {
    Outcome::Refused(format!(
        "too large: the broker takes packets of {} bytes",
        server.maximum_packet_size
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Qos;

    /// QoS 0 needs no identifier, so lowering to it must be noticed by the caller.
    #[test]
    fn quality_of_service_is_lowered_to_the_brokers_maximum() {
        let mut message = Message::new(
            crate::topic::Topic::home_assistant(),
            "x",
            Qos::ExactlyOnce,
            true,
        );

        let server = ServerCapabilities {
            maximum_qos: Qos::AtMostOnce,
            retain_available: false,
            ..ServerCapabilities::default()
        };
        let mut outputs = Outputs::default();
        assert!(fit(&mut message, &server, Protocol::V5, &mut outputs));
        assert_eq!((message.qos, message.retain), (Qos::AtMostOnce, false));
        assert!(!outputs.is_empty());
    }
}

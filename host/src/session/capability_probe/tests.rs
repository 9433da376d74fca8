//! Wills that the broker accepts, against brokers that refuse, that close, and that are away for a while.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::topic::Topic;

fn will(qos: Qos) -> Message {
    Message::new(Topic::new("online").unwrap(), "0", qos, true)
}

/// How a broker answers a CONNECT.
#[derive(Debug, Clone, Copy)]
struct Broker {
    retain: bool,
    qos: Qos,
    will: bool,
    /// Says why it refuses; else it closes.
    says: bool,
}

impl Broker {
    fn takes(&self, will: Option<&Message>) -> bool {
        will.is_none_or(|will| self.will && will.qos <= self.qos && (self.retain || !will.retain))
    }

    fn reason(&self, will: &Message) -> Reason {
        if will.qos > self.qos {
            Reason::QOS_NOT_SUPPORTED
        } else {
            Reason::RETAIN_NOT_SUPPORTED
        }
    }
}

/// Attempts until one is served, `away` of which are closed whatever they say: how many there were, and the will that was sent last.
fn connect(
    capabilities: &mut CapabilityProbe,
    broker: Broker,
    whole: &Message,
    mut away: usize,
) -> (usize, Option<Message>) {
    for attempts in 1..100 {
        let sent = capabilities.reduced_will(whole, true);
        if away > 0 {
            away -= 1;
            capabilities.on_closed();
        } else if broker.takes(sent.as_ref()) {
            if capabilities.on_accepted(Some(whole), sent.as_ref()) == AfterConnack::Serve {
                return (attempts, sent);
            }
        } else if broker.says {
            assert!(capabilities.on_refused(broker.reason(sent.as_ref().unwrap()), sent.as_ref()));
        } else {
            capabilities.on_closed();
        }
    }

    panic!("{broker:?} is not connected to: {capabilities:?}");
}

proptest! {
    #[test]
    fn a_connection_is_made_with_as_much_of_a_will_as_the_broker_takes(
        retain: bool, qos in 0_u8..3, takes_wills: bool, says: bool, own in 0_u8..3, away in 0_usize..20,
    ) {
        let broker = Broker { retain, qos: Qos::try_from(qos).unwrap(), will: takes_wills || says, says };
        let whole = will(Qos::try_from(own).unwrap());
        let mut capabilities = CapabilityProbe::default();
        let (attempts, sent) = connect(&mut capabilities, broker, &whole, away);
        prop_assert!(attempts <= away + 15, "{attempts} attempts");
        if broker.will {
            let sent = sent.unwrap();
            // by trying, QoS is found as all or nothing
            let qos = if says || broker.qos >= whole.qos { broker.qos.min(whole.qos) } else { Qos::AtMostOnce };
            prop_assert_eq!((sent.retain, sent.qos), (retain, qos));
        } else {
            prop_assert_eq!(sent, None);
        }

        // and is known then
        prop_assert_eq!(connect(&mut capabilities, broker, &whole, 0).0, 1);
    }
}

#[test]
fn missing_capabilities_are_logged_once() {
    let mut capabilities = CapabilityProbe::default();
    assert!(
        capabilities
            .new_warnings(&ServerCapabilities::default())
            .is_empty()
    );
    let server = ServerCapabilities {
        retain_available: false,
        wildcards: false,
        ..ServerCapabilities::default()
    };
    assert_eq!(capabilities.new_warnings(&server).len(), 2);
    assert!(capabilities.new_warnings(&server).is_empty());
    assert!(
        capabilities
            .new_warnings(&ServerCapabilities::default())
            .is_empty()
    );
    assert_eq!(
        capabilities.new_warnings(&server).len(),
        2,
        "it was otherwise in between"
    );
    assert!(capabilities.on_refused(Reason::QOS_NOT_SUPPORTED, Some(&will(Qos::AtLeastOnce))));
    let mut server = ServerCapabilities::default();
    capabilities.apply_to(&mut server);
    assert_eq!(
        (server.maximum_qos, server.retain_available),
        (Qos::AtMostOnce, true)
    );
    for code in [0x9A, 0x9E, 0xA1, 0xA2] {
        capabilities.on_unsupported(Reason(code));
    }
    capabilities.apply_to(&mut server);
    assert!(
        !(server.retain_available || server.shared || server.subscription_ids || server.wildcards)
    );
    assert!(!capabilities.on_refused(Reason::NOT_AUTHORIZED, Some(&will(Qos::AtLeastOnce))));
    assert!(!capabilities.on_refused(Reason::QOS_NOT_SUPPORTED, None));
}

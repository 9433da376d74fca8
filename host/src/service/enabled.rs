//! Switch of a service: the topic `<base>enabled`.
//!
//! `1` and `0` are values of it; anything else is ignored with a warning. A disabled service gets no messages: they are acknowledged
//! and counted. Its timers continue, and it may publish.

use tracing::{info, warn};

use crate::config;
use crate::mailbox::Delivery;
use crate::message::Receipt;
use crate::topic::Topic;

/// Whether a service is enabled.
#[derive(Debug)]
pub(super) struct EnabledFlag {
    topic: Option<Topic>,
    /// Dead letters do not return to the service that gave them up, or it would give them up for ever.
    dead_letter: Option<Topic>,
    is_enabled: bool,
    /// Messages that were skipped since the service was disabled.
    skipped: u64,
}

impl EnabledFlag {
    /// Creates the flag of an enabled service.
    pub(super) fn new(service: &config::Service) -> Self {
        let topic = service.base.topic("enabled").ok();
        Self {
            topic,
            dead_letter: service.delivery.dead_letter.clone(),
            is_enabled: true,
            skipped: 0,
        }
    }

    /// Whether the service is switched on.
    pub(super) const fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Returns the delivery when the service is to handle it.
    ///
    /// # Errors
    /// When it set the flag, is a dead letter, or the service is disabled: the receipt to acknowledge, if any.
    pub(super) fn filter(&mut self, delivery: Delivery) -> Result<Delivery, Option<Receipt>> {
        if self.topic.as_ref() == Some(&delivery.message.topic) {
            self.on_message(&delivery);
            return Err(delivery.receipt);
        }
        if self.dead_letter.as_ref() == Some(&delivery.message.topic) {
            return Err(delivery.receipt);
        }
        if self.is_enabled {
            return Ok(delivery);
        }

        self.skipped += 1;
        Err(delivery.receipt)
    }

    fn on_message(&mut self, delivery: &Delivery) {
        let is_enabled = match delivery.message.payload.trim_ascii() {
            b"1" => true,
            b"0" => false,
            // a retained message that was cleared
            b"" => return,
            _ => {
                let topic = &delivery.message.topic;
                return warn!("ignored a message on {topic}: its payload is neither 1 nor 0");
            }
        };

        if is_enabled == self.is_enabled {
            return;
        }

        self.is_enabled = is_enabled;
        if is_enabled {
            let skipped = std::mem::take(&mut self.skipped);
            info!("switched on; {skipped} messages came while it was off");
        } else {
            info!("switched off: it gets no messages; its timers continue");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::{Message, Qos};

    fn delivery(topic: &str, payload: &str, number: u64) -> Delivery {
        let topic = Topic::new(topic).unwrap();
        let message = Message::new(topic, payload.to_owned(), Qos::AtLeastOnce, false);
        Delivery::new(message, Some(Receipt::Arrived(number)))
    }

    fn flag() -> EnabledFlag {
        EnabledFlag {
            topic: Some(Topic::new("it/enabled").unwrap()),
            dead_letter: Some(Topic::new("it/lost").unwrap()),
            is_enabled: true,
            skipped: 0,
        }
    }

    #[test]
    fn disabled_service_skips_messages_until_it_is_enabled() {
        let mut flag = flag();
        let receipt = |number| Err(Some(Receipt::Arrived(number)));
        assert_eq!(flag.filter(delivery("it/enabled", " 0\n", 1)), receipt(1));
        assert_eq!(flag.filter(delivery("a", "x", 2)), receipt(2));
        assert_eq!(flag.filter(delivery("it/enabled", "2", 3)), receipt(3));
        assert_eq!(flag.filter(delivery("it/enabled", "", 4)), receipt(4));
        assert_eq!((flag.is_enabled, flag.skipped), (false, 1));
        assert_eq!(flag.filter(delivery("it/enabled", "1", 5)), receipt(5));
        let passed = flag.filter(delivery("a", "x", 6));
        assert_eq!(passed, Ok(delivery("a", "x", 6)));
    }

    #[test]
    fn dead_letters_do_not_return_to_their_service() {
        let letter = delivery("it/lost", "x", 1);
        assert_eq!(flag().filter(letter), Err(Some(Receipt::Arrived(1))));
    }
}

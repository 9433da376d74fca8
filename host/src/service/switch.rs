//! Actor's part: the topic `<base>enabled`, by which a service is switched on and off. In: deliveries. Out: those that the service is to
//! handle. Owns whether it is switched on.
//!
//! `1` and `0`; anything else is ignored with a warning. Switched off, a service gets no messages (they are acknowledged and
//! counted); its timers go on, and it may publish.

use tracing::{info, warn};

use crate::config;
use crate::mailbox::Delivery;
use crate::message::Receipt;
use crate::topic::Topic;

/// Whether a service is switched on.
#[derive(Debug)]
pub struct Switch {
    topic: Option<Topic>,
    /// What the service has given up does not come back to it, or it would be given up for ever.
    dead_letter: Option<Topic>,
    on: bool,
    /// Messages that were not handled since it was switched off.
    skipped: u64,
}

impl Switch {
    /// Switched on.
    pub fn new(service: &config::Service) -> Self {
        let topic = service.base.topic("enabled").ok();
        Self {
            topic,
            dead_letter: service.dead_letter.clone(),
            on: true,
            skipped: 0,
        }
    }

    /// Gives the delivery back when the service is to handle it.
    ///
    /// # Errors
    /// When it was for the switch, or the service is switched off; what is to be acknowledged, if anything.
    pub fn admit(
        &mut self,
        delivery: Delivery,
        service: &str,
    ) -> Result<Delivery, Option<Receipt>> {
        if self.topic.as_ref() == Some(&delivery.message.topic) {
            self.turn(&delivery, service);
            return Err(delivery.receipt);
        }
        if self.dead_letter.as_ref() == Some(&delivery.message.topic) {
            return Err(delivery.receipt);
        }
        if self.on {
            return Ok(delivery);
        }
        self.skipped += 1;
        Err(delivery.receipt)
    }

    fn turn(&mut self, delivery: &Delivery, service: &str) {
        let on = match delivery.message.payload.trim_ascii() {
            b"1" => true,
            b"0" => false,
            // a retained message that is taken away
            b"" => return,
            _ => {
                return warn!(
                    service,
                    "{}: neither 1 nor 0, which is ignored", delivery.message.topic
                );
            }
        };
        if on == self.on {
            return;
        }
        self.on = on;
        if on {
            info!(
                service,
                "switched on; {} messages came while it was off",
                std::mem::take(&mut self.skipped)
            );
        } else {
            info!(
                service,
                "switched off: it gets no messages; its timers go on"
            );
        }
    }
}

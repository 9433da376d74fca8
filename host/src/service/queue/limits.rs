//! How much may wait for one service, and what becomes of the rest: `limits.spool`, `limits.mailbox` and `limits.when_full`.

use tracing::error;

use super::Queue;
use crate::config::WhenFull;
use crate::mailbox::Delivery;

impl Queue {
    /// Whether the service's policy lets what waits for it be more than it is.
    pub(super) fn may_spool(&mut self) -> bool {
        let full = self.spool_is_full();
        if full && !self.holds_up_others {
            error!(
                "the spool is full: {} bytes wait, limits.spool is {}; with when_full: hold the next messages wait at the broker, \
                 and so do those of the other services",
                self.backlog.bytes(),
                self.config.limits.mailbox.spool
            );
        }
        self.holds_up_others = full;
        !full
    }

    /// Whether the service keeps the broker from sending to the others, because its spool is full.
    pub(in crate::service) fn holds_up_others(&self) -> bool {
        self.holds_up_others && self.spool_is_full()
    }

    fn spool_is_full(&self) -> bool {
        let limits = &self.config.limits;
        self.backlog.bytes() >= limits.mailbox.spool && limits.mailbox.when_full == WhenFull::Hold
    }

    /// From now on the service has failed, or has not.
    pub(in crate::service) fn set_failed(&mut self, has_failed: bool) {
        self.has_failed = has_failed;
    }

    /// How many more messages may be spooled. Where the service has failed, the others are dead letters.
    pub(in crate::service) fn room(&self) -> usize {
        let limits = &self.config.limits;
        if !self.has_failed {
            return usize::MAX;
        }
        let bytes_left = self.backlog.bytes() < limits.mailbox.bytes;
        if bytes_left {
            limits.mailbox.messages.saturating_sub(self.backlog.len())
        } else {
            0
        }
    }

    /// Those that may wait, and those that are dropped because as many wait already as the policy allows.
    pub(super) fn within_limits(
        &self,
        mut deliveries: Vec<Delivery>,
    ) -> (Vec<Delivery>, Vec<Delivery>) {
        if self.config.limits.mailbox.when_full != WhenFull::DropNewest {
            return (deliveries, Vec::new());
        }
        let (mut messages, mut bytes) = (self.backlog.len(), self.backlog.bytes());
        let fits = deliveries.iter().take_while(|delivery| {
            messages += 1;
            bytes += delivery.message.weight();
            messages <= self.config.limits.mailbox.messages && bytes <= self.most_bytes()
        });
        let fits = fits.count();
        let surplus = deliveries.split_off(fits);
        (deliveries, surplus)
    }

    fn most_bytes(&self) -> usize {
        self.config
            .limits
            .mailbox
            .spool
            .min(self.config.limits.mailbox.bytes)
    }

    /// Whether the oldest messages have to go, where the policy drops those.
    pub(in crate::service) fn exceeds_limits(&self) -> bool {
        let limits = &self.config.limits;
        let exceeds = self.backlog.len() > limits.mailbox.messages
            || self.backlog.bytes() > self.most_bytes();
        limits.mailbox.when_full == WhenFull::DropOldest && exceeds && self.backlog.is_spooling()
    }
}

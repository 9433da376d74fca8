//! Limits of the queue: `limits.spool`, `limits.mailbox` and the policy `limits.when_full`.

use tracing::error;

use super::Queue;
use crate::config::WhenFull;
use crate::mailbox::Delivery;

impl Queue {
    /// Whether the policy allows further messages in the spool. Logs when it no longer does.
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

    /// Whether the service keeps the broker from sending to other services, because its spool is full.
    pub(in crate::service) fn holds_up_others(&self) -> bool {
        self.holds_up_others && self.spool_is_full()
    }

    fn spool_is_full(&self) -> bool {
        let limits = &self.config.limits;
        self.backlog.bytes() >= limits.mailbox.spool && limits.mailbox.when_full == WhenFull::Hold
    }

    /// Sets whether the service has failed.
    pub(in crate::service) fn set_failed(&mut self, has_failed: bool) {
        self.has_failed = has_failed;
    }

    /// Number of further messages that may be spooled. When the service has failed, the others become dead letters.
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

    /// Splits messages into those that may wait and those that the policy drops.
    pub(super) fn within_limits(
        &self,
        mut deliveries: Vec<Delivery>,
    ) -> (Vec<Delivery>, Vec<Delivery>) {
        if self.config.limits.mailbox.when_full != WhenFull::DropNewest {
            return (deliveries, Vec::new());
        }
        let mut messages = self.backlog.len();
        let mut bytes = self.backlog.bytes();
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

    /// Whether the oldest messages are to be dropped, if that is the policy.
    pub(in crate::service) fn exceeds_limits(&self) -> bool {
        let limits = &self.config.limits;
        let exceeds = self.backlog.len() > limits.mailbox.messages
            || self.backlog.bytes() > self.most_bytes();
        limits.mailbox.when_full == WhenFull::DropOldest && exceeds && self.backlog.is_spooling()
    }
}

//! Head-of-line blocking: notices when unhandled messages keep the broker from sending the next ones.
//!
//! Acknowledgements leave in the order of arrival (MQTT 5, section 4.6), so the oldest unhandled message holds up those of all services,
//! and at the broker's limit all messages. That limit is unknown (a broker may keep to less than the receive maximum), but the largest
//! number that was unacknowledged at once before may be it. `check` is called at regular intervals.

use std::ops::Range;

/// This number of waiting messages is always enough, whatever the broker's limit.
const MIN_WAITING: usize = 8;
/// The largest share of a service.
const MAX_SHARE: usize = 64;

/// The state of the last check.
#[derive(Debug, Default)]
pub(super) struct HeadOfLineMonitor {
    /// The receipt of the next message to arrive.
    mark: Option<u64>,
}

/// Messages that hold up others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overdue {
    /// They have receipts below this one.
    pub below: u64,
    /// Number of messages that a service may hold unacknowledged while others wait in its spool.
    pub share: usize,
}

impl HeadOfLineMonitor {
    /// Checks the receipts of unacknowledged messages: those that were there at the last check are overdue. `peak`: the largest
    /// number that was unacknowledged at once.
    pub(super) fn check(&mut self, receipts: Range<u64>, peak: usize) -> Option<Overdue> {
        let mark = self.mark.replace(receipts.end)?;
        let waiting = usize::try_from(receipts.end - receipts.start).unwrap_or(usize::MAX);
        let holds_up = receipts.start < mark && waiting >= MIN_WAITING.min(peak);
        holds_up.then(|| Overdue {
            below: mark,
            share: (peak / 4).clamp(1, MAX_SHARE),
        })
    }

    /// Nothing is unacknowledged, or there is no connection any more.
    pub(super) const fn reset(&mut self) {
        self.mark = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_last_look_are_overdue() {
        let mut line = HeadOfLineMonitor::default();
        assert_eq!(
            line.check(10..20, 20),
            None,
            "nothing is known of their age"
        );
        assert_eq!(
            line.check(20..30, 20),
            None,
            "the earlier ones are acknowledged"
        );
        assert_eq!(
            line.check(29..40, 20),
            Some(Overdue {
                below: 30,
                share: 5
            })
        );

        assert_eq!(
            line.check(29..41, 20),
            Some(Overdue {
                below: 40,
                share: 5
            })
        );

        line.reset();
        assert_eq!(line.check(29..42, 20), None);
    }

    #[test]
    fn few_messages_block_only_below_the_brokers_limit() {
        let mut line = HeadOfLineMonitor::default();
        assert_eq!(line.check(0..1, 5), None);
        assert_eq!(line.check(0..1, 5), None, "the broker may send four more");
        assert_eq!(
            line.check(0..1, 1),
            Some(Overdue { below: 1, share: 1 }),
            "it may send no more"
        );
        assert_eq!(
            line.check(0..8, 1000),
            Some(Overdue {
                below: 1,
                share: 64
            }),
            "eight are enough"
        );
    }
}

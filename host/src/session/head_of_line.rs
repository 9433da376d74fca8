//! Notices when messages that services have not handled keep the broker from sending the next ones.
//!
//! Acknowledgements leave in the order of arrival (MQTT 5, section 4.6), so the oldest message that is not handled holds up those of all
//! services, and at the broker's limit all messages. That limit is not known (a broker may keep to less than the receive maximum), but
//! as many as were unacknowledged at once before may be so again. Pure; it is asked at regular times.

use std::ops::Range;

/// So many messages that wait are enough to be noticed, however many the broker may send.
const ENOUGH: usize = 8;
/// The largest share of a service.
const LARGEST_SHARE: usize = 64;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub struct HeadOfLine {
    /// The receipt of the next message to arrive.
    mark: Option<u64>,
}

/// Messages that hold up others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// They have receipts below this one.
    pub below: u64,
    /// How many messages a service may hold unacknowledged while others wait in its spool.
    pub share: usize,
}

impl HeadOfLine {
    /// A look at the receipts of messages that are not acknowledged: those that were there at the last look are overdue. `most`: how many
    /// were unacknowledged at once before.
    pub fn look(&mut self, receipts: Range<u64>, most: usize) -> Option<Overdue> {
        let mark = self.mark.replace(receipts.end)?;
        let waiting = usize::try_from(receipts.end - receipts.start).unwrap_or(usize::MAX);
        let holds_up = receipts.start < mark && waiting >= ENOUGH.min(most);
        holds_up.then(|| Overdue {
            below: mark,
            share: (most / 4).clamp(1, LARGEST_SHARE),
        })
    }

    /// Nothing is unacknowledged, or there is no connection any more.
    pub const fn clear(&mut self) {
        self.mark = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_last_look_are_overdue() {
        let mut line = HeadOfLine::default();
        assert_eq!(line.look(10..20, 20), None, "nothing is known of their age");
        assert_eq!(
            line.look(20..30, 20),
            None,
            "those of before are acknowledged"
        );
        assert_eq!(
            line.look(29..40, 20),
            Some(Overdue {
                below: 30,
                share: 5
            })
        );
        assert_eq!(
            line.look(29..41, 20),
            Some(Overdue {
                below: 40,
                share: 5
            })
        );
        line.clear();
        assert_eq!(line.look(29..42, 20), None);
    }

    #[test]
    fn few_messages_hold_up_others_only_where_the_broker_sent_no_more_before() {
        let mut line = HeadOfLine::default();
        assert_eq!(line.look(0..1, 5), None);
        assert_eq!(line.look(0..1, 5), None, "the broker may send four more");
        assert_eq!(
            line.look(0..1, 1),
            Some(Overdue { below: 1, share: 1 }),
            "it may send no more"
        );
        assert_eq!(
            line.look(0..8, 1000),
            Some(Overdue {
                below: 1,
                share: 64
            }),
            "eight are enough"
        );
    }
}

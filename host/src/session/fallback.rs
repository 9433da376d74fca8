//! The announcements of a service whose presence connection finds no place at the broker.
//!
//! The main connection carries them, but its will is that of the host. So each `1` expires by itself unless it is renewed, as far as the
//! protocol allows that.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::command::{Command, ConnectionStatus, Handle};
use crate::message::Message;
use crate::topic::Topic;

/// The lifetime of a `1` without a will behind it (MQTT 5, section 3.3.2.3.3).
pub const EXPIRY: Duration = Duration::from_secs(180);

/// The time for which the main connection has to stand before it announces. Presence connections that are only lost with it come back
/// sooner, and announce for themselves.
const GRACE: Duration = Duration::from_secs(5);

/// Announces over the main connection.
#[derive(Debug)]
pub(super) struct Fallback {
    main: Handle,
    /// The will of the presence connection. Its payload does not expire.
    will: Message,
    /// The number of the main connection that stands, and since when.
    standing: Option<(u64, Instant)>,
    announced: HashMap<Topic, Announcement>,
}

/// An announcement over the main connection.
#[derive(Debug)]
struct Announcement {
    message: Message,
    /// The number of the main connection that carried it.
    connection: u64,
    renewal: Option<Instant>,
}

impl Announcement {
    /// Whether `message` does not need to be announced now.
    fn covers(&self, message: &Message, connection: u64, now: Instant) -> bool {
        let renewed = self.renewal.is_none_or(|renewal| now < renewal);
        self.message == *message && self.connection == connection && renewed
    }
}

impl Fallback {
    /// `main`: the main connection. `will`: the will of the presence connection.
    pub(super) fn new(main: Handle, will: Message) -> Self {
        Self {
            main,
            will,
            standing: None,
            announced: HashMap::new(),
        }
    }

    /// Announces these messages, unless the current main connection has done so. Without a main connection that has stood for
    /// [`GRACE`] nothing is announced. To be called again at least once a minute.
    pub(super) fn announce<'a>(
        &mut self,
        messages: impl Iterator<Item = &'a Message>,
        now: Instant,
    ) {
        let ConnectionStatus::Connected { count, .. } = *self.main.status().borrow() else {
            self.standing = None;
            return;
        };
        let standing = self.standing.filter(|(known, _)| *known == count);
        let (_, since) = *self.standing.insert(standing.unwrap_or((count, now)));
        if now.saturating_duration_since(since) < GRACE {
            return;
        }

        for message in messages {
            let former = self.announced.get(&message.topic);
            if former.is_some_and(|former| former.covers(message, count, now)) {
                continue;
            }
            let expires = message.payload != self.will.payload;
            let sent = if expires {
                expiring(message)
            } else {
                message.clone()
            };
            // when the queue is full, the next call tries again
            if self.main.try_send(Command::AnnounceOnce(sent)).is_ok() {
                let announced = Announcement {
                    message: message.clone(),
                    connection: count,
                    renewal: expires.then(|| now + EXPIRY / 3),
                };
                self.announced.insert(message.topic.clone(), announced);
            }
        }
    }

    /// Forgets everything: the presence connection is there, and announces for itself.
    pub(super) fn end(&mut self) {
        self.standing = None;
        self.announced.clear();
    }
}

fn expiring(message: &Message) -> Message {
    let mut message = message.clone();
    let properties = message.properties.get_or_insert_default();
    properties.message_expiry = u32::try_from(EXPIRY.as_secs()).ok();
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::Qos;

    fn message(payload: &'static str) -> Message {
        let topic = Topic::new("online".to_owned()).unwrap();
        Message::new(topic, payload, Qos::AtLeastOnce, true)
    }

    #[test]
    fn an_announcement_is_renewed_for_each_connection_and_in_time() {
        let now = Instant::now();
        let announced = Announcement {
            message: message("1"),
            connection: 2,
            renewal: Some(now + EXPIRY / 3),
        };
        assert!(announced.covers(&message("1"), 2, now));
        assert!(!announced.covers(&message("0"), 2, now));
        assert!(!announced.covers(&message("1"), 3, now));
        assert!(!announced.covers(&message("1"), 2, now + EXPIRY / 3));
        let expiry = expiring(&message("1")).properties.unwrap().message_expiry;
        assert_eq!(expiry, Some(180));
    }
}

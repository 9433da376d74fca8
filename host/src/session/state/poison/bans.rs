//! Bans: messages that are not sent for a while, because several like them were quarantined. The counts are bounded.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::router::ServiceId;
use crate::topic::Topic;

/// Number of quarantined messages of a service on one topic that bans it there.
const TOPIC_THRESHOLD: u32 = 3;
/// Number of quarantined messages of a service on any topics that bans the service.
const SERVICE_THRESHOLD: u32 = 10;
/// Duration of a ban after the last quarantined message.
const TOPIC_BAN: Duration = Duration::from_secs(3600);
const SERVICE_BAN: Duration = Duration::from_secs(600);
/// The largest number of counts. New ones begin only when old ones are over.
const MAX_COUNTS: usize = 1024;

/// The messages of a service on a topic, or all of them.
type Kind = (ServiceId, Option<Topic>);

/// The begin or the end of a ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// The service.
    pub service: ServiceId,
    /// The topic; `None`: any.
    pub topic: Option<Topic>,
    /// `None`: the ban begins. Otherwise it is over, with the number of messages that it has set aside.
    pub ended: Option<u64>,
}

#[derive(Debug)]
struct Count {
    quarantined: u32,
    last: Instant,
    /// Number of messages that were not sent since.
    refused: u64,
}

/// Counts of quarantined messages.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    now: Option<Instant>,
    counts: HashMap<Kind, Count>,
    changes: Vec<Ban>,
}

impl Bans {
    /// Ends bans and counts that are over.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = Some(now);
        if self.counts.is_empty() {
            return;
        }
        let changes = &mut self.changes;
        self.counts.retain(|(service, topic), count| {
            let stays = now.saturating_duration_since(count.last) < ban_duration(topic.as_ref());
            if !stays && count.quarantined >= threshold(topic.as_ref()) {
                changes.push(Ban {
                    service: *service,
                    topic: topic.clone(),
                    ended: Some(count.refused),
                });
            }

            stays
        });
    }

    /// Handles that a message of `service` on `topic` was quarantined.
    pub(crate) fn on_quarantined(&mut self, service: ServiceId, topic: &Topic) {
        let Some(now) = self.now else { return };
        for topic in [Some(topic.clone()), None] {
            // requests of all services share one number: none is banned for those of another
            let is_shared = topic.is_none() && service == ServiceId::REQUESTS;
            if is_shared
                || (self.counts.len() >= MAX_COUNTS
                    && !self.counts.contains_key(&(service, topic.clone())))
            {
                continue;
            }

            let threshold = threshold(topic.as_ref());
            let new = Count {
                quarantined: 0,
                last: now,
                refused: 0,
            };
            let count = self.counts.entry((service, topic.clone())).or_insert(new);
            (count.quarantined, count.last) = (count.quarantined + 1, now);
            if count.quarantined == threshold {
                self.changes.push(Ban {
                    service,
                    topic,
                    ended: None,
                });
            }
        }
    }

    /// Whether a message is banned. Counts it then.
    pub(crate) fn refuses(&mut self, service: Option<ServiceId>, topic: &Topic) -> bool {
        let Some(service) = service.filter(|_| !self.counts.is_empty()) else {
            return false;
        };
        [Some(topic.clone()), None].into_iter().any(|topic| {
            let threshold = threshold(topic.as_ref());
            let count = self
                .counts
                .get_mut(&(service, topic))
                .filter(|count| count.quarantined >= threshold);
            count.map(|count| count.refused += 1).is_some()
        })
    }

    /// Returns the bans that began or ended since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<Ban> {
        std::mem::take(&mut self.changes)
    }
}

const fn threshold(topic: Option<&Topic>) -> u32 {
    if topic.is_some() {
        TOPIC_THRESHOLD
    } else {
        SERVICE_THRESHOLD
    }
}

const fn ban_duration(topic: Option<&Topic>) -> Duration {
    if topic.is_some() {
        TOPIC_BAN
    } else {
        SERVICE_BAN
    }
}

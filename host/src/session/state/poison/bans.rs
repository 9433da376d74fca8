//! Pure: messages that are not sent any more because messages like them were condemned. In: condemned messages, the time. Out: whether
//! another one is like them. Owns the counts; bounded.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::router::ServiceId;
use crate::topic::Topic;

/// So many messages of a service on one topic have to be condemned before no more are tried there.
const OF_TOPIC: u32 = 3;
/// So many on any topics before none of the service is tried.
const OF_SERVICE: u32 = 10;
/// For so long after the last one that was condemned.
const FOR_TOPIC: Duration = Duration::from_secs(3600);
const FOR_SERVICE: Duration = Duration::from_secs(600);
/// So many counts are kept; more are begun only when old ones are over.
const MOST: usize = 1024;

/// The messages of a service on a topic, or all of them.
type Kind = (ServiceId, Option<Topic>);

/// Messages of a service that are not sent, from now on or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// The service.
    pub service: ServiceId,
    /// The topic; `None`: any.
    pub topic: Option<Topic>,
    /// `None`: it begins. Else it is over, and so many messages were set aside for it.
    pub ended: Option<u64>,
}

#[derive(Debug)]
struct Count {
    condemned: u32,
    last: Instant,
    /// Messages that were not sent since.
    refused: u64,
}

/// Counts of condemned messages.
#[derive(Debug, Default)]
pub struct Bans {
    now: Option<Instant>,
    counts: HashMap<Kind, Count>,
    changes: Vec<Ban>,
}

impl Bans {
    /// The time passes.
    pub fn tick(&mut self, now: Instant) {
        self.now = Some(now);
        if self.counts.is_empty() {
            return;
        }
        let changes = &mut self.changes;
        self.counts.retain(|(service, topic), count| {
            let stays = now.saturating_duration_since(count.last) < span(topic.as_ref());
            if !stays && count.condemned >= most(topic.as_ref()) {
                changes.push(Ban {
                    service: *service,
                    topic: topic.clone(),
                    ended: Some(count.refused),
                });
            }
            stays
        });
    }

    /// A message of `service` on `topic` was condemned.
    pub fn on_quarantined(&mut self, service: ServiceId, topic: &Topic) {
        let Some(now) = self.now else { return };
        for topic in [Some(topic.clone()), None] {
            // no service is to suffer for the requests of another
            let is_shared = topic.is_none() && service == ServiceId::REQUESTS;
            if is_shared
                || (self.counts.len() >= MOST
                    && !self.counts.contains_key(&(service, topic.clone())))
            {
                continue;
            }
            let most = most(topic.as_ref());
            let new = Count {
                condemned: 0,
                last: now,
                refused: 0,
            };
            let count = self.counts.entry((service, topic.clone())).or_insert(new);
            (count.condemned, count.last) = (count.condemned + 1, now);
            if count.condemned == most {
                self.changes.push(Ban {
                    service,
                    topic,
                    ended: None,
                });
            }
        }
    }

    /// Whether a message is not to be tried; counts it then.
    pub fn refuses(&mut self, service: Option<ServiceId>, topic: &Topic) -> bool {
        let Some(service) = service.filter(|_| !self.counts.is_empty()) else {
            return false;
        };
        [Some(topic.clone()), None].into_iter().any(|topic| {
            let most = most(topic.as_ref());
            let count = self
                .counts
                .get_mut(&(service, topic))
                .filter(|count| count.condemned >= most);
            count.map(|count| count.refused += 1).is_some()
        })
    }

    /// What began and ended since the last call.
    pub fn take_changes(&mut self) -> Vec<Ban> {
        std::mem::take(&mut self.changes)
    }
}

const fn most(topic: Option<&Topic>) -> u32 {
    if topic.is_some() {
        OF_TOPIC
    } else {
        OF_SERVICE
    }
}

const fn span(topic: Option<&Topic>) -> Duration {
    if topic.is_some() {
        FOR_TOPIC
    } else {
        FOR_SERVICE
    }
}

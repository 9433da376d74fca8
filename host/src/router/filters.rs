//! Filters of all services, and the subscriptions that the broker has for them.

mod cover;
mod matching;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::ids::{IdentifiedSubscription, ServiceId, SubscriptionId};
use super::trie::Trie;
use crate::message::{Qos, Subscription, SubscriptionChange};
use crate::topic::Filter;
use cover::{Cover, CoverState};
pub(super) use matching::Match;

/// The largest subscription identifier (MQTT 5, section 3.8.2.1.2).
const MAX_ID: u32 = 268_435_455;

/// How many identifiers of former filters are remembered, to recognize copies that were already under way.
const MAX_RETIRED: usize = 1024;

/// How long after another SUBSCRIBE its retained messages may come.
const RETAINED_WINDOW: Duration = Duration::from_secs(10);

/// The filters of all services.
#[derive(Debug, Default)]
pub(super) struct Filters {
    trie: Trie<usize>,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    by_filter: HashMap<Filter, usize>,
    ids: HashMap<SubscriptionId, usize>,
    by_service: HashMap<ServiceId, HashSet<usize>>,
    /// Entries that changed since the last diff.
    touched: Vec<usize>,
    retired: VecDeque<u32>,
    /// Services that await the retained messages of a filter, by its identifier, and since when; `None`: for another reason.
    awaiting_retained: HashMap<u32, Vec<(ServiceId, Option<Instant>)>>,
    cover: Cover,
    /// Whether there was a connection.
    was_connected: bool,
    ages: Ages,
}

/// Ages of subscriptions: each has a higher one than those before it.
#[derive(Debug, Default)]
struct Ages {
    /// The age of the last subscription.
    last: u64,
    /// `last` at the last diff.
    at_diff: u64,
}

#[derive(Debug)]
struct Entry {
    filter: Filter,
    id: SubscriptionId,
    shared: bool,
    /// The quality of service of the last SUBSCRIBE; `None`: the broker does not have it.
    subscribed_qos: Option<Qos>,
    /// The broker refused it: the filter matches nothing until it is granted.
    refused: bool,
    cover: CoverState,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    service: ServiceId,
    qos: Qos,
    age: u64,
}

impl Entry {
    fn wanted(&self) -> Option<Qos> {
        self.members.iter().map(|member| member.qos).max()
    }

    fn identified_subscription(&self, qos: Qos) -> IdentifiedSubscription {
        IdentifiedSubscription {
            subscription: Subscription {
                filter: self.filter.clone(),
                qos,
            },
            id: self.id,
        }
    }
}

impl Filters {
    /// Makes `subscriptions` all that the service wants; its earlier filters keep their place in the order.
    pub(super) fn replace(&mut self, service: ServiceId, subscriptions: &[Subscription]) {
        let kept: HashSet<&Filter> = subscriptions
            .iter()
            .map(|subscription| &subscription.filter)
            .collect();
        let indexes = self.by_service.get(&service).into_iter().flatten();
        let ended: Vec<Filter> = indexes
            .filter_map(|index| self.entries[*index].as_ref())
            .filter(|entry| !kept.contains(&entry.filter))
            .map(|entry| entry.filter.clone())
            .collect();
        ended
            .iter()
            .for_each(|filter| self.remove_member(service, filter));
        subscriptions
            .iter()
            .for_each(|subscription| self.add_member(service, subscription));
    }

    /// Whether the service wants messages for this filter.
    pub(super) fn has_member(&self, service: ServiceId, filter: &Filter) -> bool {
        let index = self.by_filter.get(filter);
        index
            .and_then(|index| self.entries[*index].as_ref())
            .is_some_and(|entry| entry.members.iter().any(|member| member.service == service))
    }

    /// Changes what the service wants, in order.
    pub(super) fn change(&mut self, service: ServiceId, changes: &[SubscriptionChange]) {
        for change in changes {
            match change {
                SubscriptionChange::Subscribe(subscription) => {
                    self.add_member(service, subscription)
                }
                SubscriptionChange::Unsubscribe(filter) => self.remove_member(service, filter),
            }
        }
    }

    /// Returns the filters to subscribe to and to unsubscribe from since the last diff.
    pub(super) fn diff(&mut self) -> (Vec<IdentifiedSubscription>, Vec<Filter>) {
        if self.cover.active && !self.touched.is_empty() {
            self.update_cover();
        }
        self.ages.at_diff = self.ages.last;
        let mut subscribe = Vec::new();
        let mut unsubscribe = Vec::new();
        for index in std::mem::take(&mut self.touched) {
            let at_broker = self.at_broker(index);
            let Some(entry) = &mut self.entries[index] else {
                continue;
            };
            let previous = std::mem::replace(&mut entry.subscribed_qos, at_broker);
            match at_broker {
                Some(qos) if previous != at_broker => {
                    subscribe.push(entry.identified_subscription(qos))
                }
                Some(_) => {}
                None => {
                    entry.cover.granted = false;
                    // a filter that the broker had is only left out when the one that covers it is granted
                    entry.cover.was_delivered |= previous.is_some();
                    unsubscribe.extend(previous.map(|_| entry.filter.clone()));
                }
            }

            if entry.members.is_empty() {
                self.remove_entry(index);
            }
        }

        (subscribe, unsubscribe)
    }

    /// Handles a connection with or without subscription identifiers. Returns the filters to subscribe to, and those to unsubscribe from
    /// then because the broker may have them from before.
    pub(super) fn on_connected(
        &mut self,
        identifiers: bool,
        session_present: bool,
    ) -> (Vec<IdentifiedSubscription>, Vec<Filter>) {
        if !session_present {
            self.awaiting_retained.clear();
        }
        let first = !std::mem::replace(&mut self.was_connected, true);
        if first || !session_present {
            for entry in self.entries.iter_mut().flatten() {
                entry.subscribed_qos = None;
                entry.cover = CoverState::default();
            }
        }

        let was_subscribed: HashSet<usize> = self.subscribed().map(|(index, _)| index).collect();
        self.set_covering(!identifiers);
        self.diff();
        let subscribe = self
            .subscribed()
            .filter_map(|(_, entry)| Some(entry.identified_subscription(entry.subscribed_qos?)))
            .collect();
        let covered = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((index, entry.as_ref()?)));
        let covered = covered.filter(|(_, entry)| entry.subscribed_qos.is_none());
        let unsubscribe = covered
            .filter(|(index, _)| (first && session_present) || was_subscribed.contains(index));
        let unsubscribe = unsubscribe.map(|(_, entry)| entry.filter.clone()).collect();
        (subscribe, unsubscribe)
    }

    fn subscribed(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let entries = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((index, entry.as_ref()?)));
        entries.filter(|(_, entry)| entry.subscribed_qos.is_some())
    }

    /// A filter that some service wants, as the broker has it: the filter that covers it, if there is one.
    pub(super) fn identified_subscription(
        &self,
        filter: &Filter,
    ) -> Option<IdentifiedSubscription> {
        let index = self.carrier(filter)?;
        let entry = self.entries[index].as_ref()?;
        self.at_broker(index)
            .map(|qos| entry.identified_subscription(qos))
    }

    /// The filter that brings the messages for this one: itself, or one that covers it.
    fn carrier(&self, filter: &Filter) -> Option<usize> {
        let index = *self.by_filter.get(filter)?;
        let entry = self.entries[index].as_ref()?;
        Some(
            entry
                .cover
                .by
                .filter(|_| entry.subscribed_qos.is_none())
                .unwrap_or(index),
        )
    }

    /// Prepares another SUBSCRIBE for a filter, so that `service` gets its retained messages.
    pub(super) fn request_retained(
        &mut self,
        service: ServiceId,
        filter: &Filter,
        now: Instant,
    ) -> Option<IdentifiedSubscription> {
        let identified = self.identified_subscription(filter)?;
        let index = self.carrier(filter)?;
        let all = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(other, entry)| Some((other, entry.as_ref()?)));
        let brought = all.filter(|(other, entry)| *other == index || entry.cover.by == Some(index));
        for id in brought.map(|(_, entry)| entry.id.0).collect::<Vec<_>>() {
            let asking = self.awaiting_retained.entry(id).or_default();
            asking.retain(|(_, at)| {
                at.is_none_or(|at| now.saturating_duration_since(at) < RETAINED_WINDOW)
            });
            asking.push((service, Some(now)));
        }

        Some(identified)
    }

    /// Whether a retained message with this match is for the service: it is, unless others alone await it.
    pub(super) fn wants_retained(&self, found: &Match) -> bool {
        let asking = self.awaiting_retained.get(&found.id);
        asking.is_none_or(|asking| asking.iter().any(|(service, _)| *service == found.service))
    }

    /// Handles whether the broker granted a filter.
    pub(super) fn on_answer(&mut self, filter: &Filter, granted: bool) {
        let Some(index) = self.by_filter.get(filter).copied() else {
            return;
        };
        if let Some(entry) = &mut self.entries[index] {
            entry.refused = !granted;
            entry.cover.granted = granted;
            if self.cover.active {
                self.touched.push(index);
            }
        }
    }

    fn add_member(&mut self, service: ServiceId, subscription: &Subscription) {
        let index = match self.by_filter.get(&subscription.filter) {
            Some(index) => *index,
            None => self.add_entry(&subscription.filter),
        };
        let Some(entry) = &mut self.entries[index] else {
            return;
        };
        match entry
            .members
            .iter_mut()
            .find(|member| member.service == service)
        {
            Some(member) => member.qos = subscription.qos,
            None => {
                self.ages.last += 1;
                entry.members.push(Member {
                    service,
                    qos: subscription.qos,
                    age: self.ages.last,
                });
                self.by_service.entry(service).or_default().insert(index);
            }
        }

        self.touched.push(index);
    }

    fn remove_member(&mut self, service: ServiceId, filter: &Filter) {
        let Some(index) = self.by_filter.get(filter).copied() else {
            return;
        };
        if let Some(entry) = &mut self.entries[index] {
            entry.members.retain(|member| member.service != service);
        }
        if let Some(indexes) = self.by_service.get_mut(&service) {
            indexes.remove(&index);
            if indexes.is_empty() {
                self.by_service.remove(&service);
            }
        }

        self.touched.push(index);
    }

    fn add_entry(&mut self, filter: &Filter) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        let id = self.free_id(filter);
        let shared = filter.pattern().len() != filter.as_str().len();
        self.trie.insert(filter.pattern(), index);
        self.ids.insert(id, index);
        self.by_filter.insert(filter.clone(), index);
        let filter = filter.clone();
        self.entries[index] = Some(Entry {
            filter,
            id,
            shared,
            subscribed_qos: None,
            refused: false,
            cover: CoverState::default(),
            members: Vec::new(),
        });

        self.retired.retain(|retired| *retired != id.0);
        index
    }

    fn remove_entry(&mut self, index: usize) {
        let Some(entry) = self.entries[index].take() else {
            return;
        };
        self.trie.remove(entry.filter.pattern(), &index);
        self.ids.remove(&entry.id);
        self.awaiting_retained.remove(&entry.id.0);
        self.by_filter.remove(&entry.filter);
        self.free.push(index);
        if self.retired.len() == MAX_RETIRED {
            self.retired.pop_front();
        }
        self.retired.push_back(entry.id.0);
    }

    /// The identifier for a filter: its hash, or the next one that is free.
    fn free_id(&self, filter: &Filter) -> SubscriptionId {
        let mut id = hash(filter.as_str()) % MAX_ID + 1;
        while self.ids.contains_key(&SubscriptionId(id)) {
            id = id % MAX_ID + 1;
        }
        SubscriptionId(id)
    }
}

/// FNV-1a, 32 bits: small, and the same in every build.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

//! Pure: which service wants which filters, and what the broker was told. In: changes of services. Out: for a topic the
//! services that take a copy; the difference to send. Owns the trie, the entries and the subscription identifiers.

mod cover;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::trie::Trie;
use super::{Numbered, ServiceId};
use crate::message::{Qos, Subscription, SubscriptionChange};
use crate::topic::Filter;
use cover::{Cover, Covered};

/// The largest subscription identifier (MQTT 5, section 3.8.2.1.2).
const MAX_ID: u32 = 268_435_455;

/// Identifiers of filters that went, kept to recognise copies that were already under way.
const REMEMBERED: usize = 1024;

/// So long after a filter was asked for once more its retained messages may come.
const ANSWERED: Duration = Duration::from_secs(10);

/// A subscription identifier: 1 to 268,435,455. Made from the filter's text, so that it means the same filter after a
/// restart, when the broker delivers what it queued meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u32);

/// A filter that matches, of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// Who wants it.
    pub service: ServiceId,
    /// `$share` filters come after the others: the broker gives their copies to one member of the group only, so such a
    /// copy cannot stand for the one that is sure to come.
    shared: bool,
    /// The order in which the service subscribed.
    age: u64,
    id: u32,
}

/// The filters of all services.
#[derive(Debug, Default)]
pub struct Filters {
    trie: Trie<usize>,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    by_filter: HashMap<Filter, usize>,
    ids: HashMap<SubscriptionId, usize>,
    held: HashMap<ServiceId, HashSet<usize>>,
    /// Entries that changed since the last difference.
    touched: Vec<usize>,
    retired: VecDeque<u32>,
    /// For whom a filter was asked for once more, and when; `None`: because of something else.
    asking: HashMap<u32, Vec<(ServiceId, Option<Instant>)>>,
    cover: Cover,
    /// There was a connection.
    begun: bool,
    clock: u64,
    /// `clock` at the last difference.
    settled: u64,
}

#[derive(Debug)]
struct Entry {
    filter: Filter,
    id: SubscriptionId,
    shared: bool,
    /// What the broker was last told; `None`: nothing yet.
    told: Option<Qos>,
    /// The broker does not want to: the filter matches nothing until it is granted.
    refused: bool,
    covered: Covered,
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

    fn numbered(&self, qos: Qos) -> Numbered {
        Numbered {
            subscription: Subscription {
                filter: self.filter.clone(),
                qos,
            },
            id: self.id,
        }
    }
}

impl Filters {
    /// Makes `subscriptions` all that the service wants; what it wanted before keeps its place in the order.
    pub fn replace(&mut self, service: ServiceId, subscriptions: &[Subscription]) {
        let kept: HashSet<&Filter> = subscriptions
            .iter()
            .map(|subscription| &subscription.filter)
            .collect();
        let held = self.held.get(&service).into_iter().flatten();
        let gone: Vec<Filter> = held
            .filter_map(|index| self.entries[*index].as_ref())
            .filter(|entry| !kept.contains(&entry.filter))
            .map(|entry| entry.filter.clone())
            .collect();
        gone.iter().for_each(|filter| self.leave(service, filter));
        subscriptions
            .iter()
            .for_each(|subscription| self.join(service, subscription));
    }

    /// Changes what the service wants, in order.
    pub fn change(&mut self, service: ServiceId, changes: &[SubscriptionChange]) {
        for change in changes {
            match change {
                SubscriptionChange::Subscribe(subscription) => self.join(service, subscription),
                SubscriptionChange::Unsubscribe(filter) => self.leave(service, filter),
            }
        }
    }

    /// What to subscribe and what to unsubscribe since the last difference.
    pub fn difference(&mut self) -> (Vec<Numbered>, Vec<Filter>) {
        if self.cover.active && !self.touched.is_empty() {
            self.recover();
        }
        self.settled = self.clock;
        let (mut subscribe, mut unsubscribe) = (Vec::new(), Vec::new());
        for index in std::mem::take(&mut self.touched) {
            let at_broker = self.at_broker(index);
            let Some(entry) = &mut self.entries[index] else {
                continue;
            };
            let told = std::mem::replace(&mut entry.told, at_broker);
            match at_broker {
                Some(qos) if told != at_broker => subscribe.push(entry.numbered(qos)),
                Some(_) => {}
                None => {
                    entry.covered.granted = false;
                    unsubscribe.extend(told.map(|_| entry.filter.clone()));
                }
            }
            if entry.members.is_empty() {
                self.forget(index);
            }
        }
        (subscribe, unsubscribe)
    }

    /// A connection is there, with or without subscription identifiers: what to subscribe, and what to unsubscribe then, because
    /// the broker may have it from before.
    pub fn connected(
        &mut self,
        identifiers: bool,
        session_present: bool,
    ) -> (Vec<Numbered>, Vec<Filter>) {
        if !session_present {
            self.asking.clear();
        }
        let first = !std::mem::replace(&mut self.begun, true);
        if first || !session_present {
            for entry in self.entries.iter_mut().flatten() {
                (entry.told, entry.covered) = (None, Covered::default());
            }
        }
        let was_told: HashSet<usize> = self.told().map(|(index, _)| index).collect();
        self.cover(!identifiers);
        self.difference();
        let subscribe = self
            .told()
            .filter_map(|(_, entry)| Some(entry.numbered(entry.told?)))
            .collect();
        let covered = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((index, entry.as_ref()?)));
        let covered = covered.filter(|(_, entry)| entry.told.is_none());
        let unsubscribe =
            covered.filter(|(index, _)| (first && session_present) || was_told.contains(index));
        let unsubscribe = unsubscribe.map(|(_, entry)| entry.filter.clone()).collect();
        (subscribe, unsubscribe)
    }

    fn told(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let entries = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((index, entry.as_ref()?)));
        entries.filter(|(_, entry)| entry.told.is_some())
    }

    /// A filter that some service wants, as the broker knows it: what covers it, if something does.
    pub fn number(&self, filter: &Filter) -> Option<Numbered> {
        let index = self.bringing(filter)?;
        let entry = self.entries[index].as_ref()?;
        self.at_broker(index).map(|qos| entry.numbered(qos))
    }

    /// What brings the messages for a filter.
    fn bringing(&self, filter: &Filter) -> Option<usize> {
        let index = *self.by_filter.get(filter)?;
        let entry = self.entries[index].as_ref()?;
        Some(
            entry
                .covered
                .by
                .filter(|_| entry.told.is_none())
                .unwrap_or(index),
        )
    }

    /// The filter is asked for once more, for the sake of `service`.
    pub fn ask_again(
        &mut self,
        service: ServiceId,
        filter: &Filter,
        now: Instant,
    ) -> Option<Numbered> {
        let numbered = self.number(filter)?;
        let index = self.bringing(filter)?;
        let all = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(other, entry)| Some((other, entry.as_ref()?)));
        let brought =
            all.filter(|(other, entry)| *other == index || entry.covered.by == Some(index));
        for id in brought.map(|(_, entry)| entry.id.0).collect::<Vec<_>>() {
            let asking = self.asking.entry(id).or_default();
            asking
                .retain(|(_, at)| at.is_none_or(|at| now.saturating_duration_since(at) < ANSWERED));
            asking.push((service, Some(now)));
        }
        Some(numbered)
    }

    /// Whether a retained message that was found so is for the service.
    pub fn expects(&self, found: &Match) -> bool {
        let asking = self.asking.get(&found.id);
        asking.is_none_or(|asking| asking.iter().any(|(service, _)| *service == found.service))
    }

    /// Notes whether the broker granted a filter.
    pub fn answered(&mut self, filter: &Filter, granted: bool) {
        let Some(index) = self.by_filter.get(filter).copied() else {
            return;
        };
        if let Some(entry) = &mut self.entries[index] {
            entry.refused = !granted;
            entry.covered.granted = granted;
            if self.cover.active {
                self.touched.push(index);
            }
        }
    }

    /// Fills `found` with one match for each service that takes this copy of a message on `topic`.
    pub fn takers(&self, topic: &str, ids: &[u32], found: &mut Vec<Match>) {
        found.clear();
        self.trie.matches(topic, |index| {
            if let Some(entry) = &self.entries[*index] {
                entry.collect(found);
            }
        });
        if found.len() > 1 {
            found.sort_unstable();
        }
        if self.copies_are_told_apart(ids, found) {
            keep_takers_of(ids, found);
        }
        found.dedup_by_key(|candidate| candidate.service);
    }

    /// Whether the identifiers say for which filters this copy is. Not so where there are none, nor where all of them are
    /// of a time before this process: such a copy goes to whoever wants the topic, because it is perhaps the only one.
    fn copies_are_told_apart(&self, ids: &[u32], found: &[Match]) -> bool {
        let known = |id: &u32| {
            found.iter().any(|candidate| candidate.id == *id)
                || self.ids.contains_key(&SubscriptionId(*id))
                || self.retired.contains(id)
        };
        ids.iter().any(known)
    }

    fn join(&mut self, service: ServiceId, subscription: &Subscription) {
        let index = match self.by_filter.get(&subscription.filter) {
            Some(index) => *index,
            None => self.add(&subscription.filter),
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
                self.clock += 1;
                entry.members.push(Member {
                    service,
                    qos: subscription.qos,
                    age: self.clock,
                });
                self.held.entry(service).or_default().insert(index);
            }
        }
        self.touched.push(index);
    }

    fn leave(&mut self, service: ServiceId, filter: &Filter) {
        let Some(index) = self.by_filter.get(filter).copied() else {
            return;
        };
        if let Some(entry) = &mut self.entries[index] {
            entry.members.retain(|member| member.service != service);
        }
        if let Some(held) = self.held.get_mut(&service) {
            held.remove(&index);
            if held.is_empty() {
                self.held.remove(&service);
            }
        }
        self.touched.push(index);
    }

    fn add(&mut self, filter: &Filter) -> usize {
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
            told: None,
            refused: false,
            covered: Covered::default(),
            members: Vec::new(),
        });
        self.retired.retain(|retired| *retired != id.0);
        index
    }

    fn forget(&mut self, index: usize) {
        let Some(entry) = self.entries[index].take() else {
            return;
        };
        self.trie.remove(entry.filter.pattern(), &index);
        self.ids.remove(&entry.id);
        self.asking.remove(&entry.id.0);
        self.by_filter.remove(&entry.filter);
        self.free.push(index);
        if self.retired.len() == REMEMBERED {
            self.retired.pop_front();
        }
        self.retired.push_back(entry.id.0);
    }

    /// The identifier for a filter: of its hash, or the next one that is free.
    fn free_id(&self, filter: &Filter) -> SubscriptionId {
        let mut id = hash(filter.as_str()) % MAX_ID + 1;
        while self.ids.contains_key(&SubscriptionId(id)) {
            id = id % MAX_ID + 1;
        }
        SubscriptionId(id)
    }
}

impl Entry {
    fn collect(&self, found: &mut Vec<Match>) {
        if self.refused {
            return;
        }
        let (shared, id) = (self.shared, self.id.0);
        found.extend(self.members.iter().map(|member| Match {
            service: member.service,
            shared,
            age: member.age,
            id,
        }));
    }
}

/// Of the sorted matches, keeps those by which a service takes the copy with these identifiers: its first filter, or any
/// shared one when it has only such.
fn keep_takers_of(ids: &[u32], found: &mut Vec<Match>) {
    let mut first: Option<Match> = None;
    found.retain(|candidate| {
        let leader = first.filter(|first| first.service == candidate.service);
        if leader.is_none() {
            first = Some(*candidate);
        }
        leader.is_none_or(|leader| leader.shared) && ids.contains(&candidate.id)
    });
}

/// FNV-1a, 32 bits: small, and the same in every build.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

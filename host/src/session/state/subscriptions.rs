//! Pure: SUBSCRIBE and UNSUBSCRIBE. In: differences of the wanted subscriptions, SUBACK, UNSUBACK, losses of the connection.
//! Out: packets, pipelined. Owns what is asked and not answered, and what the broker is known to have.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::ids::Ids;
use super::output::Event;
use super::poison::{PoisonDetector, Suspect};
use crate::config::Protocol;
use crate::message::{Qos, Subscription};
use crate::session::packet::{Outgoing, Reason, ServerCapabilities, Subscribe, Unsubscribe};
use crate::topic::Filter;

mod packing;
mod quarantine;

use packing::{MAX_FILTERS, Packing};
use quarantine::Quarantine;

/// How many may be unanswered at once.
const MAX_UNANSWERED: usize = 256;

/// A subscription with its MQTT 5 subscription identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSubscription {
    /// Filter and quality of service.
    pub subscription: Subscription,
    /// 1 to 268,435,455.
    pub id: u32,
}

/// The broker's answer for a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionAnswer {
    /// The filter.
    pub filter: Filter,
    /// Whether the broker delivers for it.
    pub granted: bool,
}

/// SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug)]
enum SubscriptionRequest {
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
}

impl SubscriptionRequest {
    fn set_id(&mut self, new: u16) {
        match self {
            Self::Subscribe(Subscribe { id, .. }) | Self::Unsubscribe(Unsubscribe { id, .. }) => {
                *id = new
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Subscribe(request) => request.subscriptions.len(),
            Self::Unsubscribe(request) => request.filters.len(),
        }
    }

    fn suspect(&self, place: usize) -> Suspect {
        match self {
            Self::Subscribe(request) => {
                Suspect::Subscribe(request.subscriptions[place].filter.clone())
            }
            Self::Unsubscribe(request) => Suspect::Unsubscribe(request.filters[place].clone()),
        }
    }

    fn suspects(&self) -> impl ExactSizeIterator<Item = Suspect> {
        (0..self.len()).map(|place| self.suspect(place))
    }

    /// Keeps the first `count` filters, and gives a request for the others.
    fn split_off(&mut self, count: usize) -> Self {
        match self {
            Self::Subscribe(request) => {
                let subscriptions = request.subscriptions.split_off(count);
                Self::Subscribe(Subscribe {
                    subscriptions,
                    ..request.clone()
                })
            }
            Self::Unsubscribe(request) => Self::Unsubscribe(Unsubscribe {
                id: 0,
                filters: request.filters.split_off(count),
            }),
        }
    }
}

/// Subscriptions about subscriptions.
#[derive(Debug)]
pub struct Subscriptions {
    protocol: Protocol,
    waiting: VecDeque<SubscriptionRequest>,
    unanswered: BTreeMap<u16, SubscriptionRequest>,
    /// What the broker has confirmed in this session.
    confirmed: HashMap<Filter, Qos>,
    /// CloseReason without the broker's knowledge.
    ended: HashSet<Filter>,
    answers: Vec<SubscriptionAnswer>,
    /// Filters for which the broker ends the connection.
    quarantine: Quarantine,
    /// So many filters go in one packet: known brokers take some hundred, and one that takes less is found out.
    most: usize,
    /// It was found out that there can be no more, which is not told yet.
    most_is_news: bool,
}

impl Subscriptions {
    /// Nothing asked.
    pub fn new(protocol: Protocol) -> Self {
        let (confirmed, ended) = (HashMap::new(), HashSet::new());
        Self {
            protocol,
            waiting: VecDeque::new(),
            unanswered: BTreeMap::new(),
            confirmed,
            ended,
            answers: Vec::new(),
            quarantine: Quarantine::default(),
            most: MAX_FILTERS,
            most_is_news: false,
        }
    }

    /// From the next connection on this protocol is spoken, perhaps with another broker.
    pub fn renew(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        (self.most, self.most_is_news) = (MAX_FILTERS, false);
        self.quarantine = Quarantine::default();
    }

    /// A connection is there: asks for all that is wanted and ends what is not, as far as the broker may have it. In 3.1.1, which
    /// has no "only if new", a kept session is not asked again for what it confirmed: that would repeat retained messages.
    pub fn connected(
        &mut self,
        wanted: Vec<WantedSubscription>,
        session_present: bool,
        server: &ServerCapabilities,
        events: &mut Vec<Event>,
    ) {
        let mut ended = std::mem::take(&mut self.ended);
        if session_present {
            for WantedSubscription { subscription, .. } in &wanted {
                ended.remove(&subscription.filter);
            }
            self.unsubscribe(ended.into_iter().collect(), server);
        } else {
            self.confirmed.clear();
        }
        let known = |wanted: &WantedSubscription| {
            self.protocol == Protocol::V311
                && self.confirmed.get(&wanted.subscription.filter) == Some(&wanted.subscription.qos)
        };
        let asked = wanted.into_iter().filter(|wanted| !known(wanted)).collect();
        self.subscribe(asked, server, events);
    }

    /// The next time that the filter is asked for, it is as if for the first.
    pub fn forget(&mut self, filter: &Filter) {
        self.confirmed.remove(filter);
    }

    /// Asks for subscriptions on the connection that is there.
    pub fn subscribe(
        &mut self,
        wanted: Vec<WantedSubscription>,
        server: &ServerCapabilities,
        events: &mut Vec<Event>,
    ) {
        let wanted = self.without_quarantined(wanted);
        // a broker that has kept the session from an earlier process may have the subscription; the services of this one know
        // nothing yet of what is retained for it
        let known =
            |wanted: &WantedSubscription| self.confirmed.contains_key(&wanted.subscription.filter);
        let (again, first): (Vec<_>, Vec<_>) = wanted.into_iter().partition(known);
        for (wanted, retained_again) in [(first, true), (again, false)] {
            let packing =
                Packing::new(self.protocol, server, self.most).with_retained(retained_again);
            for request in packing.subscribes(wanted, events, &mut self.answers) {
                self.waiting
                    .push_back(SubscriptionRequest::Subscribe(request));
            }
        }
    }

    /// Ends subscriptions on the connection that is there.
    pub fn unsubscribe(&mut self, mut filters: Vec<Filter>, server: &ServerCapabilities) {
        filters.retain(|filter| !self.quarantine.has(&Suspect::Unsubscribe(filter.clone())));
        for request in Packing::new(self.protocol, server, self.most).unsubscribes(filters) {
            self.waiting
                .push_back(SubscriptionRequest::Unsubscribe(request));
        }
    }

    /// Remembers what ended while there is no connection.
    pub fn unsubscribe_later(&mut self, filters: Vec<Filter>) {
        self.ended.extend(filters);
    }

    /// Whether something is not asked or not answered yet.
    pub fn is_asking(&self) -> bool {
        !(self.waiting.is_empty() && self.unanswered.is_empty())
    }

    /// Whether something waits to be asked.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() && self.unanswered.len() < MAX_UNANSWERED
    }

    /// Whether `next_packet` has one.
    pub fn is_ready(&self, poison: &PoisonDetector) -> bool {
        self.is_waiting()
            && self
                .waiting
                .front()
                .is_some_and(|first| poison.admits_of(first.suspects()) > 0)
    }

    /// The next packet.
    pub fn next_packet(
        &mut self,
        ids: &mut Ids,
        poison: &mut PoisonDetector,
    ) -> Option<Outgoing<'_>> {
        if !self.is_ready(poison) {
            return None;
        }
        let id = ids.take()?;
        let mut request = self.waiting.pop_front()?;
        let admitted = poison.admits_of(request.suspects()).min(self.most);
        if admitted < request.len() {
            self.waiting.push_front(request.split_off(admitted));
        }
        request.set_id(id);
        request
            .suspects()
            .for_each(|suspect| poison.sent(|| suspect, false));
        Some(match self.unanswered.entry(id).or_insert(request) {
            SubscriptionRequest::Subscribe(request) => Outgoing::Subscribe(request),
            SubscriptionRequest::Unsubscribe(request) => Outgoing::Unsubscribe(request),
        })
    }

    /// SUBACK came.
    pub fn subscribed(
        &mut self,
        id: u16,
        reasons: &[Reason],
        ids: &mut Ids,
        poison: &mut PoisonDetector,
        events: &mut Vec<Event>,
    ) {
        let Some(SubscriptionRequest::Subscribe(request)) = self.unanswered.remove(&id) else {
            return;
        };
        ids.free(id);
        let mut reasons = reasons.iter();
        for subscription in request.subscriptions {
            poison.answered(|| Suspect::Subscribe(subscription.filter.clone()));
            let Some(reason) = reasons.next() else {
                // whether it stands is not known, so what comes for it is delivered
                let (filter, reason) = (subscription.filter, Reason::MALFORMED);
                events.push(Event::SubscriptionRefused { filter, reason });
                continue;
            };
            let granted = !reason.is_failure();
            self.answers.push(SubscriptionAnswer {
                filter: subscription.filter.clone(),
                granted,
            });
            self.answered(subscription, *reason, events);
        }
    }

    fn answered(&mut self, subscription: Subscription, reason: Reason, events: &mut Vec<Event>) {
        let Subscription { filter, qos } = subscription;
        match Qos::try_from(reason.0) {
            Err(_) => events.push(Event::SubscriptionRefused { filter, reason }),
            Ok(granted) => {
                if granted < qos {
                    events.push(Event::SubscriptionLowered {
                        filter: filter.clone(),
                        granted,
                    });
                }
                self.confirmed.insert(filter, qos);
            }
        }
    }

    /// UNSUBACK came.
    pub fn unsubscribed(
        &mut self,
        id: u16,
        reasons: &[Reason],
        ids: &mut Ids,
        poison: &mut PoisonDetector,
        events: &mut Vec<Event>,
    ) {
        let Some(SubscriptionRequest::Unsubscribe(request)) = self.unanswered.remove(&id) else {
            return;
        };
        ids.free(id);
        let reasons = reasons
            .iter()
            .copied()
            .chain(std::iter::repeat(Reason::SUCCESS));
        for (filter, reason) in request.filters.into_iter().zip(reasons) {
            poison.answered(|| Suspect::Unsubscribe(filter.clone()));
            self.confirmed.remove(&filter);
            if reason.is_failure() {
                events.push(Event::UnsubscribeRefused { filter, reason });
            }
        }
    }

    /// Whether `take_answers` has some.
    pub const fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// What the broker answered since the last call.
    pub fn take_answers(&mut self) -> Vec<SubscriptionAnswer> {
        std::mem::take(&mut self.answers)
    }

    /// The connection is lost: subscriptions are asked for anew on the next one, ends are remembered.
    pub fn disconnected(&mut self, ids: &mut Ids) {
        for id in self.unanswered.keys() {
            ids.free(*id);
        }
        let unanswered = std::mem::take(&mut self.unanswered).into_values();
        for request in unanswered.chain(self.waiting.drain(..)) {
            match request {
                SubscriptionRequest::Unsubscribe(request) => self.ended.extend(request.filters),
                SubscriptionRequest::Subscribe(request) => {
                    for subscription in request.subscriptions {
                        self.confirmed.remove(&subscription.filter);
                    }
                }
            }
        }
    }

    /// Whether everything asked is answered.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.unanswered.is_empty()
    }
}

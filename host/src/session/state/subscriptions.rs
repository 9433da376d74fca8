//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5, sections 3.8 to 3.11): pipelined requests, and the filters that the broker is known to have.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::event::Event;
use super::ids::Ids;
use super::output::Outputs;
use super::poison::{PoisonDetector, Suspect};
use super::shared::Shared;
use crate::config::Protocol;
use crate::message::{Qos, Subscription};
use crate::session::packet::{ConnAck, Outgoing, Reason, ServerCapabilities};
use crate::topic::Filter;

mod packing;
mod quarantine;
mod request;

use packing::{MAX_FILTERS, Packing};
use quarantine::Quarantine;
use request::SubscriptionRequest;

/// How many requests may be unanswered at once.
const MAX_UNANSWERED: usize = 256;

/// A subscription with its MQTT 5 subscription identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSubscription {
    /// Filter and quality of service.
    pub subscription: Subscription,
    /// 1 to 268,435,455.
    pub id: u32,
}

/// The quality of service of a subscription that the broker has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantedQos {
    /// The highest that a service asked for.
    pub requested: Qos,
    /// The broker's answer (MQTT 5, section 3.9.3).
    pub granted: Qos,
}

/// Requests about subscriptions, and the filters that the broker has confirmed.
#[derive(Debug)]
pub(super) struct Subscriptions {
    protocol: Protocol,
    waiting: VecDeque<SubscriptionRequest>,
    unanswered: BTreeMap<u16, SubscriptionRequest>,
    /// Filters that the broker has confirmed in this session.
    confirmed: HashMap<Filter, GrantedQos>,
    /// Filters that ended while there was no connection.
    ended: HashSet<Filter>,
    quarantine: Quarantine,
    /// The number of filters that go into one packet. Known brokers accept some hundred; a smaller limit is found out.
    max_filters: usize,
    /// Whether a smaller `max_filters` was found that is not reported yet.
    has_shrunk: bool,
}

impl Subscriptions {
    /// Creates a state without requests.
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            waiting: VecDeque::new(),
            unanswered: BTreeMap::new(),
            confirmed: HashMap::new(),
            ended: HashSet::new(),
            quarantine: Quarantine::default(),
            max_filters: MAX_FILTERS,
            has_shrunk: false,
        }
    }

    /// Speaks this protocol from the next connection on, perhaps with another broker.
    pub(super) fn reconfigure(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.max_filters = MAX_FILTERS;
        self.has_shrunk = false;
        self.quarantine = Quarantine::default();
    }

    /// Handles a new connection: subscribes to everything that is wanted and unsubscribes from the rest, as far as the broker may have
    /// it.
    ///
    /// 3.1.1 has no option to send retained messages for new subscriptions only, so a kept session is not asked again for filters
    /// that it has confirmed: that would repeat their retained messages.
    pub(super) fn on_connected(
        &mut self,
        wanted: Vec<WantedSubscription>,
        ack: &ConnAck,
        outputs: &mut Outputs,
    ) {
        let mut ended = std::mem::take(&mut self.ended);
        if ack.session_present {
            for WantedSubscription { subscription, .. } in &wanted {
                ended.remove(&subscription.filter);
            }
            self.unsubscribe(ended.into_iter().collect(), &ack.server);
        } else {
            self.confirmed.clear();
        }

        let is_known = |wanted: &WantedSubscription| {
            self.protocol == Protocol::V311
                && self
                    .confirmed
                    .get(&wanted.subscription.filter)
                    .is_some_and(|confirmed| confirmed.requested == wanted.subscription.qos)
        };

        let unknown = wanted
            .into_iter()
            .filter(|wanted| !is_known(wanted))
            .collect();
        self.subscribe(unknown, &ack.server, outputs);
    }

    /// Forgets that the filter was confirmed, so the next SUBSCRIBE asks for retained messages again.
    pub(super) fn forget_confirmation(&mut self, filter: &Filter) {
        self.confirmed.remove(filter);
    }

    /// Subscribes on the current connection.
    pub(super) fn subscribe(
        &mut self,
        wanted: Vec<WantedSubscription>,
        server: &ServerCapabilities,
        outputs: &mut Outputs,
    ) {
        let wanted = self.without_quarantined(wanted, outputs);

        // A broker that has kept the session of an earlier process may have a filter that was not confirmed in this one. The services
        // of this process do not know its retained messages yet, so they are asked for.
        let is_confirmed =
            |wanted: &WantedSubscription| self.confirmed.contains_key(&wanted.subscription.filter);
        let (again, first): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_confirmed);
        for (wanted, retained_again) in [(first, true), (again, false)] {
            let packing = Packing::new(self.protocol, server, self.max_filters)
                .with_retained_again(retained_again);
            for request in packing.subscribes(wanted, outputs) {
                self.waiting
                    .push_back(SubscriptionRequest::Subscribe(request));
            }
        }
    }

    /// Unsubscribes on the current connection.
    pub(super) fn unsubscribe(&mut self, mut filters: Vec<Filter>, server: &ServerCapabilities) {
        filters.retain(|filter| {
            !self
                .quarantine
                .contains(&Suspect::Unsubscribe(filter.clone()))
        });
        let packing = Packing::new(self.protocol, server, self.max_filters);
        for request in packing.unsubscribes(filters) {
            self.waiting
                .push_back(SubscriptionRequest::Unsubscribe(request));
        }
    }

    /// Remembers filters that end while there is no connection.
    pub(super) fn unsubscribe_later(&mut self, filters: Vec<Filter>) {
        self.ended.extend(filters);
    }

    /// The filters that the broker has confirmed.
    pub(super) fn confirmed(&self) -> HashMap<Filter, GrantedQos> {
        self.confirmed.clone()
    }

    /// Whether a request is not sent or not answered yet.
    pub(super) fn is_pending(&self) -> bool {
        !(self.waiting.is_empty() && self.unanswered.is_empty())
    }

    /// Whether a request waits to be sent, and another answer may be outstanding.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() && self.unanswered.len() < MAX_UNANSWERED
    }

    /// Whether `poll_transmit` has a packet.
    pub(super) fn is_ready(&self, poison: &PoisonDetector) -> bool {
        self.has_waiting()
            && self
                .waiting
                .front()
                .is_some_and(|first| poison.admits_of(first.suspects()) > 0)
    }

    /// Returns the next packet.
    pub(super) fn poll_transmit(&mut self, shared: &mut Shared) -> Option<Outgoing<'_>> {
        if !self.is_ready(&shared.poison) {
            return None;
        }

        let id = shared.ids.take()?;
        let mut request = self.waiting.pop_front()?;
        let admitted = shared
            .poison
            .admits_of(request.suspects())
            .min(self.max_filters);
        if admitted < request.len() {
            self.waiting.push_front(request.split_off(admitted));
        }

        request.set_id(id);
        request
            .suspects()
            .for_each(|suspect| shared.poison.on_sent(|| suspect, false));
        Some(match self.unanswered.entry(id).or_insert(request) {
            SubscriptionRequest::Subscribe(request) => Outgoing::Subscribe(request),
            SubscriptionRequest::Unsubscribe(request) => Outgoing::Unsubscribe(request),
        })
    }

    /// Takes the request that an answer belongs to.
    fn take_answered(&mut self, id: u16, ids: &mut Ids) -> Option<SubscriptionRequest> {
        let request = self.unanswered.remove(&id)?;
        ids.free(id);
        Some(request)
    }

    /// Handles SUBACK. `maximum`: the broker's maximum quality of service; a subscription that is lowered to it is not worth an event.
    pub(super) fn on_suback(
        &mut self,
        id: u16,
        reasons: &[Reason],
        maximum: Qos,
        shared: &mut Shared,
    ) {
        let Some(SubscriptionRequest::Subscribe(request)) = self.take_answered(id, &mut shared.ids)
        else {
            return;
        };

        let mut reasons = reasons.iter();
        for subscription in request.subscriptions {
            shared
                .poison
                .on_answered(|| Suspect::Subscribe(subscription.filter.clone()));
            let Some(reason) = reasons.next() else {
                // whether the subscription stands is not known, so messages for it are delivered
                shared.outputs.log(Event::SubscriptionRefused {
                    filter: subscription.filter,
                    reason: Reason::MALFORMED,
                });
                continue;
            };

            shared
                .outputs
                .answer(subscription.filter.clone(), !reason.is_failure());
            self.on_filter_answered(subscription, *reason, maximum, &mut shared.outputs);
        }
    }

    fn on_filter_answered(
        &mut self,
        subscription: Subscription,
        reason: Reason,
        maximum: Qos,
        outputs: &mut Outputs,
    ) {
        let Subscription { filter, qos } = subscription;
        match Qos::try_from(reason.0) {
            Err(_) => outputs.log(Event::SubscriptionRefused { filter, reason }),
            Ok(granted) => {
                if granted < qos && granted < maximum {
                    outputs.log(Event::SubscriptionLowered {
                        filter: filter.clone(),
                        granted,
                    });
                }

                let requested = qos;
                self.confirmed
                    .insert(filter, GrantedQos { requested, granted });
            }
        }
    }

    /// Handles UNSUBACK. 3.1.1 has no reason codes: a filter without one has ended.
    pub(super) fn on_unsuback(&mut self, id: u16, reasons: &[Reason], shared: &mut Shared) {
        let Some(SubscriptionRequest::Unsubscribe(request)) =
            self.take_answered(id, &mut shared.ids)
        else {
            return;
        };

        let reasons = reasons
            .iter()
            .copied()
            .chain(std::iter::repeat(Reason::SUCCESS));
        for (filter, reason) in request.filters.into_iter().zip(reasons) {
            shared
                .poison
                .on_answered(|| Suspect::Unsubscribe(filter.clone()));
            self.confirmed.remove(&filter);
            if reason.is_failure() {
                shared
                    .outputs
                    .log(Event::UnsubscribeRefused { filter, reason });
            }
        }
    }

    /// Handles the loss of the connection: unanswered subscriptions count as unconfirmed, unanswered ends are remembered.
    pub(super) fn on_disconnected(&mut self, ids: &mut Ids) {
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
}

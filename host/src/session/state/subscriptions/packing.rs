//! Filters in as few SUBSCRIBE and UNSUBSCRIBE packets as the broker's limits allow.

use super::WantedSubscription;
use crate::config::Protocol;
use crate::session::packet::{Reason, ServerCapabilities, Subscribe, Unsubscribe};
use crate::session::state::event::Event;
use crate::session::state::output::Outputs;
use crate::topic::Filter;

/// The largest number of filters in one packet. Known brokers accept some hundred.
pub(super) const MAX_FILTERS: usize = 100;
/// Fixed header, packet identifier and properties of both packets, at most.
const OVERHEAD: usize = 5 + 2 + 1 + 5;

/// The broker's limits, as far as subscriptions are concerned.
#[derive(Debug)]
pub(super) struct Packing<'a> {
    with_ids: bool,
    server: &'a ServerCapabilities,
    max_bytes: usize,
    /// The largest number of filters in one packet.
    max_filters: usize,
    retained_again: bool,
}

impl<'a> Packing<'a> {
    /// Creates packets with at most `max_filters` filters.
    pub(super) fn new(
        protocol: Protocol,
        server: &'a ServerCapabilities,
        max_filters: usize,
    ) -> Self {
        let with_ids = protocol == Protocol::V5 && server.subscription_ids;
        let max_bytes = usize::try_from(server.maximum_packet_size).unwrap_or(usize::MAX);
        Self {
            with_ids,
            server,
            max_bytes,
            max_filters,
            retained_again: false,
        }
    }

    /// Asks for retained messages even where the broker has the subscription already.
    pub(super) fn with_retained_again(self, retained_again: bool) -> Self {
        Self {
            retained_again,
            ..self
        }
    }

    /// Packs subscriptions. A SUBSCRIBE has one subscription identifier, so filters with different ones go into different packets.
    pub(super) fn subscribes(
        &self,
        wanted: Vec<WantedSubscription>,
        outputs: &mut Outputs,
    ) -> Vec<Subscribe> {
        let mut packets: Vec<Subscribe> = Vec::new();
        let mut bytes = 0;
        for WantedSubscription { subscription, id } in wanted {
            if let Some(reason) = self.refusal(&subscription.filter) {
                let filter = subscription.filter;
                outputs.log(Event::SubscriptionRefused {
                    filter: filter.clone(),
                    reason,
                });
                outputs.answer(filter, false);
                continue;
            }

            let size = 3 + subscription.filter.as_str().len();
            let subscription_id = self.with_ids.then_some(id);
            let last = packets.last_mut().filter(|packet| {
                let room =
                    packet.subscriptions.len() < self.max_filters && bytes + size <= self.max_bytes;
                room && packet.subscription_id == subscription_id
            });
            match last {
                Some(packet) => push(&mut packet.subscriptions, subscription, &mut bytes, size),
                None => {
                    bytes = OVERHEAD + size;
                    let subscriptions = vec![subscription];
                    let retained_again = self.retained_again;
                    packets.push(Subscribe {
                        id: 0,
                        subscription_id,
                        retained_again,
                        subscriptions,
                    });
                }
            }
        }

        packets
    }

    /// Packs filters to unsubscribe from.
    pub(super) fn unsubscribes(&self, filters: Vec<Filter>) -> Vec<Unsubscribe> {
        let mut packets: Vec<Unsubscribe> = Vec::new();
        let mut bytes = 0;
        for filter in filters {
            if self.refusal(&filter).is_some() {
                continue;
            }
            let size = 2 + filter.as_str().len();
            let room = |packet: &&mut Unsubscribe| {
                packet.filters.len() < self.max_filters && bytes + size <= self.max_bytes
            };
            match packets.last_mut().filter(room) {
                Some(packet) => push(&mut packet.filters, filter, &mut bytes, size),
                None => {
                    bytes = OVERHEAD + size;
                    packets.push(Unsubscribe {
                        id: 0,
                        filters: vec![filter],
                    });
                }
            }
        }

        packets
    }

    /// The reason why a filter is not asked for: the broker would end the connection.
    fn refusal(&self, filter: &Filter) -> Option<Reason> {
        if OVERHEAD + 3 + filter.as_str().len() > self.max_bytes {
            return Some(Reason::PACKET_TOO_LARGE);
        }
        if !self.server.shared && filter.as_str().starts_with("$share/") {
            return Some(Reason::SHARED_NOT_SUPPORTED);
        }
        let wild = !self.server.wildcards && filter.as_str().contains(['+', '#']);
        wild.then_some(Reason::WILDCARDS_NOT_SUPPORTED)
    }
}

fn push<T>(list: &mut Vec<T>, item: T, bytes: &mut usize, size: usize) {
    list.push(item);
    *bytes += size;
}

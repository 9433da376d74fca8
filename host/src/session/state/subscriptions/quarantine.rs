//! Pure: filters for which the broker ends the connection. In: verdicts of a search, the time, what services ask for. Out: which filters are
//! not asked for. Owns them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::output::Event;
use super::super::poison::Suspect;
use super::{SubscriptionAnswer, SubscriptionRequest, Subscriptions, WantedSubscription};
use crate::topic::Filter;

/// After so long a filter is tried again.
const TRIED_AGAIN: Duration = Duration::from_secs(3600);

/// What is not asked.
#[derive(Debug, Default)]
pub struct Quarantine {
    /// Until when; `None`: until more is known.
    filters: HashMap<Suspect, Option<Instant>>,
    /// The time, as far as it was told.
    now: Option<Instant>,
}

impl Quarantine {
    /// Whether this is not asked.
    pub fn has(&self, suspect: &Suspect) -> bool {
        !self.filters.is_empty() && self.filters.contains_key(suspect)
    }
}

impl Subscriptions {
    /// What was asked on this connection and is not answered.
    pub fn in_doubt(&self) -> Vec<Suspect> {
        self.unanswered
            .values()
            .flat_map(SubscriptionRequest::suspects)
            .collect()
    }

    /// The broker ended the connection in a search: what is unanswered may have been too much for one packet, since there are brokers
    /// that take few filters in one.
    pub fn shrink_packets(&mut self) {
        let largest = self
            .unanswered
            .values()
            .map(SubscriptionRequest::len)
            .max()
            .unwrap_or_default();
        if largest > 1 {
            self.most = self.most.min(largest / 2);
            self.most_is_news = true;
        }
    }

    /// Tells that packets are smaller than they could be, when it is known that no filter alone is to blame.
    pub fn tell_packet_size(&mut self, events: &mut Vec<Event>) {
        if std::mem::take(&mut self.most_is_news)
            && !self.quarantine.filters.keys().any(is_subscribe)
        {
            events.push(Event::FewFilters { most: self.most });
        }
    }

    /// Whether `tell_packet_size` may have something to tell.
    pub const fn has_shrunk(&self) -> bool {
        self.most_is_news
    }

    /// Does not ask this until more is known.
    pub fn hold(&mut self, suspect: Suspect) {
        self.quarantine.filters.insert(suspect, None);
    }

    /// Asks this again from the next connection on.
    pub fn release(&mut self, suspect: &Suspect) {
        if let (Some(_), Suspect::Unsubscribe(filter)) =
            (self.quarantine.filters.remove(suspect), suspect)
        {
            self.ended.insert(filter.clone());
        }
    }

    /// Does not ask this for an hour.
    pub fn quarantine(&mut self, suspect: Suspect, events: &mut Vec<Event>) {
        let (Suspect::Subscribe(filter) | Suspect::Unsubscribe(filter)) = &suspect else {
            return;
        };
        let unsubscribe = !is_subscribe(&suspect);
        self.ended.remove(filter);
        events.push(Event::FilterQuarantined {
            filter: filter.clone(),
            unsubscribe,
        });
        let until = self
            .quarantine
            .now
            .and_then(|now| now.checked_add(TRIED_AGAIN));
        self.quarantine.filters.insert(suspect, until);
    }

    /// Filters that are not asked for, by name.
    pub fn quarantined(&self) -> Vec<Filter> {
        let condemned = self
            .quarantine
            .filters
            .iter()
            .filter(|(suspect, until)| is_subscribe(suspect) && until.is_some());
        let mut filters: Vec<Filter> = condemned
            .filter_map(|(suspect, _)| filter(suspect))
            .collect();
        filters.sort_unstable();
        filters
    }

    /// Asks for a filter again, because something has changed; whether it was not asked for, at least for `rested`.
    pub fn try_again(&mut self, filter: &Filter, rested: Duration) -> bool {
        let Quarantine {
            filters,
            now: Some(now),
        } = &mut self.quarantine
        else {
            return false;
        };
        if filters.is_empty() {
            return false;
        }
        let suspect = Suspect::Subscribe(filter.clone());
        let until = filters.get(&suspect).copied().flatten();
        let may = until.is_some_and(|until| *now + TRIED_AGAIN >= until + rested);
        if may {
            filters.remove(&suspect);
        }
        may
    }

    /// The time passes: filters that are asked for again.
    pub fn tick(&mut self, now: Instant) -> Vec<Filter> {
        self.quarantine.now = Some(now);
        let mut again = Vec::new();
        self.quarantine.filters.retain(|suspect, until| {
            let stays = until.is_none_or(|until| now < until);
            if !stays {
                again.extend(filter(suspect).filter(|_| is_subscribe(suspect)));
            }
            stays
        });
        again
    }

    /// Those that are to be asked for. The others are as if refused.
    pub(super) fn without_quarantined(
        &mut self,
        mut wanted: Vec<WantedSubscription>,
    ) -> Vec<WantedSubscription> {
        let quarantine = &self.quarantine;
        let answers = &mut self.answers;
        if quarantine.filters.is_empty() {
            return wanted;
        }
        wanted.retain(|one| {
            let asked = !quarantine.has(&Suspect::Subscribe(one.subscription.filter.clone()));
            if !asked {
                answers.push(SubscriptionAnswer {
                    filter: one.subscription.filter.clone(),
                    granted: false,
                });
            }
            asked
        });
        wanted
    }
}

const fn is_subscribe(suspect: &Suspect) -> bool {
    matches!(suspect, Suspect::Subscribe(_))
}

fn filter(suspect: &Suspect) -> Option<Filter> {
    match suspect {
        Suspect::Subscribe(filter) | Suspect::Unsubscribe(filter) => Some(filter.clone()),
        Suspect::Message(_) => None,
    }
}

//! Filters for which the broker ends the connection: they are not subscribed to for a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::request::SubscriptionRequest;
use super::{Subscriptions, WantedSubscription};
use crate::session::state::event::Event;
use crate::session::state::output::Outputs;
use crate::session::state::poison::Suspect;
use crate::topic::Filter;

/// How long a filter stays in quarantine.
const QUARANTINE: Duration = Duration::from_secs(3600);

/// Filters that are not asked for.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    /// The end of each quarantine; `None`: the filter is held back until more is known.
    filters: HashMap<Suspect, Option<Instant>>,
    /// The time of the last `tick`.
    now: Option<Instant>,
}

impl Quarantine {
    /// Whether this is not asked for.
    pub(super) fn contains(&self, suspect: &Suspect) -> bool {
        !self.filters.is_empty() && self.filters.contains_key(suspect)
    }
}

impl Subscriptions {
    /// Filters that were sent on this connection and are not answered.
    pub(crate) fn in_doubt(&self) -> Vec<Suspect> {
        self.unanswered
            .values()
            .flat_map(SubscriptionRequest::suspects)
            .collect()
    }

    /// Halves the number of filters in one packet, because the broker ended the connection during a search: some brokers accept only
    /// few filters at once.
    pub(crate) fn shrink_packets(&mut self) {
        let largest = self
            .unanswered
            .values()
            .map(SubscriptionRequest::len)
            .max()
            .unwrap_or_default();

        if largest > 1 {
            self.max_filters = self.max_filters.min(largest / 2);
            self.has_shrunk = true;
        }
    }

    /// Reports that packets have become smaller, once it is known that no single filter is to blame.
    pub(crate) fn report_packet_size(&mut self, outputs: &mut Outputs) {
        if std::mem::take(&mut self.has_shrunk) && !self.quarantine.filters.keys().any(is_subscribe)
        {
            outputs.log(Event::FewFilters {
                max: self.max_filters,
            });
        }
    }

    /// Whether `report_packet_size` may have something to report.
    pub(crate) const fn has_shrunk(&self) -> bool {
        self.has_shrunk
    }

    /// Holds a filter back until more is known.
    pub(crate) fn hold(&mut self, suspect: Suspect) {
        self.quarantine.filters.insert(suspect, None);
    }

    /// Releases a filter: it is asked for again from the next connection on.
    pub(crate) fn release(&mut self, suspect: &Suspect) {
        let was_held = self.quarantine.filters.remove(suspect).is_some();
        if let Suspect::Unsubscribe(filter) = suspect
            && was_held
        {
            self.ended.insert(filter.clone());
        }
    }

    /// Quarantines a filter.
    pub(crate) fn quarantine(&mut self, suspect: Suspect, outputs: &mut Outputs) {
        let (Suspect::Subscribe(filter) | Suspect::Unsubscribe(filter)) = &suspect else {
            return;
        };
        self.ended.remove(filter);
        outputs.log(Event::FilterQuarantined {
            filter: filter.clone(),
            unsubscribe: !is_subscribe(&suspect),
        });

        let until = self
            .quarantine
            .now
            .and_then(|now| now.checked_add(QUARANTINE));
        self.quarantine.filters.insert(suspect, until);
    }

    /// Filters in quarantine, in the order of their names.
    pub(crate) fn quarantined_filters(&self) -> Vec<Filter> {
        let quarantined = self
            .quarantine
            .filters
            .iter()
            .filter(|(suspect, until)| is_subscribe(suspect) && until.is_some());
        let mut filters: Vec<Filter> = quarantined
            .filter_map(|(suspect, _)| filter(suspect))
            .collect();
        filters.sort_unstable();
        filters
    }

    /// Releases a filter that has been in quarantine for at least `rested`; whether it was.
    pub(crate) fn release_filter(&mut self, filter: &Filter, rested: Duration) -> bool {
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
        let has_rested = until.is_some_and(|until| *now + QUARANTINE >= until + rested);
        if has_rested {
            filters.remove(&suspect);
        }
        has_rested
    }

    /// Ends quarantines that are over; the owner subscribes to their filters again.
    pub(crate) fn tick(&mut self, now: Instant, outputs: &mut Outputs) {
        self.quarantine.now = Some(now);
        self.quarantine.filters.retain(|suspect, until| {
            let stays = until.is_none_or(|until| now < until);
            if !stays
                && is_subscribe(suspect)
                && let Some(filter) = filter(suspect)
            {
                outputs.retry_filter(filter);
            }

            stays
        });
    }

    /// Takes filters in quarantine out, and answers them as if the broker had refused them.
    pub(super) fn without_quarantined(
        &self,
        mut wanted: Vec<WantedSubscription>,
        outputs: &mut Outputs,
    ) -> Vec<WantedSubscription> {
        if self.quarantine.filters.is_empty() {
            return wanted;
        }

        wanted.retain(|one| {
            let filter = &one.subscription.filter;
            let is_quarantined = self
                .quarantine
                .contains(&Suspect::Subscribe(filter.clone()));
            if is_quarantined {
                outputs.answer(filter.clone(), false);
            }
            !is_quarantined
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

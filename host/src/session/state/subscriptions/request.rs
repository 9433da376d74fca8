//! A SUBSCRIBE or UNSUBSCRIBE that waits to be sent or answered.

use crate::session::packet::{Subscribe, Unsubscribe};
use crate::session::state::poison::Suspect;

/// SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug)]
pub(super) enum SubscriptionRequest {
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
}

impl SubscriptionRequest {
    pub(super) fn set_id(&mut self, new: u16) {
        match self {
            Self::Subscribe(Subscribe { id, .. }) | Self::Unsubscribe(Unsubscribe { id, .. }) => {
                *id = new;
            }
        }
    }

    /// Number of filters.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Subscribe(request) => request.subscriptions.len(),
            Self::Unsubscribe(request) => request.filters.len(),
        }
    }

    /// Its filters, as suspects of the poison detector.
    pub(super) fn suspects(&self) -> impl ExactSizeIterator<Item = Suspect> {
        (0..self.len()).map(|place| self.suspect(place))
    }

    fn suspect(&self, place: usize) -> Suspect {
        match self {
            Self::Subscribe(request) => {
                Suspect::Subscribe(request.subscriptions[place].filter.clone())
            }
            Self::Unsubscribe(request) => Suspect::Unsubscribe(request.filters[place].clone()),
        }
    }

    /// Keeps the first `count` filters, and returns a request for the others.
    pub(super) fn split_off(&mut self, count: usize) -> Self {
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

//! Effects of one guest call. Host functions append to them, and the service's task commits them
//! when the call has succeeded, in the order state, timers, subscriptions, publishes,
//! acknowledgement.

use std::time::Duration;

use bytes::Bytes;

use crate::message::{Publication, SubscriptionChange};

/// Everything that a guest call asked for; dropped whole when the call fails.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Values to set and to remove, in the order of the calls.
    pub state: Vec<StateChange>,
    /// Timers to set and to cancel, in the order of the calls.
    pub timers: Vec<TimerChange>,
    /// Subscriptions to make and to end, in the order of the calls.
    pub subscriptions: Vec<SubscriptionChange>,
    /// Messages to send, with full topics, in the order of the calls.
    pub publishes: Vec<Publication>,
}

impl Effects {
    /// Adds what a later call asked for.
    pub fn append(&mut self, mut later: Self) {
        self.state.append(&mut later.state);
        self.timers.append(&mut later.timers);
        self.subscriptions.append(&mut later.subscriptions);
        self.publishes.append(&mut later.publishes);
    }
}

/// A change to the state of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The guest's key.
    pub key: String,
    /// The new value; `None`: the key is removed.
    pub value: Option<Bytes>,
}

/// A change to the timers of a service. A timer is known by its name; setting a taken name replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerChange {
    /// First due after `delay`, then every `period` (never zero).
    Every {
        /// The guest's name for it.
        name: String,
        /// Distance between two due times.
        period: Duration,
        /// Distance of the first due time.
        delay: Duration,
    },
    /// Due once after `delay`.
    After {
        /// The guest's name for it.
        name: String,
        /// Distance of the due time.
        delay: Duration,
    },
    /// Forget it; ignored when there is none.
    Cancel {
        /// The guest's name for it.
        name: String,
    },
}

/// A timer that is due, as reported to the guest in `tick`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTimer {
    /// The guest's name for it.
    pub name: String,
    /// How often it was due since it was last reported: 1, or more when ticks were missed.
    pub count: u64,
}

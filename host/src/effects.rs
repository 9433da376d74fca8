//! Effects of one guest call. Host functions append to them; when the call has succeeded, the service task commits them in the
//! order state, timers, subscriptions, publishes, acknowledgement.

use std::time::Duration;

use bytes::Bytes;

use crate::message::{Publication, SubscriptionChange};

/// Everything that a guest call asked for; dropped as a whole when the call fails.
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
    /// Appends the effects of a later call.
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
    /// Key that the guest chose.
    pub key: String,
    /// The new value; `None`: the key is removed.
    pub value: Option<Bytes>,
}

/// A change to the timers of a service. A timer is known by its name; setting a taken name replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerChange {
    /// First due after `delay`, then every `period` (never zero).
    Every {
        /// Name that the guest chose.
        name: String,
        /// Distance between two due times.
        period: Duration,
        /// Distance of the first due time.
        delay: Duration,
    },
    /// Due once after `delay`.
    After {
        /// Name that the guest chose.
        name: String,
        /// Distance of the due time.
        delay: Duration,
    },
    /// Removed; ignored when there is none.
    Cancel {
        /// Name that the guest chose.
        name: String,
    },
}

/// A timer that is due, as reported to the guest in `tick`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTimer {
    /// Name that the guest chose.
    pub name: String,
    /// How often it was due since it was last reported: 1, or more when ticks were missed.
    pub count: u64,
}

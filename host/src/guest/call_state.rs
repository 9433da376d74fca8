//! The running call of an instance: the message or timers that it handles, and its effects so far.

use std::time::Instant;

use crate::effects::{DueTimer, Effects};
use crate::guest::state_overlay::StateOverlay;
use crate::message::Message;

/// The message being handled.
pub(super) struct Current {
    pub(super) message: Message,
    pub(super) attempt: u32,
}

/// The data of one call; empty between two calls.
#[derive(Default)]
pub(super) struct CallState {
    /// Effects of the call so far; changes of the state are in `overlay`.
    pub(super) effects: Effects,
    /// Changes of the call to the state.
    pub(super) overlay: StateOverlay,
    /// The number of messages that the call has published or sent as requests.
    pub(super) sent: usize,
    /// The bytes that these messages take.
    pub(super) sent_bytes: usize,
    /// The message that the call handles.
    pub(super) current: Option<Current>,
    /// The timers that are due.
    pub(super) due: Vec<DueTimer>,
    /// When the call was first seen by the ticker; `None` while it is younger than a tick.
    pub(super) since: Option<Instant>,
}

impl CallState {
    /// Begins a call.
    pub(super) fn open(&mut self, current: Option<Current>, due: Vec<DueTimer>) {
        self.current = current;
        self.due = due;
        self.since = None;
    }

    /// Ends the call and returns its effects.
    pub(super) fn close(&mut self) -> Effects {
        self.current = None;
        self.due.clear();
        self.sent = 0;
        self.sent_bytes = 0;
        self.effects.state = self.overlay.take();
        std::mem::take(&mut self.effects)
    }

    /// The number of subscriptions and timers that the call has changed.
    pub(super) fn changes(&self) -> usize {
        self.effects.subscriptions.len() + self.effects.timers.len()
    }
}

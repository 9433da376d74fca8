//! The capabilities of the broker that CONNACK does not reveal: most of all how much of a will it accepts.
//!
//! MQTT 5 has reason codes for a will that the broker does not accept (0x9A, 0x9B). A broker that closes the connection instead, as all
//! of 3.1.1 have to, may do so for other reasons too. So an attempt that ended this way is followed by one with less of a will, in turn
//! with the whole will, at the pace of the back-off. When one of them works, the broker is there: the whole will and then less and less
//! of it are tried once more, at once, and the first that works is what the broker accepts.

use crate::message::{Message, Qos};
use crate::session::packet::{Reason, ServerCapabilities};

/// The features that the broker is known to support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    retain: bool,
    qos: Qos,
    will: bool,
}

const EVERYTHING: Limits = Limits {
    retain: true,
    qos: Qos::ExactlyOnce,
    will: true,
};

/// Wills to try, each with less than the one before.
const FALLBACKS: [Limits; 5] = [
    EVERYTHING,
    Limits {
        retain: false,
        ..EVERYTHING
    },
    Limits {
        qos: Qos::AtMostOnce,
        ..EVERYTHING
    },
    Limits {
        retain: false,
        qos: Qos::AtMostOnce,
        ..EVERYTHING
    },
    Limits {
        will: false,
        ..EVERYTHING
    },
];

/// The fallback to try after each number of closed attempts: most often the whole will.
const TRIAL_ORDER: [usize; 6] = [0, 1, 0, 2, 3, 4];

/// The progress of finding out whether the broker closes the connection because of the will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// This number of attempts in a row were closed.
    Closed(usize),
    /// The broker accepted less of a will, so it is there, and this fallback is tried.
    Step(usize),
}

/// The next step after a CONNACK with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterConnack {
    /// Use the connection.
    #[default]
    Serve,
    /// Close it, and make another attempt at once.
    Reconnect,
}

/// The capabilities found so far.
#[derive(Debug)]
pub(super) struct CapabilityProbe {
    known: Limits,
    /// Other features that it turned out not to support.
    unsupported: Vec<Reason>,
    probe: Probe,
    reported: Vec<&'static str>,
}

impl Default for CapabilityProbe {
    fn default() -> Self {
        Self {
            known: EVERYTHING,
            unsupported: Vec::new(),
            probe: Probe::Closed(0),
            reported: Vec::new(),
        }
    }
}

impl CapabilityProbe {
    /// The will for the next attempt of the main connection, or of another one.
    pub(super) fn reduced_will(&self, whole: &Message, main: bool) -> Option<Message> {
        let trial = if main { self.trial() } else { EVERYTHING };
        let limits = self.known.and(trial);
        let retain = whole.retain && limits.retain;
        let qos = whole.qos.min(limits.qos);
        limits.will.then(|| Message {
            retain,
            qos,
            ..whole.clone()
        })
    }

    fn trial(&self) -> Limits {
        let step = match self.probe {
            Probe::Closed(count) => TRIAL_ORDER[count % TRIAL_ORDER.len()],
            Probe::Step(step) => step,
        };
        FALLBACKS.get(step).copied().unwrap_or(EVERYTHING)
    }

    /// Handles that the broker refused a CONNECT with this will. True: there is less to ask for, so another attempt can be made at once.
    pub(super) fn on_refused(&mut self, reason: Reason, will: Option<&Message>) -> bool {
        let Some(will) = will else { return false };
        match reason {
            Reason::RETAIN_NOT_SUPPORTED if will.retain => self.known.retain = false,
            Reason::QOS_NOT_SUPPORTED if will.qos == Qos::ExactlyOnce => {
                self.known.qos = Qos::AtLeastOnce
            }
            Reason::QOS_NOT_SUPPORTED if will.qos == Qos::AtLeastOnce => {
                self.known.qos = Qos::AtMostOnce
            }
            // no will at all is better than no connection
            Reason::RETAIN_NOT_SUPPORTED | Reason::QOS_NOT_SUPPORTED => self.known.will = false,
            _ => return false,
        }

        true
    }

    /// Handles that the broker closed an attempt of the main connection without an answer. True: another one can be made at once.
    pub(super) fn on_closed(&mut self) -> bool {
        let (probe, again) = match self.probe {
            Probe::Closed(count) => (Probe::Closed(count.wrapping_add(1)), false),
            Probe::Step(step) if step + 1 < FALLBACKS.len() => (Probe::Step(step + 1), true),
            Probe::Step(_) => (Probe::Closed(0), false),
        };
        self.probe = probe;
        again
    }

    /// Handles that an attempt of the main connection failed in another way.
    pub(super) fn on_failed(&mut self) {
        self.probe = Probe::Closed(0);
    }

    /// Handles that the broker accepted a CONNECT of the main connection with `sent` in place of the will `whole`.
    pub(super) fn on_accepted(
        &mut self,
        whole: Option<&Message>,
        sent: Option<&Message>,
    ) -> AfterConnack {
        let known = whole.and_then(|whole| self.reduced_will(whole, false));
        let (probe, after) = match self.probe {
            Probe::Closed(_) if known.as_ref() != sent => (Probe::Step(0), AfterConnack::Reconnect),
            _ => (Probe::Closed(0), AfterConnack::Serve),
        };
        if matches!(self.probe, Probe::Step(_)) {
            self.known = self.known.and(self.trial());
        }
        self.probe = probe;
        after
    }

    /// Handles that the broker ended a connection because it does not support a feature.
    pub(super) fn on_unsupported(&mut self, what: Reason) {
        match what {
            Reason::RETAIN_NOT_SUPPORTED => self.known.retain = false,
            Reason::QOS_NOT_SUPPORTED if self.known.qos == Qos::ExactlyOnce => {
                self.known.qos = Qos::AtLeastOnce
            }
            Reason::QOS_NOT_SUPPORTED => self.known.qos = Qos::AtMostOnce,
            other if !self.unsupported.contains(&other) => self.unsupported.push(other),
            _ => {}
        }
    }

    /// Takes features out that are known not to work.
    pub(super) fn apply_to(&self, server: &mut ServerCapabilities) {
        server.retain_available &= self.known.retain;
        server.maximum_qos = server.maximum_qos.min(self.known.qos);
        server.shared &= !self.unsupported.contains(&Reason::SHARED_NOT_SUPPORTED);
        server.subscription_ids &= !self.unsupported.contains(&Reason::IDS_NOT_SUPPORTED);
        server.wildcards &= !self.unsupported.contains(&Reason::WILDCARDS_NOT_SUPPORTED);
    }

    /// Returns log lines about missing features that were not logged before.
    pub(super) fn new_warnings(&mut self, server: &ServerCapabilities) -> Vec<&'static str> {
        let missing = warnings(server, self.known.will);
        let new = missing
            .iter()
            .copied()
            .filter(|one| !self.reported.contains(one))
            .collect();
        self.reported = missing;
        new
    }
}

impl Limits {
    fn and(self, other: Self) -> Self {
        Self {
            retain: self.retain && other.retain,
            qos: self.qos.min(other.qos),
            will: self.will && other.will,
        }
    }
}

fn warnings(server: &ServerCapabilities, will: bool) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !will {
        missing.push("the broker takes no will: when the host ends without a clean stop, `online` stays as it was");
    }
    if !server.retain_available {
        missing.push(
            "the broker retains no messages: messages and wills are sent without retain, so `online` reaches only clients that are \
             subscribed when it changes, and nothing comes for a new subscription",
        );
    }

    match server.maximum_qos {
        Qos::AtMostOnce => missing.push(
            "the broker takes QoS 0 only: messages and wills are sent with it, so they may be lost without notice",
        ),
        Qos::AtLeastOnce => {
            missing.push("the broker takes QoS 1 at most: QoS 2 messages are sent with it, and may arrive twice");
        }
        Qos::ExactlyOnce => {}
    }

    if !server.wildcards {
        missing.push(
            "the broker takes no wildcards: filters with + or # are refused, and the others stand",
        );
    }
    if !server.shared {
        missing.push("the broker has no shared subscriptions: filters with $share are refused, and the others stand");
    }
    if !server.subscription_ids {
        missing.push(
            "the broker has no subscription identifiers: if filters overlap and none covers the other, a message that matches \
             both may be handled twice",
        );
    }

    missing
}

#[cfg(test)]
mod tests;

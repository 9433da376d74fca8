//! Pure: what the broker takes of a CONNECT with a will, and what it cannot do otherwise. In: how attempts with a will have ended, what
//! CONNACK says. Out: the will for the next attempt, what the session may not ask for, what is to be said. Owns what was found out, for all
//! connections of a host.
//!
//! MQTT 5 has reasons for a will that the broker does not take (0x9A, 0x9B). A broker that closes the connection instead, as all of 3.1.1
//! have to, may do so for other reasons too. So an attempt that ended so is followed by one with less of a will, and so on in turn with
//! the whole will, at the pace of the back-off. When one of them works, the broker is there: the whole will and then less and less of it
//! are tried once more, at once, and the first that works is what the broker takes.

use crate::message::{Message, Qos};
use crate::session::packet::{Reason, ServerCapabilities};

/// What may be asked of the broker, as far as it is known.
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

/// Less and less.
const LADDER: [Limits; 5] = [
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

/// Which step of the ladder is tried after so many attempts that were closed: most often the whole will.
const TRIALS: [usize; 6] = [0, 1, 0, 2, 3, 4];

/// How far it is known that a will is what the broker closes the connection for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// So many attempts one after the other were closed.
    Closed(usize),
    /// It took less of a will, so it is there, and this step of the ladder is tried.
    Step(usize),
}

/// What is to be done after CONNACK with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// The connection is served.
    #[default]
    Serve,
    /// It is ended, and another attempt made at once.
    Again,
}

/// What was found out.
#[derive(Debug)]
pub struct CapabilityProbe {
    known: Limits,
    /// What else it has not, although it did not say so at once.
    without: Vec<Reason>,
    search: Search,
    said: Vec<&'static str>,
}

impl Default for CapabilityProbe {
    fn default() -> Self {
        Self {
            known: EVERYTHING,
            without: Vec::new(),
            search: Search::Closed(0),
            said: Vec::new(),
        }
    }
}

impl CapabilityProbe {
    /// The will for the next attempt of the main connection, or of another one.
    pub fn will(&self, whole: &Message, main: bool) -> Option<Message> {
        let trial = if main { self.trial() } else { EVERYTHING };
        let limits = self.known.and(trial);
        let (retain, qos) = (whole.retain && limits.retain, whole.qos.min(limits.qos));
        limits.will.then(|| Message {
            retain,
            qos,
            ..whole.clone()
        })
    }

    fn trial(&self) -> Limits {
        let step = match self.search {
            Search::Closed(count) => TRIALS[count % TRIALS.len()],
            Search::Step(step) => step,
        };
        LADDER.get(step).copied().unwrap_or(EVERYTHING)
    }

    /// The broker refused a CONNECT with this will. True: there is less to ask for, and the next attempt can be made at once.
    pub fn refused(&mut self, reason: Reason, will: Option<&Message>) -> bool {
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

    /// The broker closed the connection of the main connection's attempt instead of answering. True: another one can be made at once.
    pub fn closed(&mut self) -> bool {
        let (search, again) = match self.search {
            Search::Closed(count) => (Search::Closed(count.wrapping_add(1)), false),
            Search::Step(step) if step + 1 < LADDER.len() => (Search::Step(step + 1), true),
            Search::Step(_) => (Search::Closed(0), false),
        };
        self.search = search;
        again
    }

    /// An attempt of the main connection failed in another way.
    pub fn failed(&mut self) {
        self.search = Search::Closed(0);
    }

    /// The broker took a CONNECT of the main connection, `sent` in place of the will `whole`.
    pub fn accepted(&mut self, whole: Option<&Message>, sent: Option<&Message>) -> Verdict {
        let known = whole.and_then(|whole| self.will(whole, false));
        let (search, verdict) = match self.search {
            Search::Closed(_) if known.as_ref() != sent => (Search::Step(0), Verdict::Again),
            _ => (Search::Closed(0), Verdict::Serve),
        };
        if matches!(self.search, Search::Step(_)) {
            self.known = self.known.and(self.trial());
        }
        self.search = search;
        verdict
    }

    /// The broker ended a connection because it has not what was asked of it.
    pub fn unsupported(&mut self, what: Reason) {
        match what {
            Reason::RETAIN_NOT_SUPPORTED => self.known.retain = false,
            Reason::QOS_NOT_SUPPORTED if self.known.qos == Qos::ExactlyOnce => {
                self.known.qos = Qos::AtLeastOnce
            }
            Reason::QOS_NOT_SUPPORTED => self.known.qos = Qos::AtMostOnce,
            other if !self.without.contains(&other) => self.without.push(other),
            _ => {}
        }
    }

    /// What the broker says that it can do, without what is known to be otherwise.
    pub fn limit(&self, server: &mut ServerCapabilities) {
        server.retain_available &= self.known.retain;
        server.maximum_qos = server.maximum_qos.min(self.known.qos);
        server.shared &= !self.without.contains(&Reason::SHARED_NOT_SUPPORTED);
        server.subscription_ids &= !self.without.contains(&Reason::IDS_NOT_SUPPORTED);
        server.wildcards &= !self.without.contains(&Reason::WILDCARDS_NOT_SUPPORTED);
    }

    /// What is to be said about a broker that can do this, if it was not said last.
    pub fn missing(&mut self, server: &ServerCapabilities) -> Vec<&'static str> {
        let missing = missing(server, self.known.will);
        let new = missing
            .iter()
            .copied()
            .filter(|one| !self.said.contains(one))
            .collect();
        self.said = missing;
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

fn missing(server: &ServerCapabilities, will: bool) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !will {
        missing.push("the broker takes no will: when the host is gone without a clean stop, `online` stays as it was");
    }
    if !server.retain_available {
        missing.push(
            "the broker retains no messages: what is to be retained is sent without, wills too, so `online` reaches only who is \
             subscribed when it changes, and nothing comes for a new subscription",
        );
    }
    match server.maximum_qos {
        Qos::AtMostOnce => missing.push(
            "the broker takes QoS 0 only: everything is sent with it, wills too, so what is published may be lost and nobody hears of it",
        ),
        Qos::AtLeastOnce => {
            missing.push("the broker takes QoS 1 at most: what is to be sent with QoS 2 is sent with it, and may arrive twice");
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
            "the broker has no subscription identifiers: where filters overlap and none covers the other, a message that matches \
             both may be handled twice",
        );
    }
    missing
}

#[cfg(test)]
mod tests;

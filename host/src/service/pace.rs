//! Pure: how fast a service may go. In: what its calls came to. Out: how long it has to wait before the next one, and for which
//! limit. Owns one bucket for each rate; no clock.
//!
//! A message that was handled pays for one message published, and its bytes for as many: a service that answers each message with one
//! never waits, however many come. Only what goes beyond is taken from a bucket, so that the clock is read for nothing else.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::bucket::Bucket;
use crate::config::Limits;
use crate::effects::{Effects, StateChange};
use crate::fault_kind::FaultKind;
use crate::message::Message;

/// Bytes that a changed value counts for beside its own: what it costs at least, on disk and on the message path.
const VALUE: usize = 1024;

/// What a call came to, as far as it is limited by rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Messages published.
    pub publishes: u64,
    /// Bytes of their payloads.
    pub payload: u64,
    /// Bytes of state written, keys included, and a KiB for each value.
    pub state: u64,
    /// Changes of subscriptions and timers.
    pub changes: u64,
}

impl Spent {
    /// What these effects come to.
    pub fn of(effects: &Effects) -> Self {
        let payload: usize = effects
            .publishes
            .iter()
            .map(|publication| publication.message.payload.len())
            .sum();
        let size = |change: &StateChange| {
            VALUE + change.key.len() + change.value.as_ref().map_or(0, Bytes::len)
        };
        let state: usize = effects.state.iter().map(size).sum();
        Self {
            publishes: effects.publishes.len() as u64,
            payload: payload as u64,
            state: state as u64,
            changes: (effects.subscriptions.len() + effects.timers.len()) as u64,
        }
    }

    /// What is left when `message`, which was handled, has paid for its part.
    pub fn paid_by(self, message: &Message) -> Self {
        Self {
            publishes: self.publishes.saturating_sub(1),
            payload: self.payload.saturating_sub(message.payload.len() as u64),
            ..self
        }
    }
}

/// The rates of one service.
#[derive(Debug, Default)]
pub struct Pace {
    publishes: Bucket,
    payload: Bucket,
    state: Bucket,
    changes: Bucket,
}

impl Pace {
    /// Takes what was spent. `Some`: which limit was exceeded, and how long the service has to wait for it. `now` is asked for only
    /// when something was spent.
    pub fn spend(
        &mut self,
        spent: Spent,
        limits: &Limits,
        now: impl FnOnce() -> Instant,
    ) -> Option<(FaultKind, Duration)> {
        if spent == Spent::default() {
            return None;
        }
        let now = now();
        let waits = [
            (
                FaultKind::PublishRate,
                self.publishes
                    .spend(spent.publishes, limits.rates.publishes, now),
            ),
            (
                FaultKind::PayloadRate,
                self.payload.spend(spent.payload, limits.rates.payload, now),
            ),
            (
                FaultKind::StateRate,
                self.state.spend(spent.state, limits.rates.state, now),
            ),
            (
                FaultKind::ChangeRate,
                self.changes.spend(spent.changes, limits.rates.changes, now),
            ),
        ];
        waits
            .into_iter()
            .max_by_key(|(_, wait)| *wait)
            .filter(|(_, wait)| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::message::Qos;
    use crate::topic::Topic;

    fn message(bytes: usize) -> Message {
        Message::new(
            Topic::new("t").unwrap(),
            vec![0; bytes],
            Qos::AtMostOnce,
            false,
        )
    }

    fn answers(sizes: &[usize]) -> Effects {
        Effects {
            publishes: sizes.iter().map(|size| message(*size).into()).collect(),
            ..Effects::default()
        }
    }

    #[test]
    fn one_answer_for_each_message_is_free_and_reads_no_clock() {
        let mut limits = Limits::default();
        limits.rates.publishes = 1;
        limits.rates.payload = 1;
        let mut pace = Pace::default();
        for _ in 0..1_000 {
            let spent = Spent::of(&answers(&[100])).paid_by(&message(100));
            assert_eq!(
                pace.spend(spent, &limits, || panic!("the clock was read")),
                None
            );
        }
    }

    #[test]
    fn the_slowest_limit_is_named() {
        let mut limits = Limits::default();
        limits.rates.publishes = 10;
        limits.rates.payload = 10;
        let (mut pace, now) = (Pace::default(), Instant::now());
        let spent = Spent::of(&answers(&[20, 20, 7])).paid_by(&message(7));
        assert_eq!((spent.publishes, spent.payload), (2, 40));
        assert_eq!(
            pace.spend(spent, &limits, || now),
            Some((FaultKind::PayloadRate, Duration::from_secs(3)))
        );
        let ticks = Spent {
            changes: 3,
            ..Spent::default()
        };
        limits.rates.changes = 1;
        assert_eq!(
            pace.spend(ticks, &limits, || now),
            Some((FaultKind::PayloadRate, Duration::from_secs(3)))
        );
    }

    proptest! {
        /// Who waits as told publishes no more than the rate, one second's worth and what it was paid for.
        #[test]
        fn amplification_keeps_the_rate(rate in 1_u64..1_000, calls in prop::collection::vec(0_usize..50, 1..100)) {
            let mut limits = Limits::default();
            limits.rates.publishes = rate;
            let (mut pace, start, mut now, mut published) = (Pace::default(), Instant::now(), Instant::now(), 0);
            for call in &calls {
                let spent = Spent::of(&answers(&vec![0; *call])).paid_by(&message(0));
                published += call;
                now += pace.spend(spent, &limits, || now).map_or(Duration::ZERO, |(_, wait)| wait);
            }
            let allowed = rate as f64 * ((now - start).as_secs_f64() + 1.0) + calls.len() as f64 + 1.0;
            prop_assert!(published as f64 <= allowed, "{published} of {allowed}");
        }
    }
}

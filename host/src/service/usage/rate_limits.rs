//! Rates of one service: from the cost of its calls to the time that it has to wait. Pure.
//!
//! A handled message pays for one published message, and its bytes for as many: a service that answers each message with one never
//! waits, however many arrive. Only the cost beyond that is taken from a bucket, so that the clock is read for nothing else.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Limits;
use crate::effects::{Effects, StateChange};
use crate::fault_kind::FaultKind;
use crate::message::Message;
use crate::token_bucket::TokenBucket;

/// Bytes that a changed value counts for besides its own: its least cost on disk and on the message path.
const VALUE: usize = 1024;

/// Cost of a call, as far as rates limit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CallCost {
    /// Messages published.
    pub publishes: u64,
    /// Bytes of their payloads.
    pub payload: u64,
    /// Bytes of state written, keys included, and a KiB for each value.
    pub state: u64,
    /// Changes of subscriptions and timers.
    pub changes: u64,
}

impl CallCost {
    /// The cost of these effects.
    pub(crate) fn of(effects: &Effects) -> Self {
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

    /// Adds `count` requests that the guest sent, with `bytes` of payload.
    pub(crate) const fn add_requests(&mut self, count: u64, bytes: u64) {
        self.publishes += count;
        self.payload += bytes;
    }

    /// The cost beyond the part that the handled `message` pays for.
    pub(crate) fn paid_by(self, message: &Message) -> Self {
        Self {
            publishes: self.publishes.saturating_sub(1),
            payload: self.payload.saturating_sub(message.payload.len() as u64),
            ..self
        }
    }
}

/// Token buckets of one service, one for each rate.
#[derive(Debug, Default)]
pub(crate) struct RateLimits {
    publishes: TokenBucket,
    payload: TokenBucket,
    state: TokenBucket,
    changes: TokenBucket,
}

impl RateLimits {
    /// Charges a cost. Returns the limit that was exceeded, and how long the service has to wait for it. `now` is called only when
    /// the cost is not zero.
    pub(crate) fn charge(
        &mut self,
        cost: CallCost,
        limits: &Limits,
        now: impl FnOnce() -> Instant,
    ) -> Option<(FaultKind, Duration)> {
        if cost == CallCost::default() {
            return None;
        }
        let now = now();
        let waits = [
            (
                FaultKind::PublishRate,
                self.publishes
                    .spend(cost.publishes, limits.rates.publishes, now),
            ),
            (
                FaultKind::PayloadRate,
                self.payload.spend(cost.payload, limits.rates.payload, now),
            ),
            (
                FaultKind::StateRate,
                self.state.spend(cost.state, limits.rates.state, now),
            ),
            (
                FaultKind::ChangeRate,
                self.changes.spend(cost.changes, limits.rates.changes, now),
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
        let mut rates = RateLimits::default();
        for _ in 0..1_000 {
            let cost = CallCost::of(&answers(&[100])).paid_by(&message(100));
            assert_eq!(
                rates.charge(cost, &limits, || panic!("the clock was read")),
                None
            );
        }
    }

    #[test]
    fn the_slowest_limit_is_named() {
        let mut limits = Limits::default();
        limits.rates.publishes = 10;
        limits.rates.payload = 10;
        let mut rates = RateLimits::default();
        let now = Instant::now();
        let cost = CallCost::of(&answers(&[20, 20, 7])).paid_by(&message(7));
        assert_eq!((cost.publishes, cost.payload), (2, 40));
        assert_eq!(
            rates.charge(cost, &limits, || now),
            Some((FaultKind::PayloadRate, Duration::from_secs(3)))
        );
        let ticks = CallCost {
            changes: 3,
            ..CallCost::default()
        };
        limits.rates.changes = 1;
        assert_eq!(
            rates.charge(ticks, &limits, || now),
            Some((FaultKind::PayloadRate, Duration::from_secs(3)))
        );
    }

    proptest! {
        /// A service that waits as told publishes no more than the rate, one second's worth and the part that messages paid for.
        #[test]
        fn amplification_keeps_the_rate(rate in 1_u64..1_000, calls in prop::collection::vec(0_usize..50, 1..100)) {
            let mut limits = Limits::default();
            limits.rates.publishes = rate;
            let mut rates = RateLimits::default();
            let start = Instant::now();
            let mut now = Instant::now();
            let mut published = 0;
            for call in &calls {
                let cost = CallCost::of(&answers(&vec![0; *call])).paid_by(&message(0));
                published += call;
                now += rates.charge(cost, &limits, || now).map_or(Duration::ZERO, |(_, wait)| wait);
            }
            let allowed = rate as f64 * ((now - start).as_secs_f64() + 1.0) + calls.len() as f64 + 1.0;
            prop_assert!(published as f64 <= allowed, "{published} of {allowed}");
        }
    }
}

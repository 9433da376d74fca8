//! Requests that wait for their answers, each with the time at which its wait ends.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::guest::RequestFailure;
use crate::message::Message;

/// The end of a guest that waits for an answer.
pub(super) type Answer = oneshot::Sender<Result<Message, RequestFailure>>;

/// The requests that wait.
#[derive(Debug)]
pub(super) struct PendingCalls {
    awaited: HashMap<u64, (Instant, Answer)>,
    ends: BTreeSet<(Instant, u64)>,
    /// Sets the answers to this run apart from those to an earlier one.
    run: u64,
    last: u64,
}

impl Default for PendingCalls {
    fn default() -> Self {
        Self {
            awaited: HashMap::new(),
            ends: BTreeSet::new(),
            run: fastrand::u64(..),
            last: 0,
        }
    }
}

impl PendingCalls {
    /// Adds a request that waits until `end`. Returns its correlation data.
    pub(super) fn insert(&mut self, end: Instant, answer: Answer) -> Bytes {
        let correlation = self.next_correlation();
        self.last += 1;
        self.awaited.insert(self.last, (end, answer));
        self.ends.insert((end, self.last));
        correlation
    }

    /// The correlation data that the next request gets.
    pub(super) fn next_correlation(&self) -> Bytes {
        self.correlation(self.last + 1)
    }

    /// Removes the request with this correlation data; `None`: nobody waits for it.
    pub(super) fn take(&mut self, correlation: &[u8]) -> Option<Answer> {
        let number = u64::from_be_bytes(correlation.get(8..)?.try_into().ok()?);
        if *correlation != self.correlation(number)[..] {
            return None;
        }
        let (end, answer) = self.awaited.remove(&number)?;
        self.ends.remove(&(end, number));
        Some(answer)
    }

    /// The time at which the first wait ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Ends the waits that are over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((end, number)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.ends.remove(&(end, number));
            if let Some((_, answer)) = self.awaited.remove(&number) {
                drop(answer.send(Err(RequestFailure::TimedOut)));
            }
        }
    }

    fn correlation(&self, number: u64) -> Bytes {
        Bytes::from([self.run.to_be_bytes(), number.to_be_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answered_and_expired_calls_leave_nothing_behind() {
        let mut pending = PendingCalls::default();
        let now = Instant::now();
        let mut waiting = Vec::new();
        let correlations: Vec<Bytes> = (0..300)
            .map(|second| {
                let (answer, answered) = oneshot::channel();
                waiting.push(answered);
                pending.insert(now + Duration::from_secs(second), answer)
            })
            .collect();

        assert!(pending.take(&correlations[299]).is_some());
        assert!(
            pending.take(&correlations[299]).is_none(),
            "it is taken once"
        );
        assert!(pending.take(b"57343").is_none() && pending.take(&[0; 16]).is_none());
        assert_eq!(pending.next_end(), Some(now));

        pending.expire(now + Duration::from_secs(400));
        assert_eq!(waiting[0].try_recv(), Ok(Err(RequestFailure::TimedOut)));
        assert!(pending.awaited.is_empty() && pending.ends.is_empty());
    }
}

//! Counts of exceeded limits and sent requests of a guest. They are counted on the thread that runs the guest and taken by the
//! service's task. Also holds the token bucket of the service's log lines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::warn;

use crate::fault_kind::FaultKind;
use crate::token_bucket::TokenBucket;

/// Missing grants that are remembered, so that each is logged once.
const GRANTS: usize = 32;

/// Counts since they were last taken.
#[derive(Debug, Default)]
pub struct Meter {
    /// Whether there is anything to take, so that a call that exceeds nothing takes no lock.
    any: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    exceeded: BTreeMap<FaultKind, u64>,
    requests: RequestCounts,
    lines: TokenBucket,
    missing: BTreeSet<String>,
}

/// Requests that a guest has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestCounts {
    /// The number of requests.
    pub count: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

impl Meter {
    /// Counts one exceeded limit.
    pub(super) fn exceeded(&self, trouble: FaultKind) {
        *self.inner().exceeded.entry(trouble).or_default() += 1;
        self.any.store(true, Ordering::Release);
    }

    /// Counts a request.
    pub(super) fn requested(&self, bytes: usize) {
        let mut inner = self.inner();
        inner.requests.count += 1;
        inner.requests.bytes += bytes as u64;
        self.any.store(true, Ordering::Release);
    }

    /// Counts a refusal of `what`, which is not granted. `line` of `miqro.yml` would grant it, and is logged once.
    pub(super) fn denied(&self, what: &str, line: &str) {
        self.exceeded(FaultKind::Grants);
        let mut inner = self.inner();
        if inner.missing.len() < GRANTS && inner.missing.insert(line.to_owned()) {
            drop(inner);
            let limit = FaultKind::Grants.name();
            warn!(
                limit,
                "{what} is not granted; to grant it, write into miqro.yml: {line}"
            );
        }
    }

    /// The lines of `miqro.yml` that would have granted what was refused, since the service began.
    pub fn refused_grants(&self) -> Vec<String> {
        self.inner().missing.iter().cloned().collect()
    }

    /// Whether one more log line may be written, of `rate` a second.
    pub(super) fn may_log(&self, rate: u64, now: Instant) -> bool {
        self.inner().lines.take(rate, now)
    }

    /// Takes the counts since the last time; `None` if nothing was counted, which costs next to nothing.
    pub fn take(&self) -> Option<(BTreeMap<FaultKind, u64>, RequestCounts)> {
        // read first: a swap would take the cache line from other readers
        if !self.any.load(Ordering::Acquire) || !self.any.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut inner = self.inner();
        Some((
            std::mem::take(&mut inner.exceeded),
            std::mem::take(&mut inner.requests),
        ))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceeded_rates_are_taken_once() {
        let meter = Meter::default();
        assert_eq!(meter.take(), None);
        meter.exceeded(FaultKind::Payload);
        meter.exceeded(FaultKind::Payload);
        meter.denied("this", "services.it.grants.http: [a]");
        meter.requested(7);
        let exceeded = BTreeMap::from([(FaultKind::Payload, 2), (FaultKind::Grants, 1)]);
        assert_eq!(
            meter.take(),
            Some((exceeded, RequestCounts { count: 1, bytes: 7 }))
        );
        assert_eq!(meter.take(), None);
    }
}

//! Spans of traces, on their way from the message path to the task that exports them.
//!
//! The queue between the two is bounded, and sending never waits: spans beyond it are lost and counted.

pub mod collector;
pub mod exporter;
mod otlp;
mod span;

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::trace_context::TraceParent;
pub use span::{Attribute, AttributeValue, Span, SpanKind};

/// Spans that wait to be exported at most.
const QUEUE: usize = 16_384;

/// The sending end of the queue. A clone is the same queue.
#[derive(Debug, Clone)]
pub struct Tracer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    spans: mpsc::Sender<Span>,
    lost: Arc<AtomicU64>,
    /// One in so many messages without a trace begins one; `None`: none does.
    sample_every: Option<NonZeroU64>,
    /// Gives the identifiers; seeded by the system, because other hosts must not have the same.
    random: Mutex<fastrand::Rng>,
}

/// The receiving end of the queue.
#[derive(Debug)]
pub struct SpanQueue {
    spans: mpsc::Receiver<Span>,
    lost: Arc<AtomicU64>,
}

/// Creates the queue. `sample_every`: one in so many messages without a trace begins one; 0: none does.
pub fn channel(sample_every: u64) -> (Tracer, SpanQueue) {
    let (sender, spans) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let seed = RandomState::new().hash_one(());
    let tracer = Tracer(Arc::new(Inner {
        spans: sender,
        lost: Arc::clone(&lost),
        sample_every: NonZeroU64::new(sample_every),
        random: Mutex::new(fastrand::Rng::with_seed(seed)),
    }));
    (tracer, SpanQueue { spans, lost })
}

impl Tracer {
    /// The first span of a new trace, if this message is to begin one.
    pub fn sample(&self) -> Option<TraceParent> {
        let every = self.0.sample_every?.get();
        let mut random = self.random();
        if random.u64(..every) != 0 {
            return None;
        }
        let trace_id = random.u128(1..).to_be_bytes();
        let span_id = random.u64(1..).to_be_bytes();
        Some(TraceParent::root(trace_id, span_id))
    }

    /// Another span of the trace of `parent`.
    pub fn child_of(&self, parent: TraceParent) -> TraceParent {
        parent.with_span(self.random().u64(1..).to_be_bytes())
    }

    /// Hands a span over, or drops it when too many wait.
    pub fn send(&self, span: Span) {
        if self.0.spans.try_send(span).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of spans that did not reach the collector.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    fn random(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.0.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanQueue {
    /// Waits for spans and appends at most `most` of them. Returns `false` when none will come any more.
    async fn receive(&mut self, spans: &mut Vec<Span>, most: usize) -> bool {
        self.spans.recv_many(spans, most).await > 0
    }

    /// Counts spans that were received and did not reach the collector.
    fn count_lost(&self, spans: u64) {
        self.lost.fetch_add(spans, Ordering::Relaxed);
    }

    /// The number of spans that did not reach the collector.
    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Refuses further spans; those that wait can still be received.
    fn close(&mut self) {
        self.spans.close();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::SystemTime;

    use super::*;

    #[test]
    fn messages_are_sampled_as_often_as_configured() {
        let (never, _queue) = channel(0);
        assert!((0..1000).all(|_| never.sample().is_none()));
        let (always, _queue) = channel(1);
        let first = always.sample().unwrap();
        let second = always.sample().unwrap();
        assert!(first.is_sampled() && first.trace_id != second.trace_id);

        let (seldom, _queue) = channel(10);
        let sampled = (0..10_000).filter(|_| seldom.sample().is_some()).count();
        assert!((500..2000).contains(&sampled), "{sampled}");
    }

    #[test]
    fn spans_beyond_the_queue_are_lost_and_counted() {
        let (tracer, queue) = channel(1);
        let context = tracer.sample().unwrap();
        for _ in 0..QUEUE + 3 {
            tracer.send(Span::new(
                context,
                SpanKind::Internal,
                "x",
                SystemTime::UNIX_EPOCH,
            ));
        }
        queue.count_lost(2);
        assert_eq!((queue.lost(), tracer.lost()), (5, 5));
    }
}

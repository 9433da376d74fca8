//! The end of a listener: events in batches, with a pause after each.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::{BUFFER, Heard};

/// The time after a batch within which further events wake nobody, unless half of the buffer is full. A person sees no difference, and
/// to wake a thread takes longer than to make an event.
const PAUSE: Duration = Duration::from_millis(100);

/// The end of a listener. The tap forgets it when it is dropped.
pub struct Events<T> {
    heard: mpsc::Receiver<Heard<T>>,
    crowded: Arc<Notify>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl<T> Events<T> {
    /// Events of a channel; `crowded` is notified when half of its buffer is full.
    pub(super) fn new(heard: mpsc::Receiver<Heard<T>>, crowded: Arc<Notify>) -> Self {
        Self {
            heard,
            crowded,
            pause: None,
        }
    }

    /// The next events, at least one; `None`: the tap has gone. Must be called within a tokio runtime.
    pub fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<Heard<T>>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }

        let mut batch = Vec::new();
        if ready!(self.heard.poll_recv_many(context, &mut batch, BUFFER)) == 0 {
            return Poll::Ready(None);
        }

        let crowded = Arc::clone(&self.crowded);
        self.pause = Some(Box::pin(async move {
            // either ends the pause
            let _ = timeout(PAUSE, crowded.notified()).await;
        }));
        Poll::Ready(Some(batch))
    }

    /// All that wait.
    #[cfg(test)]
    pub(super) fn waiting(&mut self) -> Vec<Heard<T>> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::poll_fn;
    use std::time::Instant;

    use super::*;
    use crate::tap::{Event, Tap};

    #[derive(Debug)]
    struct Said;

    impl Event for Said {
        fn service(&self) -> Option<&str> {
            None
        }
    }

    /// A listener, and the function that sends it so many events.
    fn listening() -> (impl Fn(usize), Events<Said>) {
        let tap = Tap::default();
        let events = tap.listen(None, |_| true).unwrap();
        let say = move |count| (0..count).for_each(|_| tap.send(&Arc::new(Said)));
        (say, events)
    }

    async fn next(events: &mut Events<Said>) -> usize {
        poll_fn(|context| events.poll_batch(context))
            .await
            .unwrap()
            .len()
    }

    #[tokio::test]
    async fn events_come_at_once_then_together_after_a_pause() {
        let (say, mut events) = listening();
        say(1);
        let start = Instant::now();
        assert_eq!(next(&mut events).await, 1);
        say(3);
        assert_eq!(next(&mut events).await, 3);
        assert!(start.elapsed() >= PAUSE);
    }

    #[tokio::test]
    async fn half_a_buffer_ends_the_pause() {
        let (say, mut events) = listening();
        say(1);
        next(&mut events).await;
        say(BUFFER / 2);
        let batch = poll_fn(|context| Poll::Ready(events.poll_batch(context))).await;
        assert!(matches!(batch, Poll::Ready(Some(batch)) if batch.len() == BUFFER / 2));
    }
}

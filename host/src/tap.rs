//! Taps: places where others may listen to events while they happen, such as calls of a service or lines of the log.
//!
//! Each listener has a bounded buffer. One that does not keep up loses events and is told how many; the sender never waits, and wakes a
//! listener some ten times a second at most, and when half of its buffer is full. While nobody listens, an event costs one load of a
//! counter. Frequent events are made at a bounded rate only, so that listeners take a bounded share of the processor from the work that
//! they watch.

mod call_summary;
mod events;
mod excerpt;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc};

use crate::token_bucket::TokenBucket;

pub use call_summary::{CallFailure, CallSummary, Trigger};
pub use events::Events;
pub use excerpt::MessageExcerpt;

/// Events that wait for one listener at most.
const BUFFER: usize = 256;

/// Listeners of one tap at most.
const LISTENERS: usize = 32;

/// Events a second of all services together that are made for listeners, where [`Tap::admits`] decides.
pub const RATE: u64 = 1000;

/// Too many listen already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{LISTENERS} clients listen already, which is the most")]
pub struct TapFull;

/// An event that a tap carries.
pub trait Event {
    /// The service that it is about.
    fn service(&self) -> Option<&str>;
}

/// Sends events to those that listen. A clone is the same tap.
pub struct Tap<T>(Arc<Inner<T>>);

struct Inner<T> {
    /// The number of `listeners`, which is read without the lock.
    open: AtomicUsize,
    /// Locked to send an event while somebody listens, and when somebody comes.
    listeners: Mutex<Listeners<T>>,
}

struct Listeners<T> {
    all: Vec<Listener<T>>,
    /// Events that may be made now.
    budget: TokenBucket,
}

struct Listener<T> {
    /// The only service whose events it gets; `None`: all.
    service: Option<String>,
    wants: Box<dyn Fn(&T) -> bool + Send + Sync>,
    events: mpsc::Sender<Heard<T>>,
    /// Notified when half of its buffer is full.
    crowded: Arc<Notify>,
    /// Events that it has lost and was not told of.
    lost: u64,
}

/// Something that a listener gets.
#[derive(Debug)]
pub enum Heard<T> {
    /// An event.
    Event(Arc<T>),
    /// This many events were lost here, because the listener was too slow or there were too many.
    Lost(u64),
}

impl<T: Event> Tap<T> {
    /// Whether anybody listens.
    pub fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) > 0
    }

    /// Whether an event of `service` is to be made: somebody listens to it, and there were fewer than [`RATE`] in the last second.
    /// Otherwise it counts as lost for those that listen.
    pub fn admits(&self, service: &str, now: Instant) -> bool {
        if !self.is_open() {
            return false;
        }

        let mut listeners = self.listeners();
        let Listeners { all, budget } = &mut *listeners;
        let mut interested = all
            .iter_mut()
            .filter(|one| one.is_for(Some(service)))
            .peekable();
        if interested.peek().is_none() {
            return false;
        }

        let is_admitted = budget.take(RATE, now);
        if !is_admitted {
            interested.for_each(|one| one.lost += 1);
        }
        is_admitted
    }

    /// Begins to listen, to one service or to all, and of its events to those that `wants` accepts.
    ///
    /// # Errors
    /// When too many listen already.
    pub fn listen(
        &self,
        service: Option<String>,
        wants: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Result<Events<T>, TapFull> {
        let listeners = &mut self.listeners().all;
        listeners.retain(|one| !one.events.is_closed());
        if listeners.len() >= LISTENERS {
            return Err(TapFull);
        }

        let (events, heard) = mpsc::channel(BUFFER);
        let crowded = Arc::new(Notify::new());
        listeners.push(Listener {
            service,
            wants: Box::new(wants),
            events,
            crowded: Arc::clone(&crowded),
            lost: 0,
        });

        self.0.open.store(listeners.len(), Ordering::Relaxed);
        Ok(Events::new(heard, crowded))
    }

    /// Sends an event to all that want it.
    pub fn send(&self, event: &Arc<T>) {
        let listeners = &mut self.listeners().all;
        listeners.retain_mut(|one| !one.events.is_closed() && one.offer(event));
        self.0.open.store(listeners.len(), Ordering::Relaxed);
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners<T>> {
        self.0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Event> Listener<T> {
    fn is_for(&self, service: Option<&str>) -> bool {
        self.service.is_none() || self.service.as_deref() == service
    }

    /// Offers an event. Returns whether the listener is still there.
    fn offer(&mut self, event: &Arc<T>) -> bool {
        if !self.is_for(event.service()) || !(self.wants)(event) {
            return true;
        }

        if self.lost > 0 && self.events.try_send(Heard::Lost(self.lost)).is_ok() {
            self.lost = 0;
        }
        if self.lost > 0 {
            self.lost += 1;
            return true;
        }
        match self.events.try_send(Heard::Event(Arc::clone(event))) {
            Ok(()) => {
                if self.events.capacity() == BUFFER / 2 {
                    self.crowded.notify_one();
                }
                true
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.lost += 1;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

impl<T> Clone for Tap<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Tap<T> {
    fn default() -> Self {
        Self(Arc::new(Inner {
            open: AtomicUsize::new(0),
            listeners: Mutex::new(Listeners {
                all: Vec::new(),
                budget: TokenBucket::default(),
            }),
        }))
    }
}

impl<T> fmt::Debug for Tap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[derive(Debug)]
    struct Said(&'static str, u64);

    impl Event for Said {
        fn service(&self) -> Option<&str> {
            Some(self.0)
        }
    }

    /// Everything that waits: numbers of events, and negative numbers of lost ones.
    fn heard(events: &mut Events<Said>) -> Vec<i64> {
        let number = |heard: Heard<Said>| match heard {
            Heard::Event(said) => said.1 as i64,
            Heard::Lost(count) => -(count as i64),
        };
        events.waiting().into_iter().map(number).collect()
    }

    #[test]
    fn listeners_get_their_service_and_what_they_want() {
        let tap = Tap::default();
        assert!(!tap.is_open());
        let mut of_a = tap.listen(Some("a".to_owned()), |_| true).unwrap();
        let now = Instant::now();
        assert!(tap.admits("a", now) && !tap.admits("b", now));
        let mut large = tap.listen(None, |said: &Said| said.1 > 1).unwrap();
        for said in [Said("a", 1), Said("b", 2), Said("a", 3)] {
            tap.send(&Arc::new(said));
        }

        assert_eq!(
            (heard(&mut of_a), heard(&mut large)),
            (vec![1, 3], vec![2, 3])
        );
        drop(of_a);
        drop(large);
        tap.send(&Arc::new(Said("a", 4)));
        assert!(!tap.is_open(), "those that have gone are forgotten");
    }

    #[test]
    fn slow_listener_is_told_how_many_events_it_lost() {
        let tap = Tap::default();
        let mut events = tap.listen(None, |_| true).unwrap();
        let sent = BUFFER as u64 + 5;
        for number in 0..sent {
            tap.send(&Arc::new(Said("a", number)));
        }
        assert_eq!(heard(&mut events).len(), BUFFER);
        tap.send(&Arc::new(Said("a", 1000)));
        assert_eq!(heard(&mut events), [-5, 1000]);
    }

    #[test]
    fn events_beyond_the_rate_are_not_made_and_count_as_lost() {
        let tap = Tap::default();
        let mut events = tap.listen(Some("a".to_owned()), |_| true).unwrap();
        let mut other = tap.listen(Some("b".to_owned()), |_| true).unwrap();
        let now = Instant::now();
        let admitted = (0..RATE + 5).filter(|_| tap.admits("a", now)).count();
        assert_eq!(admitted as u64, RATE);
        assert!(!tap.admits("c", now), "nobody listens to it");

        let later = now + std::time::Duration::from_secs(1);
        assert!(tap.admits("a", later));
        tap.send(&Arc::new(Said("a", 7)));
        assert_eq!(heard(&mut events), [-5, 7]);
        assert!(heard(&mut other).is_empty());
    }

    #[test]
    fn number_of_listeners_is_bounded_and_those_that_left_make_room() {
        let tap: Tap<Said> = Tap::default();
        let mut all: Vec<_> = (0..LISTENERS).map(|_| tap.listen(None, |_| true)).collect();
        assert_eq!(tap.listen(None, |_| true).err(), Some(TapFull));
        all.pop();
        assert!(tap.listen(None, |_| true).is_ok());
    }
}

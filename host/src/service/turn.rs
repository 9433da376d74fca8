//! A turn of a guest call on the message path: whether the call stopped because it waits for others, or because it has more to
//! compute.
//!
//! A guest that computes at an epoch tick yields: it wakes its own waker before it returns. One that waits is woken later.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::pools::Work;

/// The turns of one service's calls. One waker serves them all, so that a turn allocates nothing.
#[derive(Debug)]
pub(super) struct Turn {
    shared: Arc<Shared>,
    waker: Waker,
    /// Whether the last turn ended although there was more to compute.
    computes: bool,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether the call was woken since its last turn began.
    is_woken: AtomicBool,
    /// The task to wake; `None` while the turn runs, which needs no waking.
    task: Mutex<Option<Waker>>,
}

impl Turn {
    pub(super) fn new() -> Self {
        let shared = Arc::<Shared>::default();
        Self {
            waker: shared.clone().into(),
            shared,
            computes: false,
        }
    }

    /// Gives a call a turn.
    pub(super) fn poll<T>(&mut self, call: &mut Work<T>) -> Poll<T> {
        self.shared.is_woken.store(false, Ordering::Relaxed);
        let polled = call.as_mut().poll(&mut Context::from_waker(&self.waker));
        self.computes = polled.is_pending() && self.shared.is_woken.load(Ordering::Acquire);
        polled
    }

    /// Whether the call had more to compute when its last turn ended.
    pub(super) fn computes(&self) -> bool {
        self.computes
    }

    /// Whether the wait of the call is over. If it is not, `task` is woken when it is.
    pub(super) fn is_due(&self, task: &Waker) -> bool {
        self.shared.task().replace(task.clone());
        // read after the task is there: a wake in between finds one or the other
        let is_due = self.shared.is_woken.load(Ordering::Acquire);
        if is_due {
            self.shared.task().take();
        }
        is_due
    }
}

impl Shared {
    fn task(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        let task = self.task().take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

//! Beats at a fixed rate, more finely than the runtime's timers, which have steps of a millisecond.
//! `beat` ends at each beat, or at once if one was missed.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Notify;

/// A running metronome; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Metronome(Arc<Notify>);

impl Metronome {
    /// Begins to beat now.
    ///
    /// # Errors
    /// When the system gave no thread.
    pub(crate) fn start(period: Duration) -> Result<Self> {
        let notify = Arc::new(Notify::new());
        let weak = Arc::downgrade(&notify);
        thread::Builder::new()
            .name("metronome".to_owned())
            .spawn(move || run(&weak, period))?;
        Ok(Self(notify))
    }

    /// The next beat. Cancelling it loses nothing.
    pub(crate) async fn beat(&self) {
        self.0.notified().await;
    }
}

fn run(notify: &Weak<Notify>, period: Duration) {
    let mut next = Instant::now();
    while let Some(notify) = notify.upgrade() {
        notify.notify_one();
        drop(notify);
        next += period;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

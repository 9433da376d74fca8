//! Words: faults of the host itself. In: panics. Out: an error in the log with a trace id and where it happened, and the same id to
//! whoever caught it. Owns the process's panic hook.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};

use futures_util::FutureExt;
use tracing::error;

/// Frames of a backtrace that are shown.
const FRAMES: usize = 8;

thread_local! {
    /// The last panic of this thread.
    static LAST: Cell<Option<Bug>> = const { Cell::new(None) };
    /// Panics of this thread are somebody else's and expected.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// A fault of the host itself; the log says more under the same trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bug {
    trace_id: u32,
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a bug in the host, trace id {:08x}", self.trace_id)
    }
}

/// From now on every panic of the process is an error in the log.
pub fn report_panics() {
    set_hook(Box::new(|panic| {
        if !QUIET.get() {
            let bug = Bug {
                trace_id: fastrand::u32(..),
            };
            LAST.set(Some(bug));
            error!(
                "{bug}: {}",
                told(panic, &Backtrace::force_capture().to_string())
            );
        }
    }));
}

/// Runs `future` to its end.
///
/// # Errors
/// When it panics.
pub fn caught<T>(future: impl Future<Output = T>) -> impl Future<Output = Result<T, Bug>> {
    // a panic leaves nothing behind that is trusted afterwards: the caller puts together anew what it works with
    let outcome = AssertUnwindSafe(future).catch_unwind();
    outcome.map(|outcome| outcome.map_err(|_| LAST.take().unwrap_or(Bug { trace_id: 0 })))
}

/// Runs `work`, which may panic for reasons that are not the host's; `None` when it does.
pub fn expected<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    outcome.ok()
}

/// What happened, where, and through which functions of the host.
fn told(panic: &PanicHookInfo<'_>, backtrace: &str) -> String {
    let words = panic.payload_as_str().unwrap_or("it panicked");
    let place = panic
        .location()
        .map_or_else(String::new, |place| format!(" at {place}"));
    let own = backtrace
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(_, function)| function);
    let own: Vec<&str> = own
        .filter(|f| f.contains("miqro_host::") && !f.contains("::bug::"))
        .take(FRAMES)
        .collect();
    let path = if own.is_empty() {
        String::new()
    } else {
        format!(" (in {})", own.join(" < "))
    };
    format!("{words}{place}{path}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    fn told_to() -> bool {
        true
    }

    #[tokio::test]
    async fn a_panic_is_caught_with_its_trace_id() {
        let before = std::panic::take_hook();
        report_panics();
        let outcome = caught(async {
            if told_to() {
                panic!("told to")
            }
        })
        .await;
        let fine = caught(async { 7 }).await;
        set_hook(before);
        assert!(outcome.is_err_and(|bug| bug.trace_id != 0));
        assert_eq!(fine, Ok(7));
    }

    #[test]
    fn what_is_expected_is_not_reported() {
        assert_eq!(expected(|| -> u8 { panic!("told to") }), None);
        assert_eq!(expected(|| 7), Some(7));
        assert!(LAST.take().is_none());
    }
}

//! Panics, which are bugs of the host: logged with a trace ID and the place, and caught where the host can recover.
//!
//! The process has one panic hook, which [`install`] sets. [`catch_panic`] gives the trace ID to the caller, so that an
//! error shown elsewhere can be found in the log.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};

use futures_util::FutureExt;
use tracing::error;

#[cfg(panic = "abort")]
compile_error!("a service recovers from a panic by unwinding: build with panic = \"unwind\"");

/// Frames of a backtrace that are shown.
const FRAMES: usize = 8;

thread_local! {
    /// The last panic of this thread.
    static LAST: Cell<Option<PanicReport>> = const { Cell::new(None) };
    /// Whether panics of this thread are expected and not reported.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// A panic of the host; the log has the details under the same trace ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanicReport {
    trace_id: u32,
}

impl fmt::Display for PanicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a bug in the host, trace id {:08x}", self.trace_id)
    }
}

/// Sets the process's panic hook: every panic becomes an error in the log.
pub fn install() {
    set_hook(Box::new(|panic| {
        if QUIET.get() {
            return;
        }

        let report = PanicReport {
            trace_id: fastrand::u32(..),
        };
        LAST.set(Some(report));

        let backtrace = Backtrace::force_capture().to_string();
        error!("{report}: {}", describe(panic, &backtrace));
    }));
}

/// Sets the hook of the commands that do not run services: Rust's own, except for expected panics.
pub fn install_for_commands() {
    let default = take_hook();
    set_hook(Box::new(move |panic| {
        if !QUIET.get() {
            default(panic);
        }
    }));
}

/// Runs `future` to its end.
///
/// # Errors
/// When it panics.
pub fn catch_panic<T>(
    future: impl Future<Output = T>,
) -> impl Future<Output = Result<T, PanicReport>> {
    // unwind-safe: the caller trusts nothing that the future has touched and builds its parts again
    let outcome = AssertUnwindSafe(future).catch_unwind();
    outcome.map(|outcome| outcome.map_err(|_| LAST.take().unwrap_or(PanicReport { trace_id: 0 })))
}

/// The message of a panic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PanicMessage(pub String);

/// Runs `work`, whose panics are not bugs of the host and are not reported.
///
/// # Errors
/// The message of its panic.
pub fn catch_expected<T>(work: impl FnOnce() -> T) -> Result<T, PanicMessage> {
    let before = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);

    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        PanicMessage(text.unwrap_or("it panicked").to_owned())
    })
}

/// The panic's message and place, and the functions of the host that led to it.
fn describe(panic: &PanicHookInfo<'_>, backtrace: &str) -> String {
    let message = panic.payload_as_str().unwrap_or("it panicked");
    let place = panic
        .location()
        .map_or_else(String::new, |place| format!(" at {place}"));

    let functions: Vec<&str> = backtrace
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(_, function)| function)
        .filter(|name| name.contains("miqro_host::") && !name.contains("::panic_hook::"))
        .take(FRAMES)
        .collect();

    let functions = if functions.is_empty() {
        String::new()
    } else {
        format!(" (in {})", functions.join(" < "))
    };

    format!("{message}{place}{functions}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    fn always() -> bool {
        true
    }

    #[tokio::test]
    async fn a_panic_is_caught_with_its_trace_id() {
        let before = take_hook();
        install();
        let outcome = catch_panic(async {
            if always() {
                panic!("on purpose")
            }
        })
        .await;
        let fine = catch_panic(async { 7 }).await;
        set_hook(before);
        assert!(outcome.is_err_and(|report| report.trace_id != 0));
        assert_eq!(fine, Ok(7));
    }

    #[test]
    fn an_expected_panic_is_not_reported() {
        let outcome = catch_expected(|| -> u8 { panic!("on purpose") });
        assert_eq!(outcome, Err(PanicMessage("on purpose".to_owned())));
        assert_eq!(catch_expected(|| 7), Ok(7));
        assert!(LAST.take().is_none());
    }
}

//! Ends of commands that wait for messages: a span of time, or a signal of the operating system.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Waits so long; for ever without a span.
pub(super) async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Waits for SIGINT or SIGTERM.
pub(super) async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

//! Signals that the host handles: SIGTERM, SIGINT, SIGHUP and SIGUSR1.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Request that a signal stands for.
pub(super) enum SignalRequest {
    /// Stop; contains the signal's name.
    Stop(&'static str),
    /// Reload the configuration and reopen the log file (SIGHUP).
    Hangup,
    /// Log the statistics of all services (SIGUSR1).
    Report,
}

/// The signals.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    report: Signal,
    /// Whether the host was started from a terminal.
    terminal: bool,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new() -> std::io::Result<Self> {
        let [terminate, interrupt, hangup] = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
        ];
        let terminal = std::io::stdin().is_terminal();
        let report = signal(SignalKind::user_defined1())?;
        let terminate = signal(terminate)?;
        let interrupt = signal(interrupt)?;
        let hangup = signal(hangup)?;
        Ok(Self {
            terminate,
            interrupt,
            hangup,
            report,
            terminal,
        })
    }

    /// Waits for the next signal. Cancel-safe.
    pub(super) async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.terminate.recv() => SignalRequest::Stop("SIGTERM"),
            _ = self.interrupt.recv() => SignalRequest::Stop("SIGINT"),
            _ = self.report.recv() => SignalRequest::Report,
            // a terminal that closes sends SIGHUP too
            _ = self.hangup.recv() => match self.terminal && !std::io::stdin().is_terminal() {
                true => SignalRequest::Stop("SIGHUP: the terminal is gone"),
                false => SignalRequest::Hangup,
            },
        }
    }
}

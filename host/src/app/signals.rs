//! Signals that the host handles: SIGTERM, SIGINT, SIGHUP and SIGUSR1.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Request that a signal stands for.
pub(super) enum Received {
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
    pub(super) async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.terminate.recv() => Received::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Received::Stop("SIGINT"),
            _ = self.report.recv() => Received::Report,
            // a terminal that closes sends SIGHUP too
            _ = self.hangup.recv() => match self.terminal && !std::io::stdin().is_terminal() {
                true => Received::Stop("SIGHUP: the terminal is gone"),
                false => Received::Hangup,
            },
        }
    }
}

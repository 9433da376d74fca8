//! Signals that the host handles: SIGTERM, SIGINT, SIGHUP and SIGUSR1.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Request that a signal stands for.
pub enum Received {
    /// To stop; the signal's name.
    Stop(&'static str),
    /// To read the configuration again and to open the log file again (SIGHUP).
    Hangup,
    /// To say in the log what the services' calls cost (SIGUSR1).
    Report,
}

/// The signals.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    report: Signal,
    /// Whether there was a terminal at the start.
    terminal: bool,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> std::io::Result<Self> {
        let [terminate, interrupt, hangup] = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
        ];
        let terminal = std::io::stdin().is_terminal();
        let report = signal(SignalKind::user_defined1())?;
        let (terminate, interrupt, hangup) =
            (signal(terminate)?, signal(interrupt)?, signal(hangup)?);
        Ok(Self {
            terminate,
            interrupt,
            hangup,
            report,
            terminal,
        })
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.terminate.recv() => Received::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Received::Stop("SIGINT"),
            _ = self.report.recv() => Received::Report,
            // the terminal's own word for being closed is the same signal
            _ = self.hangup.recv() => match self.terminal && !std::io::stdin().is_terminal() {
                true => Received::Stop("SIGHUP: the terminal is gone"),
                false => Received::Hangup,
            },
        }
    }
}

//! Notifications to systemd (sd_notify(3)): the host is ready, reloads or stops, and the message path still makes progress
//! (the watchdog).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tracing::warn;

/// Socket of the service manager; silent if there is none.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: Option<UnixDatagram>,
    /// Interval of the watchdog messages.
    pulse: Option<Duration>,
}

impl Notifier {
    /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
    pub(super) fn from_environment() -> Self {
        let name = std::env::var("NOTIFY_SOCKET")
            .ok()
            .filter(|name| !name.is_empty());
        let socket = name.and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                warn!("cannot talk to the service manager at {name}: {error}");
                None
            }
        });

        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        // half of the timeout, as sd_watchdog_enabled(3) recommends
        let pulse = number("WATCHDOG_USEC")
            .filter(|time| ours && *time > 1)
            .map(|time| Duration::from_micros(time / 2));
        Self {
            pulse: pulse.filter(|_| socket.is_some()),
            socket,
        }
    }

    /// The host works: `services` run, and `starting` others start later.
    pub(super) fn ready(&self, services: usize, starting: usize) {
        let later = match starting {
            0 => String::new(),
            _ => format!(", {starting} are starting"),
        };
        self.tell(&format!("READY=1\nSTATUS={services} services run{later}"));
    }

    /// The configuration is being read again.
    pub(super) fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=reading the configuration again");
    }

    /// Sends a state without waiting: a service manager that does not read must not hold up messages.
    pub(super) fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            warn!("the service manager does not listen: {error}");
        }
    }

    /// Waits until the next watchdog message is due and sends it. To be called by the task that could hang. When cancelled, it
    /// sends the message at the next call.
    pub(super) async fn watch(&self, due: &mut tokio::time::Instant) {
        let Some(pulse) = self.pulse else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(*due).await;
        self.tell("WATCHDOG=1");
        *due = tokio::time::Instant::now() + pulse;
    }

    /// Repeats `watch` without end.
    pub(super) async fn watch_for_ever(&self) {
        let mut due = tokio::time::Instant::now();
        loop {
            self.watch(&mut due).await;
        }
    }
}

fn connect(name: &str) -> std::io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

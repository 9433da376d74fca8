//! Wiring: tells systemd how the host is (sd_notify(3)). In: the socket that systemd names in the environment. Out: datagrams:
//! ready, reloading, stopping, and that the message path still moves. Owns the socket.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tracing::warn;

/// The way to the service manager; silent where there is none.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that the host is alive.
    pulse: Option<Duration>,
}

impl Notifier {
    /// As NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say.
    pub fn from_environment() -> Self {
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
        // half of what it waits for, as sd_watchdog_enabled(3) says
        let pulse = number("WATCHDOG_USEC")
            .filter(|time| ours && *time > 1)
            .map(|time| Duration::from_micros(time / 2));
        Self {
            pulse: pulse.filter(|_| socket.is_some()),
            socket,
        }
    }

    /// Everything is loaded: `services` run.
    pub fn ready(&self, services: usize) {
        self.tell(&format!("READY=1\nSTATUS={services} services run"));
    }

    /// The configuration is being read again.
    pub fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=reading the configuration again");
    }

    /// Tells it, without waiting: a service manager that does not read must not hold up messages.
    pub fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            warn!("the service manager does not listen: {error}");
        }
    }

    /// Waits for as long as the watchdog allows, and tells that the one who waits is alive. To be called by the task that would
    /// hang. Cancelled, it tells at the next call.
    pub async fn watch(&self, due: &mut tokio::time::Instant) {
        let Some(pulse) = self.pulse else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(*due).await;
        self.tell("WATCHDOG=1");
        *due = tokio::time::Instant::now() + pulse;
    }

    /// As `watch`, again and again.
    pub async fn watch_for_ever(&self) {
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

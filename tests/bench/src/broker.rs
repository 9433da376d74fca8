//! Mosquitto for the bench, on a free port.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::process::{Process, tail};

/// Places of the program; Debian's is not on every user's path.
const PROGRAMS: [&str; 3] = [
    "/usr/sbin/mosquitto",
    "/usr/local/sbin/mosquitto",
    "/usr/bin/mosquitto",
];
const START: Duration = Duration::from_secs(5);

/// A running mosquitto.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    /// Its port.
    pub port: u16,
    program: &'static str,
    config: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Mosquitto {
    /// Starts it with its files in `dir`. Nothing is limited that would decide a measurement: no bound on queues and
    /// messages in flight, TCP_NODELAY, nothing on disk.
    ///
    /// # Errors
    /// When it is not installed or does not listen in time.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        let Some(program) = PROGRAMS.iter().find(|path| Path::new(path).exists()) else {
            bail!("mosquitto is not installed")
        };
        let port = free_port()?;
        let config = dir.join("mosquitto.conf");
        let log = dir.join("mosquitto.log");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n\
             max_inflight_messages 0\nmax_queued_messages 0\nlog_type error\n"
        );
        fs::write(&config, text)?;
        let mut broker = Self {
            port,
            program,
            config,
            log,
            process: None,
        };

        broker.restart().await?;
        Ok(broker)
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it on the same port, without its former state.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.kill();
        let mut process = Process::start(
            Command::new(self.program).arg("-c").arg(&self.config),
            &self.log,
        )?;
        wait_for_port(self.port, &mut process, &self.log).await?;
        self.process = Some(process);
        Ok(())
    }
}

/// A port of 127.0.0.1 that nobody listens on.
///
/// # Errors
/// When there is none.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until something listens on `port`.
///
/// # Errors
/// When the process ends, or nothing listens in time; with the end of its log.
pub(crate) async fn wait_for_port(port: u16, process: &mut Process, log: &Path) -> Result<()> {
    let end = Instant::now() + START;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        process.check().map_err(|error| error.context(tail(log)))?;
        if Instant::now() > end {
            bail!("nothing listens on port {port}: {}", tail(log));
        }
        sleep(Duration::from_millis(10)).await;
    }

    Ok(())
}

//! A real broker: mosquitto, with its process and folder.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::output::Output;
use crate::place;
use crate::process::Process;

/// How often a broker is told to stop, and how long it has before it is told again.
const SIGNALS: u32 = 10;
const SIGNAL_AGAIN: Duration = Duration::from_secs(1);

/// How a broker is set up.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Whether sessions and retained messages are on disk and outlive a stop (not every one outlives a kill).
    pub persistent: bool,
    /// Further lines of its configuration.
    pub lines: Vec<String>,
    /// Users with passwords; empty: everybody may connect.
    pub users: Vec<(String, String)>,
}

/// A running mosquitto on 127.0.0.1.
#[derive(Debug)]
pub struct Mosquitto {
    port: u16,
    folder: TempDir,
    process: Process,
}

impl Mosquitto {
    /// Starts one that keeps nothing on disk and lets everybody in.
    ///
    /// # Errors
    /// When mosquitto is not installed or does not start.
    pub async fn start() -> Result<Self> {
        Self::with(&Setup::default()).await
    }

    /// Starts one on a free port.
    ///
    /// # Errors
    /// When mosquitto is not installed or does not start.
    pub async fn with(setup: &Setup) -> Result<Self> {
        Self::on(place::free_port()?, setup).await
    }

    /// Starts one on `port`.
    ///
    /// # Errors
    /// When mosquitto is not installed or does not start.
    pub async fn on(port: u16, setup: &Setup) -> Result<Self> {
        let folder = TempDir::new()?;
        std::fs::write(
            folder.path().join("mosquitto.conf"),
            configuration(setup, port, folder.path())?,
        )?;
        let process = run(folder.path()).await?;
        Ok(Self {
            port,
            folder,
            process,
        })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its log: clients that connect and leave; with `log_type all` in [`Setup::lines`] every packet.
    pub fn output(&self) -> &Output {
        self.process.output()
    }

    /// The process, for signals.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it (SIGKILL).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Stops it properly, so that its state is on disk.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        // mosquitto 2.0.11 forgets a signal that comes between its last start-up line and its main loop
        for _ in 0..SIGNALS {
            self.process.signal("TERM")?;
            if let Ok(ended) = tokio::time::timeout(SIGNAL_AGAIN, self.process.ended()).await {
                return ended.map(drop);
            }
        }

        self.process.ended().await.map(drop)
    }

    /// Starts it again, on the same port and with the same folder.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = run(self.folder.path()).await?;
        Ok(())
    }
}

async fn run(folder: &Path) -> Result<Process> {
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("mosquitto");
    command
        .env("PATH", path)
        .arg("-c")
        .arg(folder.join("mosquitto.conf"));
    let process = Process::start(&mut command).context("run `make setup-tests`")?;
    process
        .output()
        .wait_for("mosquitto is running", |line| line.ends_with(" running"))
        .await?;
    Ok(process)
}

fn configuration(setup: &Setup, port: u16, folder: &Path) -> Result<String> {
    let mut lines = vec![
        format!("listener {port} 127.0.0.1"),
        format!("allow_anonymous {}", setup.users.is_empty()),
        "log_type error".into(),
        "log_type warning".into(),
        "log_type notice".into(),
        "log_type information".into(),
        "log_dest stderr".into(),
        "max_queued_messages 0".into(),
        "set_tcp_nodelay true".into(),
        // started by root, it would give up the rights to its folder
        "user root".into(),
    ];

    if setup.persistent {
        lines.push("persistence true".into());
        lines.push(format!("persistence_location {}/", folder.display()));
        lines.extend([
            "autosave_on_changes true".into(),
            "autosave_interval 1".into(),
        ]);
    }

    if !setup.users.is_empty() {
        let file = folder.join("users");
        lines.push(format!("password_file {}", file.display()));
        let plain: String = setup
            .users
            .iter()
            .map(|(name, password)| format!("{name}:{password}\n"))
            .collect();
        std::fs::write(&file, plain)?;
        let hashed = Command::new("mosquitto_passwd")
            .arg("-U")
            .arg(&file)
            .output()
            .context("mosquitto_passwd")?;
        ensure!(
            hashed.status.success(),
            "mosquitto_passwd: {}",
            String::from_utf8_lossy(&hashed.stderr)
        );
    }

    lines.extend(setup.lines.iter().cloned());
    Ok(lines.join("\n") + "\n")
}

//! A folder with a configuration, components and a directory for state, and a broker, for hosts that
//! run there.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use miqro_tests::process::{Process, Said, run_to_end};
use miqro_tests::{Client, Mosquitto, guests, host, mosquitto};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The home of a host.
pub(super) struct Home {
    /// The broker.
    pub broker: Mosquitto,
    folder: TempDir,
}

impl Home {
    /// A home with these guests as components.
    pub(super) async fn new(guests: &[&str]) -> Result<Self> {
        Self::with(guests, &mosquitto::Setup::default()).await
    }

    /// As `new`, with a broker of this kind.
    pub(super) async fn with(guests: &[&str], setup: &mosquitto::Setup) -> Result<Self> {
        let home = Self {
            broker: Mosquitto::with(setup).await?,
            folder: TempDir::new()?,
        };
        for guest in guests {
            home.write(&format!("{guest}.wasm"), guests::component(guest)?)?;
        }
        Ok(home)
    }

    /// A path in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the folder in place.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, content)?)
    }

    /// Puts a file of the folder into the place of the former one, by a rename.
    pub(super) fn replace(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let new = self.path("new");
        std::fs::write(&new, content)?;
        Ok(std::fs::rename(new, self.path(name))?)
    }

    /// Replaces `miqro.yml`: these services, and `more` at the top.
    pub(super) fn configure(&self, services: Value, more: Value) -> Result<()> {
        self.replace("miqro.yml", self.config(services, more).to_string())
    }

    /// A configuration for the broker.
    pub(super) fn config(&self, services: Value, more: Value) -> Value {
        let mut config = json!({ "broker": { "host": "127.0.0.1", "port": self.broker.port() }, "services": services });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        config
    }

    /// The host's program in the folder, with its state there, started by `launcher`.
    pub(super) fn command(&self, launcher: &[&str]) -> Result<Command> {
        let program = host::command()?;
        let mut command = match launcher {
            [] => Command::new(program.get_program()),
            [outer, arguments @ ..] => {
                let mut outer = Command::new(outer);
                outer.args(arguments).arg(program.get_program());
                outer
            }
        };

        command.envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"));
        Ok(command)
    }

    /// Starts `miqro-host run` with `arguments`.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Process> {
        self.start_through(&[], arguments)
    }

    /// As `start`, by a launcher.
    pub(super) fn start_through(&self, launcher: &[&str], arguments: &[&str]) -> Result<Process> {
        Process::start(self.command(launcher)?.arg("run").args(arguments))
    }

    /// Runs the program to its end.
    pub(super) async fn say(&self, arguments: &[&str]) -> Result<Said> {
        run_to_end(self.command(&[])?.args(arguments)).await
    }

    /// A client of the broker that hears all services.
    pub(super) async fn client(&self) -> Result<Client> {
        let mut client = Client::connect(self.broker.port()).await?;
        for topic in ["online", "out", "value", "config_at_start"] {
            client.subscribe(&format!("service/+/{topic}"), 1).await?;
        }
        Ok(client)
    }
}

/// Waits until the service says that it is online.
pub(super) async fn online(client: &mut Client, service: &str) -> Result<()> {
    while client
        .expect(&format!("service/{service}/online"))
        .await?
        .text()
        != "1"
    {}
    Ok(())
}

/// The guest `relay` under this name answers.
pub(super) async fn relays(client: &mut Client, service: &str) -> Result<()> {
    client
        .publish(&format!("service/{service}/in"), service.to_owned())
        .await?;
    assert_eq!(
        client
            .expect(&format!("service/{service}/out"))
            .await?
            .text(),
        service
    );

    Ok(())
}

/// Ends the host.
pub(super) async fn stop(mut host: Process) -> Result<()> {
    host.signal("TERM")?;
    assert!(
        host.ended().await?.success(),
        "{}",
        host.output().told("the end")
    );
    Ok(())
}

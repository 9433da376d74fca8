//! The real host: the running program, its log lines, and a folder with its configuration and
//! components.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::client::Options;
use crate::output::Output;
use crate::process::{Process, Said, run_to_end};
use crate::{Client, Deadline, Version, guests, place};

/// How a host is started.
#[derive(Debug, Clone)]
pub struct Setup {
    port: u16,
    login: Option<(String, String)>,
    config: Map<String, Value>,
    services: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    arguments: Vec<String>,
    launcher: Vec<String>,
}

impl Setup {
    /// Another key of the configuration's top, or another value for it.
    pub fn top(mut self, key: &str, value: Value) -> Self {
        self.config.insert(key.into(), value);
        self
    }

    /// Another key of the section `broker`.
    pub fn broker(mut self, key: &str, value: Value) -> Self {
        self.config["broker"][key] = value;
        self
    }

    /// The embedded broker keeps what it has in `folder`.
    pub fn data(mut self, folder: &Path) -> Self {
        self.config["broker"]["embedded"]["data_dir"] = json!(folder);
        self
    }

    /// The version of the protocol between host and broker.
    pub fn version(self, version: Version) -> Self {
        let version = if version == Version::V5 { "5" } else { "3.1.1" };
        self.broker("protocol", json!(version))
    }

    /// How the test's own client logs in to see that the services are online.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// A service `name` that is the guest `guest`, with its section.
    pub fn service(mut self, name: &str, guest: &str, section: Value) -> Self {
        self.config.entry("services").or_insert_with(|| json!({}))[name] = section;
        self.services.push((name.into(), guest.into()));
        self
    }

    /// Another file in its folder.
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }

    /// One more argument of `miqro-host run`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The program, with its first arguments, that starts the host: it gets the host's command as its further arguments.
    pub fn through(mut self, launcher: &[impl AsRef<str>]) -> Self {
        self.launcher = launcher
            .iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        self
    }

    /// Starts the host and waits until all its services are online.
    ///
    /// # Errors
    /// When the host ends or a service does not come online; the error has the host's last lines.
    pub async fn start(self) -> Result<Host> {
        let host = self.spawn()?;
        host.online().await?;
        Ok(host)
    }

    /// Starts the host and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(self) -> Result<Host> {
        let folder = TempDir::new()?;
        for (name, guest) in &self.services {
            std::fs::write(
                folder.path().join(name).with_extension("wasm"),
                guests::component(guest)?,
            )?;
        }

        for (name, content) in &self.files {
            std::fs::write(folder.path().join(name), content)?;
        }
        // JSON is YAML
        std::fs::write(
            folder.path().join("miqro.yml"),
            serde_json::to_string_pretty(&self.config)?,
        )?;
        let process = run(&self, &folder)?;
        Ok(Host {
            setup: self,
            folder,
            process,
        })
    }
}

/// A running host.
#[derive(Debug)]
pub struct Host {
    setup: Setup,
    folder: TempDir,
    process: Process,
}

impl Host {
    /// A host for the broker on `port` of 127.0.0.1.
    pub fn on(port: u16) -> Setup {
        let broker = json!({ "host": "127.0.0.1", "port": port, "reconnect": { "min": "20ms", "max": "200ms" } });
        Self::setup(port, broker)
    }

    /// A host for the broker on `port` of 127.0.0.1 with default settings of the connection.
    pub fn plain(port: u16) -> Setup {
        Self::setup(port, json!({ "host": "127.0.0.1", "port": port }))
    }

    /// A host with the embedded broker on a free port.
    ///
    /// # Errors
    /// When no port is free.
    pub fn embedded() -> Result<Setup> {
        let port = place::free_port()?;
        let broker = json!({
            "embedded": { "listen": format!("127.0.0.1:{port}") }, "reconnect": { "min": "20ms", "max": "200ms" },
        });
        Ok(Self::setup(port, broker))
    }

    fn setup(port: u16, broker: Value) -> Setup {
        let config = Map::from_iter([("broker".to_owned(), broker)]);
        let services = Vec::new();
        let files = Vec::new();
        let arguments = Vec::new();
        let launcher = Vec::new();
        Setup {
            port,
            login: None,
            config,
            services,
            files,
            arguments,
            launcher,
        }
    }

    /// Waits until every service is online.
    ///
    /// # Errors
    /// When the host ends or a service does not come online; the error has the host's last lines.
    pub async fn online(&self) -> Result<()> {
        let outcome = tokio::select! {
            online = self.all_online() => online,
            () = self.output().closed() => bail!(self.output().told("the host has ended")),
        };
        outcome.with_context(|| self.output().told("the services are not online"))
    }

    async fn all_online(&self) -> Result<()> {
        let mut client = Deadline::new().wait("the broker", self.reach()).await?;
        client.subscribe("service/+/online", 1).await?;
        let mut missing: Vec<String> = self
            .setup
            .services
            .iter()
            .map(|(name, _)| format!("service/{name}/online"))
            .collect();

        while !missing.is_empty() {
            let message = client
                .next()
                .await
                .with_context(|| format!("not online: {missing:?}"))?;
            missing.retain(|topic| *topic != message.topic || message.payload != "1");
        }

        Ok(())
    }

    /// Connects as soon as the broker listens: an embedded one does so some time after the start of the process.
    async fn reach(&self) -> Client {
        loop {
            match self.client().await {
                Ok(client) => return client,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// A new client of the host's broker.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn client(&self) -> Result<Client> {
        Client::with(&Options {
            login: self.setup.login.clone(),
            ..Options::new(self.setup.port)
        })
        .await
    }

    /// The port of its broker.
    pub fn port(&self) -> u16 {
        self.setup.port
    }

    /// Waits until its HTTP server listens, and returns the port.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn web_port(&self) -> Result<u16> {
        let listens = |line: &str| line.contains("HTTP server listens");
        let line = self.output().wait_for("the HTTP server", listens).await?;
        let port = line.rsplit(':').next().context("no port")?;
        port.trim().parse().with_context(|| line.clone())
    }

    /// Its output.
    pub fn output(&self) -> &Output {
        self.process.output()
    }

    /// Its process, for signals.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The component file of the service `name`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("wasm")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the component of the service `name` by a rename.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn replace(&self, name: &str, component: &[u8]) -> Result<()> {
        let new = self.folder.path().join(format!("{name}.new"));
        std::fs::write(&new, component)?;
        Ok(std::fs::rename(new, self.file(name))?)
    }

    /// Replaces the component of the service `name` and waits for a line of the log with `words` about it.
    ///
    /// # Errors
    /// When the file system refuses or no such line comes.
    pub async fn replace_and_wait(
        &self,
        name: &str,
        component: &[u8],
        words: &str,
    ) -> Result<String> {
        let line = self.output().lines().len();
        self.replace(name, component)?;
        self.output().says(line, words).await
    }

    /// The configuration that it was started with.
    pub fn config(&self) -> Value {
        Value::Object(self.setup.config.clone())
    }

    /// Writes `text` into the place of its configuration file, by a rename.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn configure(&self, text: impl ToString) -> Result<()> {
        let new = self.folder.path().join("miqro.new");
        std::fs::write(&new, text.to_string())?;
        Ok(std::fs::rename(new, self.folder.path().join("miqro.yml"))?)
    }

    /// Writes a new configuration and waits until it is in force.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn reconfigured(&self, config: &Value) -> Result<()> {
        let outcome = self.configured(config).await?;
        ensure!(
            outcome.contains("is in force"),
            self.output().told(&outcome)
        );
        Ok(())
    }

    /// Writes a new configuration, waits until it is refused, and returns the line about it.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn refused(&self, config: impl ToString) -> Result<String> {
        let line = self.output().lines().len();
        let outcome = self.configured(config).await?;
        ensure!(outcome.contains("is refused"), self.output().told(&outcome));
        Ok(self.output().lines()[line..].join("\n"))
    }

    async fn configured(&self, config: impl ToString) -> Result<String> {
        let line = self.output().lines().len();
        self.configure(config)?;
        let concluded = |line: &str| {
            ["is in force", "is refused", "has not changed"]
                .iter()
                .any(|words| line.contains(words))
        };
        self.output()
            .wait_from(line, "the end of a reload", concluded)
            .await
    }

    /// Runs the host's program with `arguments` in its folder, as a user would, and returns its output.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn tell(&self, arguments: &[&str]) -> Result<String> {
        let said = self.run(arguments).await?;
        ensure!(said.code == Some(0), "{arguments:?}: {said:?}");
        Ok(said.out)
    }

    /// Runs the host's program with `arguments` in its folder to the end, whatever it ends with.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub async fn run(&self, arguments: &[&str]) -> Result<Said> {
        run_to_end(command_in(self.folder())?.args(arguments)).await
    }

    /// Runs the host's program with `arguments` in its folder, which must fail, and returns its standard error.
    ///
    /// # Errors
    /// When it ends well.
    pub async fn refusal(&self, arguments: &[&str]) -> Result<String> {
        let said = self.run(arguments).await?;
        ensure!(said.code == Some(1), "{arguments:?}: {said:?}");
        Ok(said.err)
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal("TERM")?;
        self.process.ended().await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.process.ended().await
    }

    /// Kills it (SIGKILL).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Sets the launcher for further starts; see [`Setup::through`].
    pub fn start_through(&mut self, launcher: &[impl AsRef<str>]) {
        self.setup = self.setup.clone().through(launcher);
    }

    /// Starts it again, with the same folder; waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        self.process = run(&self.setup, &self.folder)?;
        Ok(())
    }
}

/// The host's program with nothing of the user's environment that it reads.
///
/// # Errors
/// When it is not built.
pub fn command() -> Result<Command> {
    let mut command = Command::new(place::host()?);
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MIQRO"))
    {
        command.env_remove(name);
    }
    // compiled guests are shared between tests, as they are between runs of the host
    command.env("XDG_CACHE_HOME", place::cache()?);
    Ok(command)
}

/// The host's program in `folder`, with its state there.
///
/// # Errors
/// When it is not built.
pub fn command_in(folder: &Path) -> Result<Command> {
    let mut command = command()?;
    command
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"));
    Ok(command)
}

fn run(setup: &Setup, folder: &TempDir) -> Result<Process> {
    let mut command = launched(command_in(folder.path())?, &setup.launcher);
    command.arg("run");
    for (name, _) in &setup.services {
        command.arg(format!("{name}.wasm"));
    }
    Process::start(
        command
            .args(["--config", "miqro.yml"])
            .args(&setup.arguments),
    )
}

/// The program of `command`, in its folder and environment, started by `launcher`.
fn launched(command: Command, launcher: &[String]) -> Command {
    let [program, arguments @ ..] = launcher else {
        return command;
    };
    let mut outer = Command::new(program);
    outer.args(arguments).arg(command.get_program());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }

    outer
}

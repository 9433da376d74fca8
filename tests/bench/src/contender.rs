//! Contenders: processes of their own that answer the messages of one topic on another.

pub(crate) mod call;
pub(crate) mod handler;
pub(crate) mod native;
pub(crate) mod raw;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::Process;

/// The Python contender, as a file that Python runs.
const PYTHON: &str = include_str!("contender/miqro_way.py");
/// The Python caller and provider of typed services.
const PYTHON_PAIR: &str = include_str!("contender/typed_pair.py");

/// The contenders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Contender {
    /// A native Rust echo on rumqttc's own event loop: the baseline, (a).
    Native,
    /// MIQRO's way in Python on paho, (b).
    Python,
    /// The host with a native handler in place of the guest, (c).
    Handler,
    /// The same, but it acknowledges at once, so the result of a message may be lost.
    Prompt,
    /// The host with a guest.
    Guest,
    /// The generator's own packets: the upper bound of a measurement.
    Raw,
}

impl Contender {
    /// All that are compared, in the order in which they take turns.
    pub(crate) const ALL: [Self; 4] = [Self::Native, Self::Python, Self::Handler, Self::Guest];

    /// Its name, also the name of its service.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Python => "python",
            Self::Handler => "handler",
            Self::Prompt => "prompt",
            Self::Guest => "guest",
            Self::Raw => "raw",
        }
    }

    /// How it is called in tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Native => "(a) native, rumqttc loop",
            Self::Python => "(b) Python, paho",
            Self::Handler => "(c) host, native handler",
            Self::Prompt => "(d) as (c), acknowledges at once",
            Self::Guest => "host, guest",
            Self::Raw => "(ceiling) raw packets",
        }
    }

    /// The topics of its requests and of its answers in `qos`. The guest that answers with QoS 1 is guests/relay, which
    /// has topics of its own.
    pub(crate) fn topics(self, qos: u8) -> [String; 2] {
        let names = if self == Self::Guest && qos == 1 {
            ["in", "out"]
        } else {
            ["echo", "echo_response"]
        };
        names.map(|name| format!("service/{}/{name}", self.name()))
    }
}

/// The parts that are needed to start contenders.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// The host's binary.
    pub host: PathBuf,
    /// The directory with the guests.
    pub guests: PathBuf,
    /// A Python that has paho; `None` when there is none.
    pub python: Option<PathBuf>,
    /// Directory for configurations and logs.
    pub dir: PathBuf,
}

impl Programs {
    /// Starts `contender` against the broker on `port`. `qos` is the one in which the guest answers; the others
    /// answer in the one in which they are asked.
    ///
    /// # Errors
    /// When a file cannot be written or the process cannot be started.
    pub(crate) fn start(&self, contender: Contender, port: u16, qos: u8) -> Result<Process> {
        let log = self.log(contender);
        match contender {
            Contender::Native | Contender::Handler | Contender::Prompt | Contender::Raw => {
                let mut command = Command::new(std::env::current_exe()?);
                Process::start(
                    command.args([contender.name(), &port.to_string(), &qos.to_string()]),
                    &log,
                )
            }
            Contender::Python => {
                let script = self.dir.join("miqro_way.py");
                fs::write(&script, PYTHON)?;
                let python = self.python.as_ref().context("no Python with paho")?;
                Process::start(Command::new(python).arg(script).arg(port.to_string()), &log)
            }
            Contender::Guest => self.host(&self.echo_config(&remote(port), qos)?, &log),
        }
    }

    /// Starts the Python caller or provider of a typed interface, as `role` says.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn python_pair(&self, port: u16, role: &str) -> Result<Process> {
        let script = self.dir.join("typed_pair.py");
        fs::write(&script, PYTHON_PAIR)?;
        let python = self.python.as_ref().context("no Python with paho")?;
        let log = self.dir.join(format!("typed-python-{role}.log"));
        let mut command = Command::new(python);
        Process::start(command.arg(script).args([&port.to_string(), role]), &log)
    }

    /// File for the output of `contender`.
    pub(crate) fn log(&self, contender: Contender) -> PathBuf {
        self.dir.join(format!("{}.log", contender.name()))
    }

    /// Microseconds of one call of the echo guest without a host, for each of `call::SIZES`.
    ///
    /// # Errors
    /// When it cannot be measured.
    pub(crate) fn guest_calls(&self) -> Result<Vec<f64>> {
        let mut command = Command::new(std::env::current_exe()?);
        let output = command
            .arg("call")
            .arg(self.guests.join("echo.wasm"))
            .output()?;
        let lines = String::from_utf8(output.stdout)?;
        let calls: Vec<f64> = lines
            .lines()
            .filter_map(|line| Some(line.parse::<f64>().ok()? / 1e3))
            .collect();
        if calls.len() != call::SIZES.len() {
            bail!("guest calls: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(calls)
    }

    /// Starts the host with the configuration file `config`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn host(&self, config: &Path, log: &Path) -> Result<Process> {
        Process::start(
            Command::new(&self.host)
                .args(["run", "--config"])
                .arg(config),
            log,
        )
    }

    /// Writes a configuration with the echo guest that answers in `qos` as service `guest`, and the section `broker`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn echo_config(&self, broker: &str, qos: u8) -> Result<PathBuf> {
        let guest = self
            .guests
            .join(if qos == 0 { "echo.wasm" } else { "relay.wasm" });
        self.config("guest", broker, &self.cache(), &service("guest", &guest))
    }

    /// Writes the configuration `name` with the sections `broker` and `services`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn config(
        &self,
        name: &str,
        broker: &str,
        cache: &Path,
        services: &str,
    ) -> Result<PathBuf> {
        let file = self.dir.join(format!("{name}.yml"));
        let text = format!(
            "{broker}cache_dir: {}\nlog_level: WARNING\nservices:\n{services}",
            cache.display()
        );
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// The compile cache that all runs of the host share.
    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.join("cache")
    }
}

/// The section `broker` for a broker on `port`.
pub(crate) fn remote(port: u16) -> String {
    format!("broker:\n  host: 127.0.0.1\n  port: {port}\n  receive_maximum: {RECEIVE_MAXIMUM}\n")
}

/// How many QoS 1 messages every contender takes at once: above every window, so that the window decides.
pub(crate) const RECEIVE_MAXIMUM: u16 = 2_000;

/// The section of one service.
pub(crate) fn service(name: &str, component: &Path) -> String {
    format!("  {name}:\n    component: {}\n", component.display())
}

//! Surface: `miqro-host run`. In: component files and the configuration file. Out: the running host, in the foreground or in the
//! background, and on standard output where it listens and a line to try it with. Owns nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tracing::warn;

use crate::app::{self, Source, Started};
use crate::config::Config;
use crate::daemon::identity::identity;
use crate::daemon::{self, Background, Launch};
use crate::logging::{self, Levels};
use crate::message::Subscription;

use super::places;
use super::print::{complain, print, print_line};

const EXAMPLES: &str = "Examples:
  miqro-host run guests/echo.wasm                 the echo service on the embedded broker
  miqro-host run a.wasm b.wasm --config home.yml  two services, with the broker that home.yml names
  miqro-host run                                  every service of miqro.yml that has a component
  miqro-host run --daemon --uid miqro             the same in the background, as the user miqro

A service is named after its file's stem. Replace a .wasm file while it runs, and the new version takes over between two
messages; change the configuration, and what it concerns follows. SIGHUP reads the configuration again and opens the log file
again. SIGTERM or Ctrl-C stops after what was taken is handled; a second one stops at once.";

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Component files; without any, every service of the configuration that has a component
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run in the background; returns when the services are loaded
    #[arg(short, long)]
    daemon: bool,
    /// File for the process id; a second host with the same one is refused [default with --daemon: /run/miqro-host.pid, or in
    /// $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// File for log lines in place of stderr; opened again on SIGHUP [default with --daemon: /var/log/miqro-host.log, or in
    /// ~/.local/state]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// User to run as, by name or number
    #[arg(long, value_name = "USER")]
    uid: Option<String>,
    /// Group to run as, by name or number [default: the user's]
    #[arg(long, value_name = "GROUP")]
    gid: Option<String>,
    /// Directory to work in [default with --daemon: /]
    #[arg(long, value_name = "DIR")]
    working_directory: Option<PathBuf>,
    /// Accept a configuration file that is empty, or whose `services` is: the defaults hold. Such a file was more often cut while it
    /// was written
    #[arg(long)]
    allow_empty: bool,
    /// Set by --daemon for the program in the background
    #[arg(long = "in-background", hide = true, conflicts_with_all = ["daemon", "uid", "gid", "working_directory"])]
    in_background: bool,
}

impl Run {
    /// Runs until a signal stops it, or until it runs in the background.
    pub fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        if self.daemon {
            return self.background(config);
        }
        if let Some(identity) = identity(self.uid.as_deref(), self.gid.as_deref())? {
            let (pid_file, log_file) = (
                absolute(self.pid_file.as_deref())?,
                absolute(self.log_file.as_deref())?,
            );
            let directory = self
                .working_directory
                .clone()
                .map_or_else(std::env::current_dir, Ok)?;
            let arguments = self.arguments(config, pid_file.as_deref(), log_file.as_deref())?;
            let launch = Launch {
                arguments,
                identity: Some(identity),
                directory,
                pid_file,
                log_file,
            };
            return Err(launch.in_place().into());
        }
        self.foreground(config)
    }

    fn foreground(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let background = if self.in_background {
            Some(Background::begin()?)
        } else {
            None
        };
        let (pid_file, log_file) = (
            absolute(self.pid_file.as_deref())?,
            absolute(self.log_file.as_deref())?,
        );
        let files = self
            .files
            .iter()
            .map(|file| self.elsewhere(file))
            .collect::<anyhow::Result<_>>()?;
        let found = Config::find(config);
        let path = found.map(|file| self.elsewhere(file)).transpose()?;
        if let Some(directory) = &self.working_directory {
            let failed = || format!("cannot work in {}", directory.display());
            std::env::set_current_dir(directory).with_context(failed)?;
        }
        let _pid_file = daemon::hold(pid_file.as_deref())?;
        let source = Source {
            path,
            files,
            allow_empty: self.allow_empty,
        };
        let loaded = source.begin()?;
        let logs = logging::start(
            Levels::from_config(&loaded.config),
            loaded.config.log.format,
            log_file.as_deref(),
        )?;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        let ready = || background.iter().for_each(Background::ready);
        app::run(app::Run {
            loaded,
            source,
            logs: &logs,
            greet: &greet,
            ready: &ready,
        })
    }

    fn background(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let identity = identity(self.uid.as_deref(), self.gid.as_deref())?;
        let pid_file = absolute(Some(&places::pid_file(self.pid_file.clone())?))?;
        let log = std::path::absolute(places::log_file(self.log_file.clone())?)?;
        let arguments = self.arguments(config, pid_file.as_deref(), Some(&log))?;
        let directory = self.working_directory.unwrap_or_else(|| PathBuf::from("/"));
        let log_file = Some(log.clone());
        let launch = Launch {
            arguments,
            identity,
            directory,
            pid_file,
            log_file,
        };
        match launch.background(&log)? {
            Ok(pid) => {
                let said = format!(
                    "miqro-host runs in the background: process {pid}, log {}",
                    log.display()
                );
                // it runs, whether that can be said or not
                print_line(said).unwrap_or_else(|error| complain(format_args!("{error:#}")));
                Ok(ExitCode::SUCCESS)
            }
            Err(code) => Ok(code),
        }
    }

    /// The arguments with which the program is started again: all paths absolute, because it works elsewhere.
    fn arguments(
        &self,
        config: Option<&Path>,
        pid: Option<&Path>,
        log: Option<&Path>,
    ) -> anyhow::Result<Vec<OsString>> {
        let mut arguments: Vec<OsString> = vec!["run".into()];
        for (name, path) in [
            ("--config", Config::find(config)),
            ("--pid-file", pid),
            ("--log-file", log),
        ] {
            if let Some(path) = path {
                arguments.extend([name.into(), std::path::absolute(path)?.into()]);
            }
        }
        arguments.extend(self.allow_empty.then(|| "--allow-empty".into()));
        for file in &self.files {
            arguments.push(std::path::absolute(file)?.into());
        }
        Ok(arguments)
    }

    /// A path that means the same in the directory to work in.
    fn elsewhere(&self, path: &Path) -> anyhow::Result<PathBuf> {
        Ok(if self.working_directory.is_some() {
            std::path::absolute(path)?
        } else {
            path.to_owned()
        })
    }
}

fn absolute(path: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    Ok(path.map(std::path::absolute).transpose()?)
}

/// Says it on standard output, in a thread of its own: the host serves whether anybody reads that or not.
fn greet(started: &Started<'_>) {
    let text = greeting(started);
    let said = std::thread::Builder::new()
        .name("greeting".to_owned())
        .spawn(move || {
            if let Err(error) = print(text) {
                warn!("the greeting is not written: {error:#}");
            }
        });
    if let Err(error) = said {
        warn!("the greeting is not written: no thread for it: {error}");
    }
}

fn greeting(started: &Started<'_>) -> String {
    let address = format!("{}:{}", started.connection.host, started.connection.port);
    let mut text = match started.embedded {
        true => format!("embedded broker listening on {address}\n"),
        false => format!("connecting to the broker on {address}\n"),
    };
    for service in started.services {
        text.push_str(&format!(
            "service {} below {}\n",
            service.ctx.config.name, service.ctx.config.base
        ));
    }
    if let Some(line) = started
        .services
        .iter()
        .find_map(|service| try_line(started, &service.subscriptions))
    {
        text.push_str(&format!(
            "to try it, copy into another terminal:\n  {line}\n"
        ));
    }
    text
}

/// A command that makes a service answer: for its first subscription without wildcards.
fn try_line(started: &Started<'_>, subscriptions: &[Subscription]) -> Option<String> {
    let filter = subscriptions
        .iter()
        .map(|s| s.filter.as_str())
        .find(|filter| !filter.contains(['+', '#', '$']))?;
    let below = filter
        .rsplit_once('/')
        .map_or("#".to_owned(), |(base, _)| format!("{base}/#"));
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "miqro-host".to_owned());
    let port = started.connection.port;
    let host = &started.connection.host;
    Some(format!(
        "{program} pub --host {host} --port {port} --answers '{below}' {filter} hello"
    ))
}

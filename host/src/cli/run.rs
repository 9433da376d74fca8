//! `miqro-host run`: runs the host in the foreground or the background, and prints its address and a command to try it with.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use tracing::warn;

use crate::app::{self, Feedback, Source};
use crate::config::{Config, Role, Web, WebToken};
use crate::daemon::identity::{Identity, identity};
use crate::daemon::{self, Background, BackgroundStart, Launch};
use crate::logging::{self, Levels};
use crate::web;

use super::greeting::Greeting;
use super::paths;
use super::print::{print_error, print_line};

const EXAMPLES: &str = "Examples:
  miqro-host run guests/echo.wasm                 the echo service on the embedded broker
  miqro-host run a.wasm b.wasm --config home.yml  two services, with the broker that home.yml names
  miqro-host run guests/echo.wasm --web           the same, with the web page; prints its address and a token
  miqro-host run                                  every service of miqro.yml that has a component
  miqro-host run --daemon --uid miqro             the same in the background, as the user miqro

The name of a service is the stem of its file's name. When a .wasm file is replaced, the new version takes over between two
messages. When the configuration changes, the host applies the changes. SIGHUP reads the configuration again and opens the
log file again. SIGTERM or Ctrl-C stops the host after it has handled the messages that it has accepted; a second one stops
it at once.";

/// Arguments of `run`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Run {
    /// Component files [default: every service of the configuration that has a component]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run in the background; returns when the services are loaded
    #[arg(short, long)]
    daemon: bool,
    /// File for the process id; a second host with the same file does not start [default with --daemon: /run/miqro-host.pid, or
    /// in $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Log file in place of stderr; opened again on SIGHUP [default with --daemon: /var/log/miqro-host.log, or in
    /// ~/.local/state]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// User to run as, by name or number
    #[arg(long, value_name = "USER")]
    uid: Option<String>,
    /// Group to run as, by name or number [default: the group of the user]
    #[arg(long, value_name = "GROUP")]
    gid: Option<String>,
    /// Working directory [default with --daemon: /]
    #[arg(long, value_name = "DIR")]
    working_directory: Option<PathBuf>,
    /// Serve the web page, with a token for this run, unless the configuration has a section `web` [default: 127.0.0.1:8180]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:8180",
        conflicts_with_all = ["daemon", "uid", "gid"]
    )]
    web: Option<SocketAddr>,
    /// Accept a configuration file that is empty, or has empty `services`, and use the defaults. Such a file is otherwise
    /// rejected, because it was probably truncated
    #[arg(long)]
    allow_empty: bool,
    /// Set by --daemon for the background process
    #[arg(long = "in-background", hide = true, conflicts_with_all = ["daemon", "uid", "gid", "working_directory"])]
    in_background: bool,
}

impl Run {
    /// Runs one component in the foreground.
    pub(super) fn for_file(file: PathBuf) -> Self {
        Self {
            files: vec![file],
            ..Self::default()
        }
    }

    /// Runs until a signal stops it, or until it runs in the background.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        if self.daemon {
            return self.run_in_background(config);
        }

        match identity(self.uid.as_deref(), self.gid.as_deref())? {
            Some(identity) => self.run_as(identity, config),
            None => self.run_in_foreground(config),
        }
    }

    /// Replaces this process by one of another user.
    fn run_as(self, identity: Identity, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let pid_file = absolute(self.pid_file.as_deref())?;
        let log_file = absolute(self.log_file.as_deref())?;
        let arguments = self.arguments(config, pid_file.as_deref(), log_file.as_deref())?;
        let directory = match self.working_directory {
            Some(directory) => directory,
            None => std::env::current_dir()?,
        };
        let launch = Launch {
            arguments,
            identity: Some(identity),
            directory,
            pid_file,
            log_file,
        };

        Err(launch.in_place().into())
    }

    fn run_in_foreground(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let background = if self.in_background {
            Some(Background::begin()?)
        } else {
            None
        };
        let pid_file = absolute(self.pid_file.as_deref())?;
        let log_file = absolute(self.log_file.as_deref())?;
        let mut source = self.source(config)?;
        if let Some(directory) = &self.working_directory {
            std::env::set_current_dir(directory)
                .with_context(|| format!("cannot work in {}", directory.display()))?;
        }

        let _pid_file = daemon::hold(pid_file.as_deref())?;
        let page = self.web.map(LocalPage::new).transpose()?;
        source.web = page.as_ref().map(|page| page.web.clone());
        let loaded = source.begin()?;
        // a section `web` of the configuration comes first
        let page = page.filter(|page| loaded.config.web.as_ref() == Some(&page.web));
        let levels = Levels::from_config(&loaded.config);
        let logs = logging::start(levels, loaded.config.log.format, log_file.as_deref())?;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }

        let on_ready = || {
            if let Some(background) = &background {
                background.ready();
            }
        };
        let greeting = Greeting::new();
        app::run(app::Run {
            loaded,
            source,
            logs: &logs,
            feedback: Feedback {
                greet: &|started| {
                    greeting.greet(started);
                    if let Some(page) = &page {
                        greeting.show_page(page.web.listen, &page.token);
                    }
                },
                suggest: &|connection, base, filters| greeting.suggest(connection, base, filters),
                ready: &on_ready,
            },
        })
    }

    /// The configuration and the components, by paths that stay valid in the working directory.
    fn source(&self, config: Option<&Path>) -> anyhow::Result<Source> {
        let path = Config::find(config)
            .map(|file| self.resolve(file))
            .transpose()?;
        let files = self
            .files
            .iter()
            .map(|file| self.resolve(file))
            .collect::<anyhow::Result<_>>()?;

        Ok(Source {
            path,
            files,
            allow_empty: self.allow_empty,
            web: None,
        })
    }

    fn run_in_background(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let identity = identity(self.uid.as_deref(), self.gid.as_deref())?;
        let pid_file = absolute(Some(&paths::pid_file(self.pid_file.clone())?))?;
        let log = std::path::absolute(paths::log_file(self.log_file.clone())?)?;
        let arguments = self.arguments(config, pid_file.as_deref(), Some(&log))?;
        let launch = Launch {
            arguments,
            identity,
            directory: self.working_directory.unwrap_or_else(|| PathBuf::from("/")),
            pid_file,
            log_file: Some(log.clone()),
        };

        match launch.background(&log)? {
            BackgroundStart::Ready(pid) => {
                let line = format!(
                    "miqro-host runs in the background: process {pid}, log {}",
                    log.display()
                );
                // the host runs even if this cannot be printed
                if let Err(error) = print_line(line) {
                    print_error(format_args!("{error:#}"));
                }
                Ok(ExitCode::SUCCESS)
            }
            BackgroundStart::Failed(code) => Ok(code),
        }
    }

    /// Arguments for the new process: all paths are absolute, because its working directory may differ.
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

        if self.allow_empty {
            arguments.push("--allow-empty".into());
        }
        for file in &self.files {
            arguments.push(std::path::absolute(file)?.into());
        }
        Ok(arguments)
    }

    /// A path to the same file that stays valid in the working directory.
    fn resolve(&self, path: &Path) -> anyhow::Result<PathBuf> {
        if self.working_directory.is_some() {
            Ok(std::path::absolute(path)?)
        } else {
            Ok(path.to_owned())
        }
    }
}

/// The web page of `--web`: on a loopback address, with a token for this run.
struct LocalPage {
    web: Web,
    token: String,
}

impl LocalPage {
    fn new(listen: SocketAddr) -> anyhow::Result<Self> {
        ensure!(
            listen.ip().is_loopback(),
            "--web: expected a loopback address, found {}; for others write a section web with users or tokens",
            listen.ip()
        );
        let token = web::random_token().context("the system has no random numbers")?;
        let holder = WebToken::new("terminal".to_owned(), Role::Operate, &token);
        let web = Web {
            listen,
            tokens: vec![holder],
            ..Web::default()
        };
        Ok(Self { web, token })
    }
}

fn absolute(path: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    Ok(path.map(std::path::absolute).transpose()?)
}

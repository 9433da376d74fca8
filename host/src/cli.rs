//! The command line: one module a command.

mod admin;
mod apigear;
mod background;
mod call;
mod check;
mod client;
mod compile;
mod components;
mod deploy;
mod describe;
mod details;
mod endpoint;
mod format;
mod greeting;
mod hash_password;
mod install;
mod list;
mod manual;
mod member;
mod paths;
mod print;
mod project;
mod property;
mod publish;
mod receiver;
mod record;
mod remote;
mod replay;
mod reply;
mod run;
mod shadow;
mod show;
mod status_line;
mod stream;
mod subscribe;
mod test;
mod top;
mod url;
mod values;
mod wait;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{CommandFactory, Parser, Subcommand};

pub use print::print_last_error;

use crate::panic_hook;

/// Runs MQTT services as sandboxed WebAssembly components over one MQTT session.
#[derive(Debug, Parser)]
#[command(name = "miqro-host", version, max_term_width = 100)]
pub struct Cli {
    /// Configuration file [default: ./miqro.yml, then /etc/miqro.yml, whichever exists first]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    remote: remote::RemoteOptions,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run services until a signal stops the host
    Run(run::Run),
    /// Write a systemd unit that runs the host
    Install(install::Install),
    /// Show whether a background host is running
    Status(background::Status),
    /// Make the background host read its configuration again
    Reload(background::Target),
    /// Stop the background host and wait until it has ended
    Stop(background::Stop),
    /// List the services of the running hosts, with their figures
    List(list::List),
    /// Show the services of a running host as they are, and restart or switch them
    Top(top::Top),
    /// Show a service's section of the configuration in effect
    Section(details::Section),
    /// Show a service's stored state
    State(details::State),
    /// Show a service's version history
    History(admin::History),
    /// Have a service take over the version that waits in its component file
    Update(admin::ServiceTarget),
    /// Roll a service back to a former version
    Rollback(admin::Rollback),
    /// Check a component and have it take over as the new version of a service
    Deploy(deploy::Deploy),
    /// Run a version as the shadow of a service, and show how it differs
    Shadow(shadow::Shadow),
    /// Reprocess a service's dead letters
    Replay(replay::Replay),
    /// Record the calls of a running service to a file, for `test --replay`
    Record(record::Record),
    /// Restart a service
    Restart(admin::ServiceTarget),
    /// Switch a service on: it gets messages
    Enable(admin::ServiceTarget),
    /// Switch a service off: it gets no messages until it is switched on
    Disable(admin::ServiceTarget),
    /// Set the level of a service's log lines until the configuration changes
    LogLevel(admin::LogLevel),
    /// Show the last lines of a host's log, and follow it
    Logs(stream::Logs),
    /// Show each call of a service as it happens: trigger, duration, publishes, failure
    Tail(stream::Tail),
    /// Show whether the host can run a component, and its imports
    Check(check::Check),
    /// Test a component without broker and clock: the contract's own suite, and scenarios
    Test(test::Test),
    /// Make a new service in Rust, Python, JavaScript, TypeScript, C, C++ or Go
    New(project::New),
    /// Build the service in a folder
    Build(project::Build),
    /// Build and run the service in a folder, again whenever a file is saved
    Dev(project::Dev),
    /// Compile components into the cache, so that a host starts them at once
    Compile(compile::Compile),
    /// Translate a description of interfaces into a WIT package
    Import(apigear::Import),
    /// Translate a WIT package into another description of interfaces
    Export(apigear::Export),
    /// Hash a password for a user of the web page
    HashPassword(hash_password::HashPassword),
    /// Show the effective configuration
    #[command(name = "config")]
    Show(show::Show),
    /// Publish one message, or each line of standard input
    #[command(name = "pub")]
    Publish(publish::Publish),
    /// Print incoming messages
    #[command(name = "sub")]
    Subscribe(subscribe::Subscribe),
    /// Write the manual pages of all commands into a directory
    Manual(manual::Manual),
    /// Print the interfaces of a component with topics and schemas
    Describe(describe::Describe),
    /// Call an operation of an interface and print its result
    Call(call::Call),
    /// Print the value of a property
    Get(property::Get),
    /// Set a property
    Set(property::Set),
    /// Print values of properties and signals as they arrive
    Watch(watch::Watch),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  miqro-host completions bash > /etc/bash_completion.d/miqro-host"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether it is a request to a running host, which may be on another machine.
    const fn is_for_hosts(&self) -> bool {
        matches!(
            self,
            Self::Status(_)
                | Self::Reload(_)
                | Self::List(_)
                | Self::Top(_)
                | Self::Section(_)
                | Self::State(_)
                | Self::History(_)
                | Self::Update(_)
                | Self::Rollback(_)
                | Self::Deploy(_)
                | Self::Shadow(_)
                | Self::Replay(_)
                | Self::Record(_)
                | Self::Restart(_)
                | Self::Enable(_)
                | Self::Disable(_)
                | Self::LogLevel(_)
                | Self::Logs(_)
                | Self::Tail(_)
        )
    }
}

impl Cli {
    /// Parses the arguments and runs their command.
    ///
    /// # Errors
    /// The error of the command.
    pub fn main() -> anyhow::Result<ExitCode> {
        panic_hook::install_for_commands();
        match Self::try_parse() {
            Ok(cli) => cli.run(),
            // `--help` and `--version` are errors of clap, too
            Err(error) => {
                let printed = error.print();
                if !error.use_stderr() {
                    print::ignore_closed_pipe(printed).context("standard output")?;
                }
                Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)))
            }
        }
    }

    fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.as_deref();
        let hosts = self.remote.hosts(config);
        if self.remote.is_named() && !self.command.is_for_hosts() {
            bail!("--host: expected a command for a running host (`miqro-host --help`)");
        }

        match self.command {
            Command::Run(run) => run.run(config),
            Command::Install(install) => install.run(config),
            Command::Status(status) => status.status(hosts),
            Command::Reload(target) => target.reload(hosts),
            Command::Stop(stop) => stop.run(),
            Command::List(list) => list.run(hosts),
            Command::Top(top) => top.run(hosts),
            Command::Section(section) => section.run(hosts),
            Command::State(state) => state.run(hosts),
            Command::History(history) => history.run(hosts),
            Command::Update(service) => service.update(hosts),
            Command::Rollback(rollback) => rollback.run(hosts),
            Command::Deploy(deploy) => deploy.run(hosts),
            Command::Shadow(shadow) => shadow.run(hosts),
            Command::Replay(replay) => replay.run(hosts),
            Command::Record(record) => record.run(hosts),
            Command::Restart(service) => service.restart(hosts),
            Command::Enable(service) => service.enable(hosts),
            Command::Disable(service) => service.disable(hosts),
            Command::LogLevel(level) => level.run(hosts),
            Command::Logs(logs) => logs.run(hosts),
            Command::Tail(tail) => tail.run(hosts),
            Command::Check(check) => check.run(),
            Command::Test(test) => test.run(),
            Command::New(new) => new.run(),
            Command::Build(build) => build.run(),
            Command::Dev(dev) => dev.run(config),
            Command::Compile(compile) => compile.run(),
            Command::Import(import) => import.run(),
            Command::Export(export) => export.run(),
            Command::HashPassword(hash) => hash.run(),
            Command::Show(show) => show.run(config),
            Command::Publish(publish) => publish.run(config),
            Command::Subscribe(subscribe) => subscribe.run(config),
            Command::Manual(manual) => manual.run(Self::command()),
            Command::Describe(describe) => describe.run(config),
            Command::Call(call) => call.run(config),
            Command::Get(get) => get.run(config),
            Command::Set(set) => set.run(config),
            Command::Watch(watch) => watch.run(config),
            Command::Completions { shell } => {
                // into memory first: clap panics when it cannot write
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "miqro-host", &mut script);
                print::print(String::from_utf8_lossy(&script))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

//! Surface: the command line. In: arguments. Out: one of the commands below, run to its exit code. Owns nothing.

mod answers;
mod ask;
mod check;
mod client;
mod compile;
mod control;
mod format;
mod install;
mod places;
mod print;
mod publish;
mod replay;
mod run;
mod show;
mod subscribe;
mod url;

use std::path::PathBuf;
use std::process::ExitCode;

pub use print::last_words;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

/// Runs MQTT services as sandboxed WebAssembly components over one MQTT session.
#[derive(Debug, Parser)]
#[command(name = "miqro-host", version, max_term_width = 100)]
pub struct Cli {
    /// Configuration file [default: ./miqro.yml, then /etc/miqro.yml, whichever exists first]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run services until a signal stops them
    Run(run::Run),
    /// Write a systemd unit that runs the host
    Install(install::Install),
    /// Say whether a host runs in the background
    Status(control::Target),
    /// Have the host in the background read its configuration again
    Reload(control::Target),
    /// Stop the host in the background and wait for its end
    Stop(control::Stop),
    /// Say which versions a service has had
    History(ask::History),
    /// Bring back a former version of a service
    Rollback(ask::Rollback),
    /// Have a service handle again what it has given up
    Replay(replay::Replay),
    /// Start the instance of a service anew
    Restart(ask::Service),
    /// Say whether a file is a service that the host can run, and what it uses
    Check(check::Check),
    /// Compile components into the cache, so that a host starts them at once
    Compile(compile::Compile),
    /// Show the configuration that is in effect
    #[command(name = "config")]
    Show(show::Show),
    /// Publish a message, or one for each line of standard input
    #[command(name = "pub")]
    Publish(publish::Publish),
    /// Show the messages that arrive
    #[command(name = "sub")]
    Subscribe(subscribe::Subscribe),
    /// Write a completion script for a shell to standard output
    #[command(
        after_help = "Example:\n  miqro-host completions bash > /etc/bash_completion.d/miqro-host"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Reads the arguments and runs the command that they name.
    ///
    /// # Errors
    /// What went wrong, for a person to read.
    pub fn main() -> anyhow::Result<ExitCode> {
        match Self::try_parse() {
            Ok(cli) => cli.run(),
            // `--help` and `--version` come that way too
            Err(said) => {
                let printed = said.print();
                if !said.use_stderr() {
                    print::unless_unread(printed).context("standard output")?;
                }
                Ok(ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(1)))
            }
        }
    }

    /// Runs the command that the arguments name.
    ///
    /// # Errors
    /// What went wrong, for a person to read.
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.as_deref();
        match self.command {
            Command::Run(run) => run.run(config),
            Command::Install(install) => install.run(config),
            Command::Status(target) => target.status(config),
            Command::Reload(target) => target.reload(),
            Command::Stop(stop) => stop.run(),
            Command::History(history) => history.run(config),
            Command::Rollback(rollback) => rollback.run(config),
            Command::Replay(replay) => replay.run(config),
            Command::Restart(service) => service.restart(config),
            Command::Check(check) => check.run(),
            Command::Compile(compile) => compile.run(),
            Command::Show(show) => show.run(config),
            Command::Publish(publish) => publish.run(config),
            Command::Subscribe(subscribe) => subscribe.run(config),
            Command::Completions { shell } => {
                // into memory first: it would panic where it cannot write
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "miqro-host", &mut script);
                print::print(String::from_utf8_lossy(&script))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

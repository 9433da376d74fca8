//! `miqro-host status`, `reload` and `stop`: signals to a background host, found by its pid file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::bail;

use crate::control::{ClientError, Endpoint, Request};
use crate::daemon::pid_file::{HostSignal, holder, send, wait};

use super::admin::{EXIT_NOT_RUNNING, QUERY_TIMEOUT, describe_problems, problems};
use super::paths;
use super::print::print_line;
use super::remote::Hosts;
use super::values::seconds;

/// Exit code of `status --responsive` for a host that does not answer.
const EXIT_NO_ANSWER: u8 = 4;

/// A background host.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Its pid file [default: /run/miqro-host.pid, or in $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
}

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    target: Target,
    /// Require that the host answers, too: exit code 4 otherwise, for health checks
    #[arg(long)]
    responsive: bool,
}

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub(super) struct Stop {
    #[command(flatten)]
    target: Target,
    /// Seconds to wait until the host has stopped
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
}

impl Status {
    /// Shows whether the host is running: exit code 0, or 3 as for init scripts.
    pub(super) fn status(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        if let Some(remote) = hosts.remote(self.target.pid_file.as_deref())? {
            return remote_status(&remote);
        }

        let path = paths::pid_file(self.target.pid_file)?;
        let Some(pid) = holder(&path)? else {
            print_line(format_args!(
                "not running: no process holds {}",
                path.display()
            ))?;
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };

        print_line(format_args!("runs: process {pid}"))?;
        match problems(hosts.config, pid) {
            Some(problems) => problems.iter().try_for_each(print_line)?,
            None if self.responsive => {
                print_line("it does not answer on its control socket")?;
                return Ok(ExitCode::from(EXIT_NO_ANSWER));
            }
            None => {}
        }

        Ok(ExitCode::SUCCESS)
    }
}

/// Shows the status of a host on another machine.
fn remote_status(remote: &Endpoint) -> anyhow::Result<ExitCode> {
    let status = match remote.send(&Request::Status {}, QUERY_TIMEOUT) {
        Err(ClientError::NotListening(_)) => {
            print_line(format_args!("not running: no process listens at {remote}"))?;
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        }
        status => status?,
    };

    print_line(format_args!("runs: process {}", status["pid"]))?;
    describe_problems(&status).iter().try_for_each(print_line)?;
    Ok(ExitCode::SUCCESS)
}

impl Target {
    /// Asks the host to read its configuration again.
    pub(super) fn reload(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        if let Some(remote) = hosts.remote(self.pid_file.as_deref())? {
            let sentence = remote.send(&Request::Reload {}, QUERY_TIMEOUT)?;
            print_line(sentence.as_str().unwrap_or_default())?;
            return Ok(ExitCode::SUCCESS);
        }

        let pid = send(&paths::pid_file(self.pid_file)?, HostSignal::Reload)?;
        print_line(format_args!(
            "process {pid} reads its configuration again; see its log for the result"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Stop {
    /// Stops the host and waits until it has ended.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let path = paths::pid_file(self.target.pid_file)?;
        let pid = send(&path, HostSignal::Stop)?;
        let (done, ended) = sync_channel(1);
        // waiting for a lock has no timeout of its own
        std::thread::spawn(move || done.send(wait(&path)));
        match ended.recv_timeout(self.timeout) {
            Ok(outcome) => outcome?,
            Err(_) => bail!(
                "process {pid} has not ended within {} s",
                self.timeout.as_secs_f64()
            ),
        }

        print_line(format_args!("process {pid} has stopped"))?;
        Ok(ExitCode::SUCCESS)
    }
}

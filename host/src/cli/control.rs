//! Surface: `miqro-host status`, `reload` and `stop`. In: the pid file of a running host. Out: a signal to it; the exit code says
//! whether it runs. Owns nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::bail;

use crate::daemon::pid_file::{Request, ask, holder, wait};

use super::ask::troubles;
use super::client::seconds;
use super::places;
use super::print::print_line;

/// Which host.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// Its pid file [default: /run/miqro-host.pid, or in $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
}

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct Stop {
    #[command(flatten)]
    target: Target,
    /// Seconds to wait for its end
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
}

impl Target {
    /// Says whether the host runs: exit code 0, or 3 as init scripts have it.
    pub fn status(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let path = places::pid_file(self.pid_file)?;
        match holder(&path)? {
            Some(pid) => {
                print_line(format_args!("runs: process {pid}"))?;
                for line in troubles(config, pid) {
                    print_line(line)?;
                }
                Ok(ExitCode::SUCCESS)
            }
            None => {
                print_line(format_args!(
                    "does not run: nobody holds {}",
                    path.display()
                ))?;
                Ok(ExitCode::from(3))
            }
        }
    }

    /// Has the host read its configuration again.
    pub fn reload(self) -> anyhow::Result<ExitCode> {
        let pid = ask(&places::pid_file(self.pid_file)?, Request::Reload)?;
        print_line(format_args!(
            "process {pid} reads its configuration again; its log says what became of it"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Stop {
    /// Stops the host and waits for its end.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let path = places::pid_file(self.target.pid_file)?;
        let pid = ask(&path, Request::Stop)?;
        let (done, ended) = channel();
        // waiting for a lock has no time limit of its own
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

//! A measured process: its CPU time and resident memory, as the kernel counts them. Dropping it
//! kills the process.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` without input; its output goes to the file `log`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let out =
            fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        // a group of its own: an interrupt on the terminal ends the bench, which ends its children in order
        let command = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .env("RUST_BACKTRACE", "0");

        let child = command
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child })
    }

    /// Fails when the process is no longer there.
    ///
    /// # Errors
    /// Says how it ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the process ended: {status}"),
            None => Ok(()),
        }
    }

    /// User and system time so far, all its threads together.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // a thread may end between listing and reading
            let line = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            sum += line
                .split(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .unwrap_or(0);
        }

        Ok(Duration::from_nanos(sum))
    }

    /// Resident memory in KiB: all of it, and with each page divided by the number of mappings that share it (RSS and PSS in
    /// proc_pid_smaps(5)).
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn resident(&self) -> Result<(u64, u64)> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let rollup = fs::read_to_string(path)?;
        let read = |key: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(key));
            let line = line.with_context(|| format!("no {key}"))?;
            anyhow::Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        Ok((read("Rss:")?, read("Pss:")?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log file, for error messages.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

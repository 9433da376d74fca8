//! A program that a test has started. It is killed when dropped.

use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Deadline;
use crate::output::Output;

/// Resident memory of a program, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Now.
    pub now: u64,
    /// At most so far.
    pub peak: u64,
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Output,
}

impl Process {
    /// Starts `command` with nothing on its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        Ok(Self {
            child,
            output: Output::read(vec![Box::new(stdout), Box::new(stderr)]),
        })
    }

    /// Its output.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The ids of the processes that it has started.
    ///
    /// # Errors
    /// When it has ended.
    pub fn children(&self) -> Result<Vec<u32>> {
        let mut children = Vec::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // a thread may end meanwhile
            let of_thread = std::fs::read_to_string(thread?.path().join("children"));
            let of_thread = of_thread.unwrap_or_default();
            children.extend(
                of_thread
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }

        Ok(children)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How much memory it has, now and at most so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kib = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            line.and_then(|number| number.parse::<u64>().ok())
                .with_context(|| format!("no {name} in the status"))
        };

        Ok(Memory {
            now: kib("VmRSS:")? << 10,
            peak: kib("VmHWM:")? << 10,
        })
    }

    /// The kinds of its resident memory, and its largest mappings: to be shown where it has more than it should.
    ///
    /// # Errors
    /// When it has ended.
    pub fn mappings(&self) -> Result<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kinds = status.lines().filter(|line| line.starts_with("Rss"));
        let mut shown: Vec<String> = kinds.map(str::to_owned).collect();

        let smaps = std::fs::read_to_string(format!("/proc/{}/smaps", self.id()))?;
        let mut mappings = Vec::new();
        let mut mapping = "";
        for line in smaps.lines() {
            match line.strip_prefix("Rss:") {
                Some(resident) => {
                    let kib = resident
                        .split_whitespace()
                        .next()
                        .and_then(|kib| kib.parse().ok());
                    mappings.push((kib.unwrap_or(0_u64), mapping));
                }
                // the line of a mapping begins with its addresses
                None if line
                    .split_whitespace()
                    .next()
                    .is_some_and(|word| word.contains('-')) =>
                {
                    mapping = line;
                }
                None => {}
            }
        }
        mappings.sort_unstable_by(|one, other| other.cmp(one));
        let largest = mappings.iter().take(8);
        shown.extend(largest.map(|(kib, mapping)| format!("{kib} KiB: {mapping}")));
        Ok(shown.join("\n"))
    }

    /// Sends it a signal by name (`TERM`, `INT`, `STOP`, `CONT`, `KILL`).
    ///
    /// # Errors
    /// When there is no such signal or the process has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.id(), name)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the deadline comes first.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let closed = self.output.closed();
        Deadline::new()
            .wait("the end of the program", closed)
            .await
            .with_context(|| self.output.told("still running"))?;
        Ok(self.child.wait()?)
    }

    /// Kills it at once (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// Sends a process a signal by name.
///
/// # Errors
/// When there is no such signal or the process has ended.
pub fn signal(process: u32, name: &str) -> Result<()> {
    let id = process.to_string();
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &id])
        .status()?;
    ensure!(status.success(), "cannot send {name} to process {id}");
    Ok(())
}

impl Drop for Process {
    fn drop(&mut self) {
        // an error here means that it has ended already
        let _ = self.kill();
    }
}

/// The output of a program that has ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs `command` to its end, with nothing on its standard input.
///
/// # Errors
/// When it cannot be started, or when it does not end: it is killed then.
pub async fn run_to_end(command: &mut Command) -> Result<Said> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let out = Output::read(vec![Box::new(
        child.stdout.take().context("no standard output")?,
    )]);
    let err = Output::read(vec![Box::new(
        child.stderr.take().context("no standard error")?,
    )]);
    let closed = async { tokio::join!(out.closed(), err.closed()) };
    let ended = Deadline::new()
        .wait(format!("the end of {command:?}"), closed)
        .await;
    if ended.is_err() {
        child.kill()?;
    }
    let code = child.wait()?.code();
    let text = |output: &Output| {
        output
            .lines()
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    };

    ended.map(|_| Said {
        code,
        out: text(&out),
        err: text(&err),
    })
}

//! Surface: `miqro-host history`, `rollback` and `restart`. In: the name of a service. Out: a request to the host that runs it, and
//! its answer for people or programs. Owns nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;

use super::print::{print, print_line};
use crate::app;
use crate::config::{Config, Selection};
use crate::control::{AskError, Request, ask, socket_of, sockets};

/// Exit code when no host runs, as of `status`.
pub(super) const NOBODY: u8 = 3;

/// How long a host may take to say which services it has.
const AT_ONCE: Duration = Duration::from_secs(10);

/// How long it may take to carry something out: a component may have to be compiled.
const PATIENCE: Duration = Duration::from_secs(300);

/// Which service of which host.
#[derive(Debug, clap::Args)]
pub struct Service {
    /// The service
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// State file of its host [default: as the configuration says, else whichever host in the usual directories has the service]
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,
}

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub struct History {
    #[command(flatten)]
    service: Service,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The former version runs again with the state that it left: what the service kept since then is set back.
The version that it replaces is not taken again until its file has other bytes."
)]
pub struct Rollback {
    #[command(flatten)]
    service: Service,
    /// The version, by the beginning of its hash as `history` shows it [default: the last one]
    #[arg(long, value_name = "HASH")]
    to: Option<String>,
}

impl History {
    /// Shows which versions the service has had.
    pub fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let request = Request::History {
            service: self.service.name.clone(),
        };
        let Some(history) = self.service.ask(config, &request)? else {
            return Ok(ExitCode::from(NOBODY));
        };
        match self.json {
            true => print_line(format_args!("{history:#}"))?,
            false => print(table(&history))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Rollback {
    /// Brings back a former version.
    pub fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let request = Request::Rollback {
            service: self.service.name.clone(),
            to: self.to,
        };
        self.service.tell(config, &request)
    }
}

impl Service {
    /// Starts it anew.
    pub fn restart(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let request = Request::Restart {
            service: self.name.clone(),
        };
        self.tell(config, &request)
    }

    /// Asks, and shows the sentence that is answered.
    pub(super) fn tell(
        &self,
        config: Option<&Path>,
        request: &Request,
    ) -> anyhow::Result<ExitCode> {
        let Some(answer) = self.ask(config, request)? else {
            return Ok(ExitCode::from(NOBODY));
        };
        print_line(format_args!(
            "{}: {}",
            self.name,
            answer.as_str().unwrap_or_default()
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Asks the host that has the service; `None`, after saying so: no host runs.
    pub(super) fn ask(
        &self,
        config: Option<&Path>,
        request: &Request,
    ) -> anyhow::Result<Option<Value>> {
        let (candidates, place) = self.candidates(config)?;
        let (mut having, mut others) = (Vec::new(), Vec::new());
        for socket in candidates {
            match ask(&socket, &Request::Services {}, AT_ONCE) {
                Ok(names) => {
                    let has = names
                        .as_array()
                        .is_some_and(|names| names.iter().any(|name| *name == *self.name));
                    if has {
                        having.push(socket)
                    } else {
                        others.push((socket, names))
                    }
                }
                Err(AskError::Nobody(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match &having[..] {
            [one] => Ok(Some(ask(one, request, PATIENCE)?)),
            [] if others.is_empty() => {
                print_line(format_args!("no host runs: nobody listens {place}"))?;
                Ok(None)
            }
            [] => {
                let known = others
                    .iter()
                    .map(|(socket, names)| format!("\n  {}: {names}", socket.display()));
                bail!(
                    "no host has a service {:?}:{}",
                    self.name,
                    known.collect::<String>()
                )
            }
            several => {
                let list = several
                    .iter()
                    .map(|socket| format!("\n  {}", socket.with_extension("").display()));
                let list: String = list.collect();
                bail!(
                    "several hosts have a service {:?}; say which with --state-file FILE:{list}",
                    self.name
                )
            }
        }
    }

    /// The sockets on which its host may listen, and where these are in words.
    fn candidates(&self, config: Option<&Path>) -> anyhow::Result<(Vec<PathBuf>, String)> {
        let named = match &self.state_file {
            Some(file) => Some(file.clone()),
            None => state_file(config)?,
        };
        if let Some(file) = named {
            let socket = socket_of(&file);
            let place = format!("on {}", socket.display());
            return Ok((vec![socket], place));
        }
        let directories = app::state_directories();
        let mut found = Vec::new();
        for directory in &directories {
            found.extend(sockets(directory)?);
        }
        let places: Vec<String> = directories
            .iter()
            .map(|directory| directory.display().to_string())
            .collect();
        Ok((found, format!("in {}", places.join(" and "))))
    }
}

/// What the host that runs as the process `pid` says is not as it should be, in lines; nothing where it cannot be asked.
pub(super) fn troubles(config: Option<&Path>, pid: impl std::fmt::Display) -> Vec<String> {
    let named = state_file(config)
        .ok()
        .flatten()
        .map(|file| socket_of(&file));
    let mut candidates: Vec<PathBuf> = named.into_iter().collect();
    candidates.extend(
        app::state_directories()
            .iter()
            .filter_map(|directory| sockets(directory).ok())
            .flatten(),
    );
    let pid = pid.to_string();
    let answers = candidates
        .iter()
        .filter_map(|socket| ask(socket, &Request::Status {}, AT_ONCE).ok());
    let is_it = |status: &Value| {
        status["pid"]
            .as_u64()
            .is_some_and(|own| own.to_string() == pid)
    };
    let Some(status) = answers.into_iter().find(is_it) else {
        return Vec::new();
    };
    let filters = status["quarantined"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let line = |filter| {
        format!(
            "not subscribed to {filter}: the broker ends the connection for it; tried again within an hour"
        )
    };
    let holding = status["holding_up"].as_array().into_iter().flatten();
    let held_up = |one: &Value| {
        let others: Vec<&str> = one["others"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let service = one["service"].as_str().unwrap_or_default();
        format!(
            "{service} holds up {}: its spool is full (limits.spool), and limits.when_full is hold",
            others.join(", ")
        )
    };
    filters.map(line).chain(holding.map(held_up)).collect()
}

/// The state file that the configuration names, if it does. One that was not named and cannot be read has nothing to say.
fn state_file(config: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    match Config::load(config, Selection::All) {
        Ok(loaded) => Ok(loaded.config.state_file),
        Err(error) if config.is_some() => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// The history for people.
fn table(history: &Value) -> String {
    let short = |value: &Value| {
        value
            .as_str()
            .map_or("-".to_owned(), |version| version.chars().take(12).collect())
    };
    let mut text = format!("{:<12}  {:<20}  {:<11}  note\n", "version", "when", "what");
    for event in history["events"].as_array().into_iter().flatten() {
        let word = |key: &str| event[key].as_str().unwrap_or_default().replace('\n', " ");
        let line = format!(
            "{:<12}  {:<20}  {:<11}  {}",
            short(&event["version"]),
            word("at"),
            word("what"),
            word("note")
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let list = |key: &str| {
        history[key]
            .as_array()
            .into_iter()
            .flatten()
            .map(short)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let or_none = |list: String| {
        if list.is_empty() {
            "none".to_owned()
        } else {
            list
        }
    };
    text.push_str(&format!(
        "\nruns: {}; kept to go back to: {}\n",
        short(&history["running"]),
        or_none(list("kept"))
    ));
    if history["on_probation"] == true {
        text.push_str("it is on probation\n");
    }
    let refused = list("refused");
    if !refused.is_empty() {
        text.push_str(&format!(
            "not taken again until the file has other bytes: {refused}\n"
        ));
    }
    text
}

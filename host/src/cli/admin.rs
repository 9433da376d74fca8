//! `miqro-host history`, `update`, `rollback` and `restart`: requests to the running host that has a service.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::Value;

use super::print::{print, print_line};
use super::remote::Hosts;
use crate::app;
use crate::config::{Config, Level, Selection};
use crate::control::{ClientError, Endpoint, Request, socket_of, sockets};

/// Exit code when no host is running, as of `status`.
pub(super) const EXIT_NOT_RUNNING: u8 = 3;

/// How long a host may take to list its services.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a command may take: a component may have to be compiled.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// A service of a running host.
#[derive(Debug, clap::Args)]
pub(super) struct ServiceTarget {
    /// Name of the service
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// State file of the host [default: that of the configuration, or else of any host in the default directories that has the
    /// service]
    #[arg(long, value_name = "FILE")]
    pub(super) state_file: Option<PathBuf>,
}

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub(super) struct History {
    #[command(flatten)]
    service: ServiceTarget,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The former version runs again with its state of that time: later changes of the state are undone.
The version that it replaces does not run again until the bytes of its file change, or by `miqro-host update`."
)]
pub(super) struct Rollback {
    #[command(flatten)]
    service: ServiceTarget,
    /// Beginning of the version's hash, as shown by `history` [default: the previous version]
    #[arg(long, value_name = "HASH")]
    to: Option<String>,
}

/// Arguments of `log-level`.
#[derive(Debug, clap::Args)]
pub(super) struct LogLevel {
    #[command(flatten)]
    service: ServiceTarget,
    /// The level
    #[arg(value_name = "LEVEL", value_parser = PossibleValuesParser::new(LEVELS.map(|(word, _)| word)).map(|word| level(&word)))]
    level: Level,
}

/// Words of levels on the command line.
pub(super) const LEVELS: [(&str, Level); 5] = [
    ("trace", Level::Trace),
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warning", Level::Warning),
    ("error", Level::Error),
];

/// The level of a word that the parser has accepted.
pub(super) fn level(word: &str) -> Level {
    let found = LEVELS.iter().find(|(known, _)| *known == word);
    found.map_or(Level::Info, |(_, level)| *level)
}

impl LogLevel {
    /// Sets the level.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let request = Request::LogLevel {
            service: Some(self.service.name.clone()),
            level: self.level,
        };
        self.service.request_and_print(hosts, &request)
    }
}

impl History {
    /// Prints the version history.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let request = Request::History {
            service: self.service.name.clone(),
        };
        self.service
            .query_and_print(hosts, &request, self.json, format_history)
    }
}

impl Rollback {
    /// Rolls back to a former version.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let request = Request::Rollback {
            service: self.service.name.clone(),
            to: self.to,
        };
        self.service.request_and_print(hosts, &request)
    }
}

impl ServiceTarget {
    /// Has the service take over the version that waits.
    pub(super) fn update(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        self.command(hosts, |service| Request::Update { service })
    }

    /// Restarts the instance of the service.
    pub(super) fn restart(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        self.command(hosts, |service| Request::Restart { service })
    }

    /// Switches the service on.
    pub(super) fn enable(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        self.command(hosts, |service| Request::Enable { service })
    }

    /// Switches the service off.
    pub(super) fn disable(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        self.command(hosts, |service| Request::Disable { service })
    }

    /// Sends a request that has no member but the service, and prints the reply.
    fn command(
        &self,
        hosts: Hosts<'_>,
        request: fn(String) -> Request,
    ) -> anyhow::Result<ExitCode> {
        self.request_and_print(hosts, &request(self.name.clone()))
    }

    /// Sends a request and prints the reply, which is a sentence.
    pub(super) fn request_and_print(
        &self,
        hosts: Hosts<'_>,
        request: &Request,
    ) -> anyhow::Result<ExitCode> {
        let Some(reply) = self.request(hosts, request)? else {
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };
        let sentence = reply.as_str().unwrap_or_default();
        print_line(format_args!("{}: {sentence}", self.name))?;

        Ok(ExitCode::SUCCESS)
    }

    /// Sends a query and prints the answer, as JSON or as `format` writes it.
    pub(super) fn query_and_print(
        &self,
        hosts: Hosts<'_>,
        query: &Request,
        json: bool,
        format: impl FnOnce(&Value) -> String,
    ) -> anyhow::Result<ExitCode> {
        let Some(answer) = self.request(hosts, query)? else {
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };
        if json {
            print_line(format_args!("{answer:#}"))?;
        } else {
            print(format(&answer))?;
        }

        Ok(ExitCode::SUCCESS)
    }

    /// Sends a request to the host that has the service; `None`, after printing that, if no host is running.
    pub(super) fn request(
        &self,
        hosts: Hosts<'_>,
        request: &Request,
    ) -> anyhow::Result<Option<Value>> {
        let Some(endpoint) = self.endpoint(hosts)? else {
            return Ok(None);
        };
        Ok(Some(endpoint.send(request, COMMAND_TIMEOUT)?))
    }

    /// The endpoint of the host that has the service; `None`, after printing that, if no host is running.
    pub(super) fn endpoint(&self, hosts: Hosts<'_>) -> anyhow::Result<Option<Endpoint>> {
        let (candidates, place) = candidates(self.state_file.as_deref(), hosts)?;
        let mut with_service = Vec::new();
        let mut others = Vec::new();
        for endpoint in candidates {
            match endpoint.send(&Request::Services {}, QUERY_TIMEOUT) {
                Ok(services) if self.is_among(&services) => with_service.push(endpoint),
                Ok(services) => others.push((endpoint, services)),
                Err(ClientError::NotListening(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }

        match &with_service[..] {
            [endpoint] => Ok(Some(endpoint.clone())),
            [] if others.is_empty() => {
                print_line(format_args!("no host runs: no process listens {place}"))?;
                Ok(None)
            }
            [] => bail!("no host has a service {:?}:{}", self.name, list(&others)),
            several => {
                let state_files = state_files(several);
                bail!(
                    "several hosts have a service {:?}; choose one with --state-file FILE:{state_files}",
                    self.name
                )
            }
        }
    }

    fn is_among(&self, services: &Value) -> bool {
        services
            .as_array()
            .is_some_and(|names| names.iter().any(|name| *name == *self.name))
    }
}

/// The endpoints at which a host may listen, and a description of their place: the host on another machine, or sockets of this
/// one. Without `state_file`: of the configuration's state file, or else all sockets in the default directories.
pub(super) fn candidates(
    state_file: Option<&Path>,
    hosts: Hosts<'_>,
) -> anyhow::Result<(Vec<Endpoint>, String)> {
    if let Some(remote) = hosts.remote(state_file)? {
        let place = format!("at {remote}");
        return Ok((vec![remote], place));
    }

    let named = match state_file {
        Some(file) => Some(file.to_owned()),
        None => configured_state_file(hosts.config)?,
    };
    if let Some(file) = named {
        let socket = socket_of(&file);
        let place = format!("on {}", socket.display());
        return Ok((vec![Endpoint::Socket(socket)], place));
    }

    let directories = app::state_directories();
    let mut found = Vec::new();
    for directory in &directories {
        found.extend(sockets(directory)?.into_iter().map(Endpoint::Socket));
    }
    let places: Vec<String> = directories
        .iter()
        .map(|directory| directory.display().to_string())
        .collect();
    Ok((found, format!("in {}", places.join(" and "))))
}

/// Hosts and their services, one a line.
fn list(hosts: &[(Endpoint, Value)]) -> String {
    hosts
        .iter()
        .map(|(endpoint, services)| format!("\n  {endpoint}: {services}"))
        .collect()
}

/// The state files of hosts on this machine, one a line.
pub(super) fn state_files(endpoints: &[Endpoint]) -> String {
    let sockets = endpoints.iter().filter_map(|endpoint| match endpoint {
        Endpoint::Socket(socket) => Some(socket.with_extension("")),
        Endpoint::Remote(_) => None,
    });
    sockets
        .map(|file| format!("\n  {}", file.display()))
        .collect()
}

/// Problems and waiting versions that the host with the process id `pid` reports, one a line; `None` if it does not answer.
pub(super) fn problems(config: Option<&Path>, pid: u32) -> Option<Vec<String>> {
    let configured = configured_state_file(config).ok().flatten();
    let mut candidates: Vec<PathBuf> = configured.iter().map(|file| socket_of(file)).collect();
    for directory in app::state_directories() {
        candidates.extend(sockets(&directory).unwrap_or_default());
    }

    let status = candidates
        .iter()
        .map(|socket| Endpoint::Socket(socket.clone()))
        .filter_map(|endpoint| endpoint.send(&Request::Status {}, QUERY_TIMEOUT).ok())
        .find(|status| status["pid"].as_u64() == Some(pid.into()))?;

    Some(describe_problems(&status))
}

/// Problems and waiting versions in the status of a host, one a line.
pub(super) fn describe_problems(status: &Value) -> Vec<String> {
    let not_subscribed = texts(&status["quarantined"]).map(|filter| {
        format!(
            "not subscribed to {filter}: the broker ends the connection for it; tried again within an hour"
        )
    });
    let holding_up = elements(&status["holding_up"]).map(|entry| {
        let service = entry["service"].as_str().unwrap_or_default();
        let others: Vec<&str> = texts(&entry["others"]).collect();
        format!(
            "{service} holds up {}: its spool is full (limits.spool), and limits.when_full is hold",
            others.join(", ")
        )
    });

    let available = elements(&status["available"]).map(|entry| {
        let service = entry["service"].as_str().unwrap_or_default();
        let version = short_version(&entry["version"]);
        let since = entry["since"].as_str().unwrap_or_default();
        format!("{service}: version {version} waits since {since}: `miqro-host update {service}`")
    });

    not_subscribed.chain(holding_up).chain(available).collect()
}

/// Elements of a JSON array; none of anything else.
fn elements(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

/// Strings of a JSON array.
fn texts(array: &Value) -> impl Iterator<Item = &str> {
    elements(array).filter_map(Value::as_str)
}

/// The state file of the configuration, if it names one. A configuration that was not named may be invalid.
fn configured_state_file(config: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    match Config::load(config, Selection::All) {
        Ok(loaded) => Ok(loaded.config.state_file),
        Err(error) if config.is_some() => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Formats the history as a table.
fn format_history(history: &Value) -> String {
    let mut text = format!("{:<12}  {:<20}  {:<11}  note\n", "version", "when", "what");
    for event in elements(&history["events"]) {
        let word = |key: &str| event[key].as_str().unwrap_or_default().replace('\n', " ");
        let line = format!(
            "{:<12}  {:<20}  {:<11}  {}",
            short_version(&event["version"]),
            word("at"),
            word("what"),
            word("note")
        );

        text.push_str(line.trim_end());
        text.push('\n');
    }

    let kept = match versions(&history["kept"]) {
        kept if kept.is_empty() => "none".to_owned(),
        kept => kept,
    };
    text.push_str(&format!(
        "\nruns: {}; kept to go back to: {kept}\n",
        short_version(&history["running"])
    ));
    if history["on_probation"] == true {
        text.push_str("it is on probation\n");
    }
    let refused = versions(&history["refused"]);
    if !refused.is_empty() {
        text.push_str(&format!(
            "rejected until the bytes of the file change: {refused}\n"
        ));
    }
    text
}

/// The first characters of a version's hash.
pub(super) fn short_version(version: &Value) -> String {
    version
        .as_str()
        .map_or("-".to_owned(), |version| version.chars().take(12).collect())
}

fn versions(array: &Value) -> String {
    let versions: Vec<String> = elements(array).map(short_version).collect();

    versions.join(", ")
}

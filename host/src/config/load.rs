//! Finds, reads and checks the configuration. In: the path from the command line, or the places where MIQRO looks, and the
//! component files named on the command line. Out: `Loaded`, or every problem at once. Owns nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::format::set;
use super::given::Given;
use super::place::Place;
use super::problem::Report;
use super::section::Section;
use super::select::{Lines, select};
use super::service::service;
use super::yaml::{self, Node, Value};
use super::{
    Broker, Config, ConfigError, Connection, Logging, Problem, broker, logging, mqttservice, text,
};
use crate::signature::Key;
use crate::topic::Topic;

/// Where MIQRO looks, in this order; the first file that exists is read, and no other.
const PLACES: [&str; 2] = ["miqro.yml", "/etc/miqro.yml"];

/// A configuration and what may surprise about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is accepted but does not do what it seems to.
    pub warnings: Vec<Problem>,
    /// What the file says nothing of though it most likely did once.
    pub blank: Option<Blank>,
    /// Services that were left out because a file is missing that their section names: see [`MissingFiles::LeaveOut`].
    pub held: Vec<Held>,
    /// What is missing for all of it: until these files come, the configuration cannot be used.
    pub waits: Vec<Problem>,
}

/// A file that says nothing where it should: one that was cut while it was written looks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Blank {
    /// Nothing at all, or comments alone.
    #[error("is empty")]
    File,
    /// The key `services` without a value.
    #[error("services: is empty; write services: {{}} for none")]
    Services,
}

/// A service that cannot run before files come.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Its name.
    pub service: String,
    /// What is missing.
    pub problems: Vec<Problem>,
}

/// What to do about a service whose section names a file that is missing or not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingFiles {
    /// The configuration is refused.
    Refuse,
    /// The service is left out, and whatever is missing for all of it is named.
    LeaveOut,
}

/// Which services the configuration shall hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection<'a> {
    /// All sections, with a component or without: to look at the configuration, or to use only its broker.
    All,
    /// Those that run: for each of these component files the service that the file names (`component: …`, or the
    /// section of the file's stem, or a new one of that name); without files, every section with a component.
    Run(&'a [PathBuf]),
}

impl Config {
    /// The file that is read: `path`, or without it the first of `./miqro.yml` and `/etc/miqro.yml` that exists.
    pub fn find(path: Option<&Path>) -> Option<&Path> {
        path.or_else(|| PLACES.iter().map(Path::new).find(|place| place.exists()))
    }

    /// Loads `path`, or without it the first of `./miqro.yml` and `/etc/miqro.yml` that exists, or the defaults.
    ///
    /// # Errors
    /// Everything that is wrong with the file and with the selected services, each with file, line, key and what would be
    /// accepted. A `path` that does not exist is an error.
    pub fn load(path: Option<&Path>, selection: Selection<'_>) -> Result<Loaded, ConfigError> {
        Self::load_with(path, selection, MissingFiles::Refuse)
    }

    /// As [`Config::load`], with `missing` for files that the configuration names.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(
        path: Option<&Path>,
        selection: Selection<'_>,
        missing: MissingFiles,
    ) -> Result<Loaded, ConfigError> {
        let Some(file) = Self::find(path) else {
            return read("", None, selection, missing);
        };
        let report = Report::new(Some(file));
        match std::fs::read(file) {
            Ok(bytes) => match text::text(&bytes) {
                Ok(text) => return read(text, Some(file), selection, missing),
                Err(error) => report.no_text(&error),
            },
            Err(error) => report.problem(0, "", format!("cannot read the configuration: {error}")),
        }
        Err(report.errors())
    }

    /// Reads `text` as the content of `file`, from whose directory relative paths start.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(
        text: &str,
        file: Option<&Path>,
        selection: Selection<'_>,
    ) -> Result<Loaded, ConfigError> {
        read(text, file, selection, MissingFiles::Refuse)
    }
}

fn read(
    text: &str,
    file: Option<&Path>,
    selection: Selection<'_>,
    missing: MissingFiles,
) -> Result<Loaded, ConfigError> {
    let (place, report) = (Place::of(file), Report::new(file));
    let node = match text::checked(text) {
        Ok(text) => yaml::parse(&mqttservice::as_yaml(text), &report),
        Err(error) => {
            report.no_text(&error);
            None
        }
    };
    let Some(node) = node else {
        return Err(report.errors());
    };
    let blank = file.and(blank(&node));
    if let (Some(blank), Selection::Run([])) = (blank, selection) {
        report.problem(0, "", blank.to_string());
    }
    let root = Section::new(&node, String::new(), 0, &report);
    let (mut config, mut held) = match mqttservice::is_one(&node) {
        true => (of_mqttservice(root, &place, selection, &report), Vec::new()),
        false => of_miqro(root, &place, selection, &report),
    };
    let mut waits = Vec::new();
    match missing {
        MissingFiles::Refuse => held.drain(..).for_each(|held| report.put(held.problems)),
        MissingFiles::LeaveOut => {
            held.retain(|held| {
                config
                    .services
                    .iter()
                    .any(|service| service.name == held.service)
            });
            config
                .services
                .retain(|service| !held.iter().any(|held| held.service == service.name));
            waits = report.take_awaiting(0);
            if report.count() > 0 {
                held.drain(..).for_each(|held| report.put(held.problems));
            }
        }
    }
    report.finish().map(|warnings| Loaded {
        config,
        warnings,
        blank,
        held,
        waits,
    })
}

/// The configuration, and the services for which nothing but files is missing.
fn of_miqro(
    root: Section<'_>,
    place: &Place,
    selection: Selection<'_>,
    report: &Report,
) -> (Config, Vec<Held>) {
    let Document {
        config,
        lines,
        held,
    } = document(root, place, report);
    match selection {
        Selection::All => (config, held),
        Selection::Run(files) => {
            let services = select(config.services.clone(), files, &lines, report);
            (Config { services, ..config }, held)
        }
    }
}

fn blank(root: &Node) -> Option<Blank> {
    let Value::Map(entries) = &root.value else {
        return root.is_null().then_some(Blank::File);
    };
    let services = entries.iter().find(|entry| entry.key == "services")?;
    services.node.is_null().then_some(Blank::Services)
}

/// A file of mqttservice. To look at, its service is named after the file.
fn of_mqttservice(
    root: Section<'_>,
    place: &Place,
    selection: Selection<'_>,
    report: &Report,
) -> Config {
    let (broker, template) = mqttservice::read(root, place, report);
    let stem = place
        .file
        .as_ref()
        .and_then(|file| file.file_stem()?.to_str())
        .unwrap_or_default();
    let services = match selection {
        Selection::Run(files) => template.select(files, report),
        Selection::All => template.named(stem).into_iter().collect(),
    };
    Config {
        broker,
        services,
        ..plain(place)
    }
}

/// MIQRO's interval for saying that a service is online, and for its statistics.
const INTERVAL: Duration = Duration::from_secs(180);

/// What holds where nothing is written; the broker is to be filled in.
fn plain(place: &Place) -> Config {
    Config {
        file: place.file.clone(),
        broker: Broker::Remote(Connection::default()),
        log: Logging::default(),
        stop_deadline: Duration::from_secs(10),
        cache_dir: None,
        trust: Vec::new(),
        presence_connections: 32,
        state_file: None,
        online_interval: INTERVAL,
        statistics_interval: INTERVAL,
        watch_interval: Duration::from_secs(10),
        ha_discovery_prefix: Topic::home_assistant(),
        services: Vec::new(),
    }
}

/// What stands in a file.
struct Document {
    config: Config,
    /// Where the section of each service begins.
    lines: Lines,
    /// Services for which nothing but files is missing.
    held: Vec<Held>,
}

fn document(mut root: Section<'_>, place: &Place, report: &Report) -> Document {
    let hour = Duration::from_secs(3600);
    root.ignore("x-"); // a place for values that are repeated with * elsewhere
    let mut config = Config {
        broker: broker::broker(&mut root, place),
        log: logging::logging(&mut root),
        ..plain(place)
    };
    let stop_deadline = root
        .take("stop_deadline")
        .and_then(|given| given.duration(Duration::ZERO..=hour));
    set(stop_deadline, &mut config.stop_deadline);
    config.cache_dir = root
        .take("cache_dir")
        .and_then(|given| Some(place.path(given.text()?)));
    config.trust = root
        .take("trust")
        .map_or_else(Vec::new, |given| trust(given, place));
    let presence_connections = root
        .take("presence_connections")
        .and_then(|given| given.number(0..=10_000));
    set(presence_connections, &mut config.presence_connections);
    config.state_file = root
        .take("state_file")
        .and_then(|given| Some(place.path(given.text()?)));
    let interval = |given: Option<Given<'_>>| {
        given.and_then(|given| given.duration(Duration::ZERO..=24 * hour))
    };
    set(
        interval(root.take("online_interval")),
        &mut config.online_interval,
    );
    set(
        interval(root.take("statistics_interval")),
        &mut config.statistics_interval,
    );
    set(
        interval(root.take("watch_interval")),
        &mut config.watch_interval,
    );
    let prefix = root.take("ha_discovery_prefix");
    let prefix = prefix.and_then(|given| given.read(|text| Topic::new(text.to_owned())));
    set(prefix, &mut config.ha_discovery_prefix);
    let (mut lines, mut held) = (Lines::new(), Vec::new());
    for (name, given) in root.section("services").named() {
        lines.insert(name.to_owned(), given.line);
        let before = report.count();
        config.services.extend(service(name, given, place));
        let problems = report.take_awaiting(before);
        if !problems.is_empty() {
            held.push(Held {
                service: name.to_owned(),
                problems,
            });
        }
    }
    root.finish();
    Document {
        config,
        lines,
        held,
    }
}

/// Keys as they are, or files that have them.
fn trust(given: Given<'_>, place: &Place) -> Vec<Key> {
    let items =
        given.list("[RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3, keys/minisign.pub]");
    items
        .into_iter()
        .filter_map(|given| key(&given, place))
        .collect()
}

fn key(given: &Given<'_>, place: &Place) -> Option<Key> {
    let text = given.text()?;
    let wrong = match Key::read(text) {
        Ok(key) => return Some(key),
        Err(wrong) => wrong,
    };
    let path = place.path(text);
    let read = place
        .file_text(&path)
        .map_err(|error| format!("{text:?} {wrong}, and as a file: {error}"));
    let read = read.and_then(|file| Key::read(&file).map_err(|wrong| format!("{text:?} {wrong}")));
    let noted = read.map_err(|message| match path.exists() || text.contains('.') {
        true => given
            .report
            .awaiting(given.line, &given.path, message, path),
        // a key with a slip in it rather than a file that is to come
        false => given.problem(message),
    });
    noted.ok()
}

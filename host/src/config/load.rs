//! Finds, reads and checks the configuration. In: the path from the command line, or the places where MIQRO looks, and the
//! component files named on the command line. Out: `Loaded`, or every problem at once. Owns nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connection::set;
use super::given::Given;
use super::place::Place;
use super::problem::Report;
use super::section::Section;
use super::select::{Lines, select};
use super::service::service;
use super::{Broker, Config, ConfigError, Connection, Logging, Problem, broker, logging, mqttservice, yaml};
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
        let Some(file) = Self::find(path) else { return Self::read("", None, selection) };
        match std::fs::read(file) {
            Ok(bytes) => Self::read(&text(bytes, file)?, Some(file), selection),
            Err(error) => Err(whole_file(file, None, format!("cannot read the configuration: {error}"))),
        }
    }

    /// Reads `text` as the content of `file`, from whose directory relative paths start.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(text: &str, file: Option<&Path>, selection: Selection<'_>) -> Result<Loaded, ConfigError> {
        let (place, report) = (Place::of(file), Report::new(file));
        let Some(node) = yaml::parse(&mqttservice::as_yaml(text), &report) else {
            return Err(report.finish().err().unwrap_or(ConfigError(Vec::new())));
        };
        let root = Section::new(&node, String::new(), 0, &report);
        let mut named = Vec::new();
        let mut config = if mqttservice::is_one(&node) {
            of_mqttservice(root, &place, selection, &report)
        } else {
            let (mut config, lines) = document(root, &place);
            if let Selection::Run(files) = selection {
                config.services = select(config.services, files, &lines, &report);
            }
            config
        };
        if let Selection::Run(files) = selection
            && !files.is_empty()
        {
            named = config.services.iter().map(|service| service.name.clone()).collect();
        }
        let (Broker::Embedded(_, connection) | Broker::Remote(connection)) = &mut config.broker;
        if connection.client_id.is_empty() {
            connection.client_id = place.client_id(&named);
        }
        report.finish().map(|warnings| Loaded { config, warnings })
    }
}

/// A file of mqttservice. To look at, its service is named after the file.
fn of_mqttservice(root: Section<'_>, place: &Place, selection: Selection<'_>, report: &Report) -> Config {
    let (broker, template) = mqttservice::read(root, place, report);
    let stem = place.file.as_ref().and_then(|file| file.file_stem()?.to_str()).unwrap_or_default();
    let services = match selection {
        Selection::Run(files) => template.select(files, report),
        Selection::All => template.named(stem).into_iter().collect(),
    };
    Config { broker, services, ..plain(place) }
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

/// The configuration, and where the section of each service begins.
fn document(mut root: Section<'_>, place: &Place) -> (Config, Lines) {
    let hour = Duration::from_secs(3600);
    root.ignore("x-"); // a place for values that are repeated with * elsewhere
    let mut config =
        Config { broker: broker::broker(&mut root, place), log: logging::logging(&mut root), ..plain(place) };
    let stop_deadline = root.take("stop_deadline").and_then(|given| given.duration(Duration::ZERO..=hour));
    set(stop_deadline, &mut config.stop_deadline);
    config.cache_dir = root.take("cache_dir").and_then(|given| Some(place.path(given.text()?)));
    config.trust = root.take("trust").map_or_else(Vec::new, |given| trust(given, place));
    let presence_connections = root.take("presence_connections").and_then(|given| given.number(0..=10_000));
    set(presence_connections, &mut config.presence_connections);
    config.state_file = root.take("state_file").and_then(|given| Some(place.path(given.text()?)));
    let interval = |given: Option<Given<'_>>| given.and_then(|given| given.duration(Duration::ZERO..=24 * hour));
    set(interval(root.take("online_interval")), &mut config.online_interval);
    set(interval(root.take("statistics_interval")), &mut config.statistics_interval);
    set(interval(root.take("watch_interval")), &mut config.watch_interval);
    let prefix = root.take("ha_discovery_prefix");
    let prefix = prefix.and_then(|given| given.read(|text| Topic::new(text.to_owned())));
    set(prefix, &mut config.ha_discovery_prefix);
    let mut lines = Lines::new();
    for (name, given) in root.section("services").named() {
        lines.insert(name.to_owned(), given.line);
        config.services.extend(service(name, given, place));
    }
    root.finish();
    (config, lines)
}

/// Keys as they are, or files that have them.
fn trust(given: Given<'_>, place: &Place) -> Vec<Key> {
    let items = given.list("[RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3, keys/minisign.pub]");
    let key = |text: &str| {
        Key::read(text).or_else(|wrong| {
            let file = place.file_text(text).map_err(|error| format!("{text:?} {wrong}, and as a file: {error}"))?;
            Key::read(&file).map_err(|wrong| format!("{text:?} {wrong}"))
        })
    };
    items.into_iter().filter_map(|given| given.read(key)).collect()
}

/// The content of `file` as text.
fn text(bytes: Vec<u8>, file: &Path) -> Result<String, ConfigError> {
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        whole_file(file, Some(line), "is not UTF-8 text; save the file as UTF-8".to_owned())
    })
}

fn whole_file(file: &Path, line: Option<usize>, message: String) -> ConfigError {
    ConfigError(vec![Problem { file: Some(file.to_owned()), line, key: String::new(), message }])
}

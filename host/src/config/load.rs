//! Finds, reads and checks a configuration: the file that the command line names, or the first one of the default places.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::context::LoadContext;
use super::document::{Document, HeldService, read_document};
use super::section::Section;
use super::selection::select_services;
use super::yaml::{self, Node, Value};
use super::{Config, ConfigError, Diagnostic, mqttservice, text};

/// The places where MIQRO looks, in this order; the first file that exists is read, and no other.
const PLACES: [&str; 2] = ["miqro.yml", "/etc/miqro.yml"];

/// A configuration, with the warnings about it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    /// The files and directories that it names, as absolute paths.
    pub named: BTreeSet<PathBuf>,
    /// Warnings about settings that are accepted but do not do what they seem to.
    pub warnings: Vec<Diagnostic>,
    /// The part of the file that is empty though it most likely was not once.
    pub blank: Option<Blank>,
    /// Services that were left out because their section names a missing file: see [`MissingFiles::LeaveOut`].
    pub held: Vec<HeldService>,
    /// Missing files that the whole configuration needs: until they come, it cannot be used.
    pub missing: Vec<Diagnostic>,
}

/// An emptiness of a file that may come from cutting it while it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Blank {
    /// Nothing at all, or comments alone.
    #[error("is empty")]
    File,
    /// The key `services` without a value.
    #[error("services: is empty; write services: {{}} for none")]
    Services,
}

/// The treatment of a service whose section names a file that is missing or not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingFiles {
    /// The configuration is refused.
    Refuse,
    /// The service is left out, and files that the whole configuration needs are reported as missing.
    LeaveOut,
}

/// The services that the configuration is to hold.
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
    /// Everything that is wrong with the file and with the selected services, each with file, line, key and the accepted
    /// values. A `path` that does not exist is an error.
    pub fn load(
        path: Option<&Path>,
        selection: Selection<'_>,
    ) -> Result<LoadedConfig, ConfigError> {
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
    ) -> Result<LoadedConfig, ConfigError> {
        let Some(file) = Self::find(path) else {
            return read(LoadContext::new(None), "", selection, missing);
        };

        let context = LoadContext::new(Some(file));
        match std::fs::read(file) {
            Ok(bytes) => match text::decode(&bytes) {
                Ok(text) => return read(context, text, selection, missing),
                Err(error) => context.diagnostics.not_text(&error),
            },
            Err(error) => {
                context
                    .diagnostics
                    .error(0, "", format!("cannot read the configuration: {error}"))
            }
        }

        Err(context.diagnostics.into_error())
    }

    /// Reads `text` as the content of `file`, from whose directory relative paths start.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(
        text: &str,
        file: Option<&Path>,
        selection: Selection<'_>,
    ) -> Result<LoadedConfig, ConfigError> {
        read(
            LoadContext::new(file),
            text,
            selection,
            MissingFiles::Refuse,
        )
    }
}

fn read(
    context: LoadContext,
    text: &str,
    selection: Selection<'_>,
    missing: MissingFiles,
) -> Result<LoadedConfig, ConfigError> {
    let Some(node) = parse(&context, text) else {
        return Err(context.diagnostics.into_error());
    };

    let blank = context.file.as_ref().and_then(|_| find_blank(&node));
    if let (Some(blank), Selection::Run([])) = (blank, selection) {
        context.diagnostics.error(0, "", blank.to_string());
    }

    let (mut config, held) = read_config(&node, selection, &context);
    let (held, missing) = match missing {
        MissingFiles::Refuse => {
            put_back(held, &context);
            (Vec::new(), Vec::new())
        }
        MissingFiles::LeaveOut => leave_out(held, &mut config, &context),
    };

    let warnings = context.diagnostics.finish()?;
    Ok(LoadedConfig {
        config,
        named: context.named.into_inner(),
        warnings,
        blank,
        held,
        missing,
    })
}

/// Parses the text; `None` after an error.
pub(super) fn parse(context: &LoadContext, text: &str) -> Option<Node> {
    match text::check(text) {
        Ok(text) => yaml::parse(&mqttservice::json_to_yaml(text), &context.diagnostics),
        Err(error) => {
            context.diagnostics.not_text(&error);
            None
        }
    }
}

/// The part of the file that is empty.
fn find_blank(root: &Node) -> Option<Blank> {
    let Value::Map(entries) = &root.value else {
        return root.is_null().then_some(Blank::File);
    };
    let services = entries.iter().find(|entry| entry.key == "services")?;
    services.node.is_null().then_some(Blank::Services)
}

/// Reads the configuration, and the services for which nothing but files is missing.
pub(super) fn read_config(
    node: &Node,
    selection: Selection<'_>,
    context: &LoadContext,
) -> (Config, Vec<HeldService>) {
    let root = Section::root(node, context);
    if mqttservice::is_mqttservice(node) {
        return (read_mqttservice(root, selection, context), Vec::new());
    }

    let Document {
        mut config,
        lines,
        held,
    } = read_document(root, context);
    if let Selection::Run(files) = selection {
        config.services = select_services(&config.services, files, &lines, &context.diagnostics);
    }
    (config, held)
}

/// Reads a file of mqttservice. To look at, its service is named after the file.
fn read_mqttservice(root: Section<'_>, selection: Selection<'_>, context: &LoadContext) -> Config {
    let (broker, template) = mqttservice::read_file(root, context);
    let services = match selection {
        Selection::Run(files) => template.into_selected(files, &context.diagnostics),
        Selection::All => {
            let stem = context
                .file
                .as_ref()
                .and_then(|file| file.file_stem()?.to_str());
            let service = template.into_service(stem.unwrap_or_default());
            service.into_iter().collect()
        }
    };

    Config {
        broker,
        services,
        ..Config::defaults(context)
    }
}

/// Reports the missing files of held services as errors.
fn put_back(held: Vec<HeldService>, context: &LoadContext) {
    for service in held {
        context.diagnostics.put_back(service.errors);
    }
}

/// Leaves held services out, and takes the missing files of the rest out of the errors. With other errors everything is reported.
fn leave_out(
    mut held: Vec<HeldService>,
    config: &mut Config,
    context: &LoadContext,
) -> (Vec<HeldService>, Vec<Diagnostic>) {
    let is_selected = |name: &str| config.services.iter().any(|service| service.name == name);
    held.retain(|held| is_selected(&held.service));
    config
        .services
        .retain(|service| held.iter().all(|held| held.service != service.name));

    let missing = context.diagnostics.take_awaiting(0);
    if context.diagnostics.error_count() > 0 {
        put_back(std::mem::take(&mut held), context);
    }
    (held, missing)
}

//! The selection of the services that run, by the component files that the command line names. Looks at the file system only to
//! tell whether two paths are one file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Service;
use super::diagnostic::Diagnostics;

/// The line in which the section of each service begins.
pub(super) type Lines = HashMap<String, usize>;

/// Selects the services that run. Without `files`, those with a component.
pub(super) fn select_services(
    services: &[Service],
    files: &[PathBuf],
    lines: &Lines,
    diagnostics: &Diagnostics,
) -> Vec<Service> {
    let selected = if files.is_empty() {
        with_component(services, diagnostics)
    } else {
        named_by_files(services, files, diagnostics)
    };
    refuse_shared_base(&selected, lines, diagnostics);
    selected
}

fn with_component(services: &[Service], diagnostics: &Diagnostics) -> Vec<Service> {
    let selected: Vec<Service> = services
        .iter()
        .filter(|service| service.component.is_some())
        .cloned()
        .collect();

    if selected.is_empty() {
        diagnostics.command_line_error(
            "no service to run: name a component file (miqro-host run guests/echo.wasm), or write one into miqro.yml \
             (services: {echo: {component: guests/echo.wasm}})",
        );
    }

    selected
}

fn named_by_files(
    services: &[Service],
    files: &[PathBuf],
    diagnostics: &Diagnostics,
) -> Vec<Service> {
    let mut selected: Vec<Service> = Vec::new();
    for file in files {
        for service in named_by(file, services, diagnostics) {
            match selected.iter().find(|other| other.name == service.name) {
                Some(other) => diagnostics.command_line_error(two_files(file, other)),
                None => selected.push(service),
            }
        }
    }

    selected
}

/// The services that `file` stands for: the sections that name it as their component, or else the section of its stem, or else a
/// new service of that name.
fn named_by(file: &Path, services: &[Service], diagnostics: &Diagnostics) -> Vec<Service> {
    let has_component = |service: &&Service| {
        service
            .component
            .as_ref()
            .is_some_and(|component| is_same_file(component, file))
    };

    let found: Vec<Service> = services.iter().filter(has_component).cloned().collect();
    if !found.is_empty() {
        return found;
    }

    let Some(stem) = file.file_stem().and_then(|stem| stem.to_str()) else {
        diagnostics.command_line_error(format!(
            "{}: no file name to name a service after",
            file.display()
        ));
        return Vec::new();
    };

    let section = services
        .iter()
        .find(|service| service.name == stem)
        .cloned();

    match section.map_or_else(|| Service::with_default_base(stem), Ok) {
        Ok(service) => vec![Service {
            component: Some(file.to_owned()),
            ..service
        }],
        Err(error) => {
            diagnostics.command_line_error(format!(
                "{}: {error}; write a section with component: into miqro.yml",
                file.display()
            ));
            Vec::new()
        }
    }
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let canonical =
        |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    matches!((canonical(a), canonical(b)), (Ok(a), Ok(b)) if a == b)
}

fn two_files(file: &Path, other: &Service) -> String {
    let first = other.component.as_deref().unwrap_or(Path::new(""));
    format!(
        "{file}: the service {name} runs {first} already; give one of them another name: services: {{other: {{component: {file}}}}}",
        file = file.display(),
        name = other.name,
        first = first.display(),
    )
}

/// Reports services with the same base topic: they would publish to one `online`.
fn refuse_shared_base(services: &[Service], lines: &Lines, diagnostics: &Diagnostics) {
    for (index, service) in services.iter().enumerate() {
        let earlier = &services[..index];
        let Some(other) = earlier.iter().find(|other| other.base == service.base) else {
            continue;
        };

        let line = lines.get(&service.name).copied().unwrap_or(0);
        let message = format!(
            "the services {} and {} have the same data_topic {}; give each its own",
            location(other, lines),
            location(service, lines),
            service.base
        );

        diagnostics.error(
            line,
            &format!("services.{}.data_topic", service.name),
            message,
        );
    }
}

/// The service with the line of its section, or with its file.
fn location(service: &Service, lines: &Lines) -> String {
    match (lines.get(&service.name), &service.component) {
        (Some(line), _) => format!("{} (line {line})", service.name),
        (None, Some(file)) => format!("{} ({})", service.name, file.display()),
        (None, None) => service.name.clone(),
    }
}

//! Pure but for telling whether two paths are one file: which services run. In: the services of the configuration and the
//! component files named on the command line. Out: the services that run, each with its component. Owns nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::problem::Report;
use super::{Service, service};

/// The line in which the section of each service begins.
pub(super) type Lines = HashMap<String, usize>;

/// The services that run. Without `files`, those with a component.
pub(super) fn select(
    services: Vec<Service>,
    files: &[PathBuf],
    lines: &Lines,
    report: &Report,
) -> Vec<Service> {
    let mut chosen: Vec<Service> = Vec::new();
    if files.is_empty() {
        chosen = services
            .iter()
            .filter(|service| service.component.is_some())
            .cloned()
            .collect();
        if chosen.is_empty() {
            report.elsewhere(
                "no service to run: name a component file (miqro-host run guests/echo.wasm), or write one into miqro.yml \
                 (services: {echo: {component: guests/echo.wasm}})",
            );
        }
    }
    for file in files {
        for service in named_by(file, &services, report) {
            match chosen.iter().find(|other| other.name == service.name) {
                Some(other) => report.elsewhere(twice(file, other)),
                None => chosen.push(service),
            }
        }
    }
    same_base(&chosen, lines, report);
    chosen
}

/// The services that `file` stands for: the sections that name it as their component, or else the section of its stem, or
/// else a new service of that name.
fn named_by(file: &Path, services: &[Service], report: &Report) -> Vec<Service> {
    let names_it = |service: &&Service| {
        service
            .component
            .as_ref()
            .is_some_and(|component| same(component, file))
    };
    let found: Vec<Service> = services.iter().filter(names_it).cloned().collect();
    if !found.is_empty() {
        return found;
    }
    let Some(stem) = file.file_stem().and_then(|stem| stem.to_str()) else {
        report.elsewhere(format!(
            "{}: no file name to name a service after",
            file.display()
        ));
        return Vec::new();
    };
    let section = services
        .iter()
        .find(|service| service.name == stem)
        .cloned();
    match section.map_or_else(|| service::plain(stem), Ok) {
        Ok(service) => vec![Service {
            component: Some(file.to_owned()),
            ..service
        }],
        Err(message) => {
            report.elsewhere(format!(
                "{}: {message}; write a section with component: into miqro.yml",
                file.display()
            ));
            Vec::new()
        }
    }
}

fn same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    matches!((real(a), real(b)), (Ok(a), Ok(b)) if a == b)
}

fn twice(file: &Path, other: &Service) -> String {
    let first = other
        .component
        .as_deref()
        .unwrap_or(Path::new(""))
        .display();
    let (file, name) = (file.display(), &other.name);
    format!(
        "{file}: the service {name} runs {first} already; give one of them another name: services: {{other: {{component: {file}}}}}"
    )
}

/// Two services below one base topic would publish to one `online`.
fn same_base(services: &[Service], lines: &Lines, report: &Report) {
    for (index, service) in services.iter().enumerate() {
        if let Some(other) = services[..index]
            .iter()
            .find(|other| other.base == service.base)
        {
            let place = |service: &Service| match (lines.get(&service.name), &service.component) {
                (Some(line), _) => format!("{} (line {line})", service.name),
                (None, Some(file)) => format!("{} ({})", service.name, file.display()),
                (None, None) => service.name.clone(),
            };
            let (a, b, base) = (place(other), place(service), &service.base);
            let message = format!(
                "the services {a} and {b} have the same data_topic {base}; give each its own"
            );
            let line = lines.get(&service.name).copied().unwrap_or(0);
            report.problem(
                line,
                &format!("services.{}.data_topic", service.name),
                message,
            );
        }
    }
}

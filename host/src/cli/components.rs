//! The typed interfaces of component files, for commands that describe, compare or call them.

use std::path::Path;

use anyhow::Context;

use crate::app::default_cache_dir;
use crate::config::{Call, NetworkInterface, Service, TypedInterfaces};
use crate::guest::{self, EngineOptions};
use crate::typed::binding::Binding;
use crate::typed::interface::ComponentInterfaces;
use crate::typed::mapping::Mapping;

/// The interfaces of a component file, besides those of `miqro` and `wasi`.
///
/// # Errors
/// When the file cannot be read, or is not a component that the host can run.
pub(super) fn read(file: &Path) -> anyhow::Result<ComponentInterfaces> {
    let name = || file.display().to_string();
    let bytes = std::fs::read(file).with_context(name)?;
    let engine = guest::Engine::new(EngineOptions {
        services: 1,
        cache_dir: default_cache_dir(),
        ..EngineOptions::default()
    })?;
    let component = engine.compile(&bytes).with_context(name)?;

    Ok(component.interfaces().clone())
}

/// The interfaces of a service of the configuration, bound as its section says.
///
/// # Errors
/// As [`read`], or when the section does not fit the component.
pub(super) fn bind(service: &Service) -> anyhow::Result<Binding> {
    let file = service
        .component
        .as_deref()
        .with_context(|| format!("services.{} has no component", service.name))?;
    let interfaces = read(file)?;
    Binding::new(&interfaces, &service.typed).with_context(|| format!("services.{}", service.name))
}

/// The interfaces of a component file: all exports are served, and all imports are called, but for the signals of the exports.
///
/// # Errors
/// When an interface has no form on the network.
pub(super) fn bind_all(interfaces: &ComponentInterfaces) -> anyhow::Result<Binding> {
    let is_emitted = |id| {
        let mut exports = interfaces.exports.iter();
        exports.any(|export| NetworkInterface::new(export.id.clone()).signals().names(id))
    };
    let imports = interfaces.imports.iter().map(|import| &import.id);
    let call = imports
        .filter(|id| !is_emitted(id))
        .map(|id| Call::new(id.clone()))
        .collect();

    let typed = TypedInterfaces { serve: None, call };
    Ok(Binding::new(interfaces, &typed)?)
}

/// Whether the interface has this name: in WIT with or without its package and version, or on the wire.
pub(super) fn is_named(mapping: &Mapping, name: &str) -> bool {
    let id = &mapping.id;
    let wire = mapping.prefix.as_str().rsplit('/').next();
    id.name == name || wire == Some(name) || id.to_string() == name
}

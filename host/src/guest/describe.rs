//! Descriptions of component files for `miqro-host check`: exports, imports and grants, or the reason why a file cannot
//! run here. A file that is not a component gets advice.

use std::fmt;

use crate::config::NEEDS;
use crate::guest::component::{Component, ComponentError};
use crate::guest::engine::Engine;
use crate::guest::exports::Exports;
use crate::guest::file_kind::FileKind;
use crate::guest::peers::{self, Peer};
use crate::typed::interface::ComponentInterfaces;

/// A description of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The size in bytes.
    pub bytes: usize,
    /// The kind, by the first bytes.
    pub kind: FileKind,
    /// The exports and imports, or the reason why it cannot run here.
    pub component: Result<ComponentDescription, ComponentError>,
}

/// The exports and imports of a component that fulfils the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentDescription {
    /// The peer that it was made for; `None`: it fulfils the contract of this host.
    pub peer: Option<Peer>,
    /// The optional exports that it has.
    pub exports: Exports,
    /// The interfaces of `miqro:service` that it imports.
    pub miqro: Vec<String>,
    /// The interfaces of WASI that it imports.
    pub wasi: Vec<String>,
    /// The interfaces of peers that it imports.
    pub peers: Vec<String>,
    /// Its own interfaces: those that it serves and calls over the network.
    pub interfaces: ComponentInterfaces,
}

impl ComponentDescription {
    /// The description of a compiled component.
    pub fn new(component: &Component) -> Self {
        let imports_of = |namespace: &str| {
            let imports = component.imports().iter();
            imports
                .filter(|name| name.starts_with(namespace))
                .cloned()
                .collect()
        };

        Self {
            exports: component.exports(),
            peer: component.peer(),
            miqro: imports_of("miqro:"),
            peers: imports_of_peers(component.imports()),
            wasi: imports_of("wasi:"),
            interfaces: component.interfaces().clone(),
        }
    }

    /// The grants that its imports may need: the import, the key below `grants`, and an example of its value.
    pub fn needs(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let imports = |prefix: &str| {
            let imports = self.miqro.iter().chain(&self.wasi).chain(&self.peers);
            imports.into_iter().any(|import| import.starts_with(prefix))
        };
        NEEDS
            .into_iter()
            .filter(move |(import, ..)| imports(import))
    }

    /// Lines of `miqro.yml` that grant the service `name` everything that its component imports; empty when no import
    /// needs a grant. A component may import more than it uses, because the library of its language does.
    pub fn grants(&self, name: &str) -> String {
        let lines: String = self
            .needs()
            .map(|(import, key, example)| {
                format!("\n      {key}: {example}  # {import}{}", condition(key))
            })
            .collect();

        if lines.is_empty() {
            lines
        } else {
            format!("services:\n  {name}:\n    grants:{lines}")
        }
    }
}

/// A condition that the example of a grant leaves out.
fn condition(key: &str) -> &'static str {
    match key {
        "publish" | "subscribe" => ", for topics outside of its own",
        "directories" => "; to write there: write: true",
        _ => "",
    }
}

impl Engine {
    /// Describes a file with these bytes. Compiles a component, so it blocks.
    pub fn describe(&self, bytes: &[u8]) -> Description {
        let component = self.compile(bytes);
        Description {
            bytes: bytes.len(),
            kind: FileKind::of(bytes),
            component: component.map(|component| ComponentDescription::new(&component)),
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let component = match &self.component {
            Ok(component) => component,
            Err(error) => return write!(f, "{error}"),
        };

        let optional: String = component
            .exports
            .names()
            .map(|name| format!(", {name}"))
            .collect();
        match component.peer {
            Some(peer) => {
                writeln!(
                    f,
                    "a component of {} bytes for {peer}, which runs here: it speaks {}",
                    self.bytes,
                    peer.contract()
                )?;

                writeln!(f, "exports: {}{optional}", peer.export_name())?;
                writeln!(
                    f,
                    "it needs subscriptions in miqro.yml: its messages come from there"
                )?;
            }
            None => {
                writeln!(
                    f,
                    "a component of {} bytes that fulfils the contract miqro:service",
                    self.bytes
                )?;
                writeln!(f, "exports: handle, tick{optional}")?;
            }
        }

        writeln!(f, "imports of miqro: {}", or_none(&component.miqro))?;
        write!(f, "imports of WASI: {}", or_none(&component.wasi))?;
        if !component.peers.is_empty() {
            write!(f, "\nimports of peers: {}", component.peers.join(", "))?;
        }

        let ComponentInterfaces { exports, imports } = &component.interfaces;
        for (kind, interfaces) in [("exports", exports), ("imports", imports)] {
            if !interfaces.is_empty() {
                let names: Vec<String> = interfaces.iter().map(|one| one.id.to_string()).collect();
                write!(f, "\ntyped {kind}: {}", names.join(", "))?;
            }
        }

        Ok(())
    }
}

/// The imports that the host offers to guests of peers; those of WASI are named with WASI's.
fn imports_of_peers(imports: &[String]) -> Vec<String> {
    let imports = imports.iter();
    imports
        .filter(|name| peers::is_offered(name) && !name.starts_with("wasi:"))
        .cloned()
        .collect()
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

//! The check of a component against the contract. It finds the exports and links the imports in advance, or lists every
//! fault at once, each with the line of the WIT that the component should follow.

mod shape;
mod wit;

use std::fmt;

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::guest::bindings::ServiceIndices;
use crate::guest::exports::{EntryIndices, ExportIndices, OptionalExport};
use crate::guest::linked_engine::LinkedEngine;
use crate::guest::linker::{VERSION, WASI_PACKAGES};
use crate::guest::peers::{self, PeerExport};
use crate::guest::store::StoreData;
use crate::guest::typed::{interfaces, linking};
use crate::typed::interface::ComponentInterfaces;

pub(super) use wit::Contract;
pub use wit::WitError;

/// The exports that every component must have.
const REQUIRED: [&str; 2] = ["handle", "tick"];

/// Everything that a component misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractFaults(pub Vec<String>);

impl fmt::Display for ContractFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

/// A component that fulfils the contract.
pub(super) struct CheckedComponent {
    pub(super) pre: InstancePre<StoreData>,
    pub(super) indices: ExportIndices,
    /// The names of all imports, sorted.
    pub(super) imports: Vec<String>,
    /// The typed interfaces.
    pub(super) interfaces: ComponentInterfaces,
}

/// Checks `component` against the contract and links it.
pub(super) fn check(
    contract: &Contract,
    linked: &LinkedEngine,
    component: &Component,
) -> Result<CheckedComponent, ContractFaults> {
    let mut check = Check {
        contract,
        linked,
        faults: Vec::new(),
    };

    let peer = check.peer(component);
    if peer.is_none() {
        for required in REQUIRED {
            check.export(component, required, true);
        }
    }
    let optional = OptionalExport::ALL.map(|export| check.export(component, export.name(), false));
    let imports = check.imports(component);
    let interfaces = interfaces::read(&linked.engine, component);
    let typed = linking::indices(component, &interfaces).unwrap_or_default();

    match check.link(component, &interfaces, peer) {
        Some((pre, entry)) if check.faults.is_empty() => Ok(CheckedComponent {
            pre,
            indices: ExportIndices {
                entry,
                optional,
                typed,
            },
            imports,
            interfaces,
        }),
        _ => Err(ContractFaults(check.faults)),
    }
}

/// A check under way.
struct Check<'a> {
    contract: &'a Contract,
    linked: &'a LinkedEngine,
    faults: Vec<String>,
}

impl Check<'_> {
    /// The export `name`, if the component has it with the right type.
    fn export(
        &mut self,
        component: &Component,
        name: &str,
        required: bool,
    ) -> Option<ComponentExportIndex> {
        let declared = self.contract.export(name)?;
        let wit = declared.declaration;

        let fault = match component.get_export(None, name) {
            None if !required => return None,
            None => format!("export {name:?} is missing; it must be `export {wit}`"),
            Some((ComponentItem::ComponentFunc(function), index)) => {
                let found = shape::compiled(&function);
                if found == declared.shape {
                    return Some(index);
                }
                format!("export {name:?} is `{found}`; it must be `export {wit}`")
            }
            Some(_) => format!("export {name:?} is not a function; it must be `export {wit}`"),
        };

        self.faults.push(fault);
        None
    }

    /// The export of a peer, in a component without the contract's own `handle`.
    fn peer(&mut self, component: &Component) -> Option<PeerExport> {
        if component.get_export_index(None, REQUIRED[0]).is_some() {
            return None;
        }
        let (export, function) = peers::find(component)?;
        let found = shape::compiled(&function);
        let expected = export.peer.shape();
        if found != expected {
            self.faults.push(format!(
                "this is a component for {}: export {:?} is `{found}`; it must be `{expected}`",
                export.peer,
                export.peer.export_name()
            ));
        }

        Some(export)
    }

    /// Checks the imports and returns their names, sorted.
    fn imports(&mut self, component: &Component) -> Vec<String> {
        let ty = component.component_type();
        let mut names = Vec::new();
        for (name, import) in ty.imports(&self.linked.engine) {
            match &import.ty {
                ComponentItem::ComponentInstance(instance) => self.instance(name, instance),
                // a type of an interface that the exports use
                ComponentItem::Type(_) if self.contract.uses_type(name) => continue,
                _ => self.faults.push(not_offered(name)),
            }

            names.push(name.to_owned());
        }

        names.sort();
        names
    }

    fn instance(&mut self, name: &str, instance: &ComponentInstance) {
        // an interface that only has types needs no host
        if peers::is_offered(name) || !self.needs_host(instance) {
            return;
        }
        let (interface, version) = name.split_once('@').unwrap_or((name, ""));
        if let Some(interface) = interface.strip_prefix("miqro:service/") {
            self.own_interface(interface, version, instance);
        } else if let Some(interface) = interface.strip_prefix("wasi:") {
            self.faults
                .extend(wasi_interface_fault(name, interface, version));
        } else if !interfaces::is_for_network(name) {
            self.faults.push(not_offered(name));
        }
    }

    /// Whether an interface has functions or resources.
    fn needs_host(&self, instance: &ComponentInstance) -> bool {
        instance
            .exports(&self.linked.engine)
            .any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
    }

    fn own_interface(&mut self, interface: &str, version: &str, instance: &ComponentInstance) {
        let name = format!("miqro:service/{interface}@{version}");
        let interfaces = self.contract.interfaces();
        let Some(declared) = interfaces.iter().find(|known| known.name == interface) else {
            let known = join(interfaces.iter().map(|known| &*known.name));
            self.faults.push(format!(
                "import {name:?} is not offered; of miqro:service@{VERSION} there are {known}"
            ));
            return;
        };

        if version != VERSION {
            self.faults.push(format!(
                "import {name:?}: this host offers version {VERSION}"
            ));
            return;
        }

        for (function, item) in instance.exports(&self.linked.engine) {
            let ComponentItem::ComponentFunc(found) = item.ty else {
                continue;
            };
            let functions = &declared.functions;
            let Some(declared) = functions.iter().find(|known| known.name == function) else {
                let known = join(functions.iter().map(|known| &*known.name));
                self.faults.push(format!(
                    "import {name:?}: there is no {function:?}; there are {known}"
                ));
                continue;
            };

            let found = shape::compiled(&found);
            if found != declared.shape {
                self.faults.push(format!(
                    "import {name:?}: {function:?} is `{found}`; it must be `{}`",
                    declared.declaration
                ));
            }
        }
    }

    /// Links the imports and finds the required exports. An error of wasmtime counts only when no check above has found
    /// the fault, because the checks say it better.
    fn link(
        &mut self,
        component: &Component,
        interfaces: &ComponentInterfaces,
        peer: Option<PeerExport>,
    ) -> Option<(InstancePre<StoreData>, EntryIndices)> {
        let linked = self.instantiate_pre(component, interfaces);
        let linked = linked.and_then(|pre| {
            let entry = match peer {
                Some(peer) => EntryIndices::Peer(peer),
                None => EntryIndices::Service(ServiceIndices::new(&pre)?),
            };
            Ok((pre, entry))
        });

        match linked {
            Ok(linked) => Some(linked),
            Err(error) => {
                if self.faults.is_empty() {
                    self.faults.push(format!("{error:#}"));
                }
                None
            }
        }
    }

    /// Links a component; one with typed imports gets a linker of its own, which has them.
    fn instantiate_pre(
        &self,
        component: &Component,
        interfaces: &ComponentInterfaces,
    ) -> wasmtime::Result<InstancePre<StoreData>> {
        if interfaces.imports.is_empty() {
            return self.linked.linker.instantiate_pre(component);
        }
        let mut linker = self.linked.linker.clone();
        linking::define(&mut linker, interfaces)?;
        linker.instantiate_pre(component)
    }
}

fn not_offered(name: &str) -> String {
    let offered = peers::offered(name);
    if !offered.is_empty() {
        return format!("import {name:?} is not offered; this host offers {offered}");
    }
    format!(
        "import {name:?} is not offered; a service may import interfaces of miqro:service@{VERSION} and wasi 0.2 only"
    )
}

fn wasi_interface_fault(name: &str, interface: &str, version: &str) -> Option<String> {
    let package = interface.split('/').next().unwrap_or_default();
    if !peers::offered(name).is_empty() {
        return Some(not_offered(name));
    }
    if !WASI_PACKAGES.contains(&package) {
        return Some(format!(
            "import {name:?} is not offered; of WASI there are {}",
            WASI_PACKAGES.join(", ")
        ));
    }

    if !version.starts_with("0.2.") {
        return Some(format!(
            "import {name:?}: this host offers version 0.2 of WASI"
        ));
    }
    None
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

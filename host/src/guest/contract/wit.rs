//! The contract as data: the functions that `wit/service.wit` declares, with the shapes of their types.

use wit_parser::{InterfaceId, Resolve, UnresolvedPackageGroup, World, WorldItem};

use super::shape;

/// The contract as guests read it.
const WIT: &str = include_str!("../../../../wit/service.wit");

/// The world with every export that a component may have.
const LARGEST_WORLD: &str = "full-service";

/// The functions of the contract.
pub(in crate::guest) struct Contract {
    /// The interfaces that a component may import, in the order of the WIT.
    interfaces: Vec<Interface>,
    exports: Vec<Function>,
    /// Types of an interface that a component imports by themselves, because its exports use them.
    used_types: Vec<String>,
}

/// An interface that a component may import.
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) functions: Vec<Function>,
}

/// A function of an interface, or an export of the world.
pub(super) struct Function {
    pub(super) name: String,
    /// The type without the names of parameters and types; see [`shape`].
    pub(super) shape: String,
    /// The line of the WIT that declares it.
    pub(super) declaration: &'static str,
}

/// Reason why `wit/service.wit` cannot be used: a mistake in the file.
#[derive(Debug, thiserror::Error)]
#[error("wit/service.wit: {0}")]
pub struct WitError(String);

impl Contract {
    /// Parses the WIT that the host was built with.
    ///
    /// # Errors
    /// When it is not valid WIT, or lacks the world `full-service`.
    pub(in crate::guest) fn parse() -> Result<Self, WitError> {
        let group = UnresolvedPackageGroup::parse("service.wit", WIT)
            .map_err(|(_, error)| WitError(error.to_string()))?;
        let mut resolve = Resolve::default();
        let package = resolve
            .push_group(group)
            .map_err(|error| WitError(error.to_string()))?;

        let package = &resolve.packages[package];
        let world = package
            .worlds
            .get(LARGEST_WORLD)
            .ok_or_else(|| WitError(format!("expected a world {LARGEST_WORLD}, found none")))?;
        let world = &resolve.worlds[*world];

        let interfaces = package.interfaces.iter();
        Ok(Self {
            interfaces: interfaces
                .map(|(name, id)| interface(&resolve, name, *id))
                .collect(),
            exports: exports(&resolve, world),
            used_types: used_types(&resolve, world),
        })
    }

    pub(super) fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The export `name` of the world.
    pub(super) fn export(&self, name: &str) -> Option<&Function> {
        self.exports.iter().find(|function| function.name == name)
    }

    /// Whether a component may import the type `name` outside of its interface.
    pub(super) fn uses_type(&self, name: &str) -> bool {
        self.used_types.iter().any(|used| used == name)
    }
}

fn interface(resolve: &Resolve, name: &str, id: InterfaceId) -> Interface {
    let functions = resolve.interfaces[id].functions.values();
    let section = WIT
        .find(&format!("\ninterface {name} {{"))
        .unwrap_or_default();

    Interface {
        name: name.to_owned(),
        functions: functions
            .map(|found| function(resolve, found, &WIT[section..]))
            .collect(),
    }
}

fn exports(resolve: &Resolve, world: &World) -> Vec<Function> {
    let exports = world.exports.values().filter_map(|item| match item {
        WorldItem::Function(found) => Some(function(resolve, found, WIT)),
        WorldItem::Interface { .. } | WorldItem::Type { .. } => None,
    });
    exports.collect()
}

fn used_types(resolve: &Resolve, world: &World) -> Vec<String> {
    let types = world.imports.values().filter_map(|item| match item {
        WorldItem::Type { id, .. } => resolve.types[*id].name.clone(),
        WorldItem::Interface { .. } | WorldItem::Function(_) => None,
    });
    types.collect()
}

/// `section` is the part of the WIT in which to look for the declaration.
fn function(resolve: &Resolve, function: &wit_parser::Function, section: &'static str) -> Function {
    let declaration = section
        .lines()
        .map(|line| {
            line.trim()
                .trim_start_matches("export ")
                .trim_end_matches(';')
        })
        .find(|line| {
            line.strip_prefix(&function.name)
                .is_some_and(|rest| rest.starts_with(": func("))
        });

    Function {
        name: function.name.clone(),
        shape: shape::declared(resolve, function),
        declaration: declaration.unwrap_or_default(),
    }
}

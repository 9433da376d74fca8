//! Links the imports of a component that are for the network: each function of them calls [`calling`].

use wasmtime::component::{Component, ComponentExportIndex, Linker};

use crate::guest::store::StoreData;
use crate::typed::interface::{ComponentInterfaces, Interface};

use super::calling::{self, ImportedFunction};

/// The functions of the interfaces that a component exports: by interface, by function.
pub(in crate::guest) type TypedIndices = Vec<Vec<ComponentExportIndex>>;

/// Defines the functions of the imported interfaces.
///
/// # Errors
/// When the linker has one of them already.
pub(in crate::guest) fn define(
    linker: &mut Linker<StoreData>,
    interfaces: &ComponentInterfaces,
) -> wasmtime::Result<()> {
    for (index, import) in interfaces.imports.iter().enumerate() {
        let mut instance = linker.instance(&import.id.to_string())?;
        for (function, declared) in import.functions.iter().enumerate() {
            let function = ImportedFunction {
                interface: index,
                function,
            };
            instance.func_new_async(&declared.name, move |store, _, arguments, results| {
                Box::new(calling::call(store, function, arguments, results))
            })?;
        }
    }
    Ok(())
}

/// Finds the functions of the exported interfaces.
pub(in crate::guest) fn indices(
    component: &Component,
    interfaces: &ComponentInterfaces,
) -> Option<TypedIndices> {
    let functions = |export: &Interface| {
        let instance = component.get_export_index(None, export.id.to_string().as_str())?;
        let functions = export.functions.iter();
        functions
            .map(|function| component.get_export_index(Some(&instance), function.name.as_str()))
            .collect()
    };
    interfaces.exports.iter().map(functions).collect()
}

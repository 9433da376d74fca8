//! Links the imports of a component that are for the network: each function of them calls [`calling`].

use std::sync::Arc;

use wasmtime::component::{Component, ComponentExportIndex, Linker, LinkerInstance, Val};

use crate::guest::store::StoreData;
use crate::typed::interface::{ComponentInterfaces, Function, Interface};
use crate::typed::types::{Field, Type};
use crate::typed::value::Value;

use super::calling::{self, ImportedFunction};
use super::form::Form;
use super::values::{Returned, TypeMismatch, from_val, into_val};

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
            match Form::of_import(declared) {
                Some(form) => form.link(&mut instance, &declared.name, function)?,
                None => link_dynamic(&mut instance, declared, function)?,
            }
        }
    }

    Ok(())
}

/// Links a function by wasmtime's dynamic values.
fn link_dynamic(
    linker: &mut LinkerInstance<'_, StoreData>,
    declared: &Function,
    function: ImportedFunction,
) -> wasmtime::Result<()> {
    let types = Arc::new(declared.clone());
    linker.func_new_async(&declared.name, move |store, _, arguments, results| {
        let types = types.clone();
        Box::new(async move {
            let values = into_values(&types.parameters, arguments)?;
            let returned = calling::call(store, function, values).await?;

            if let (Some(result), Some(ty)) = (results.first_mut(), &types.result) {
                *result = returned_val(ty, returned)?;
            }
            Ok(())
        })
    })
}

fn into_values(parameters: &[Field], vals: &[Val]) -> Result<Vec<Value>, TypeMismatch> {
    let pairs = parameters.iter().zip(vals);
    pairs
        .map(|(parameter, val)| from_val(&parameter.ty, val))
        .collect()
}

/// The outcome of a function as a value of its result type.
fn returned_val(ty: &Type, returned: Returned) -> Result<Val, TypeMismatch> {
    let value = match (ty, returned) {
        (Type::Result(_), returned) => Value::Result(match returned {
            Ok(value) => Ok(value.map(Box::new)),
            Err(error) => Err(error.map(Box::new)),
        }),
        (_, Ok(Some(value))) => value,
        _ => return Err(TypeMismatch),
    };

    into_val(ty, value)
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

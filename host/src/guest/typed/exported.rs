//! Calls of exported functions with values, by a static type where the function is of a common form, and by dynamic values otherwise.

use wasmtime::component::Val;

use crate::guest::instance::Instance;
use crate::typed::mapping::ErrorType;
use crate::typed::types::Type;
use crate::typed::value::Value;

use super::form::Form;
use super::values::{Returned, TypeMismatch, from_val, into_val};

/// An exported function that is called: the positions of its interface and of the function, and the types of its outcome.
#[derive(Clone, Copy)]
pub(super) struct ExportedFunction<'t> {
    pub(super) interface: usize,
    pub(super) function: usize,
    pub(super) value: Option<&'t Type>,
    pub(super) error: Option<&'t ErrorType>,
}

impl Instance {
    /// Calls an exported function with values of the types of its parameters.
    pub(super) async fn invoke(
        &mut self,
        exported: ExportedFunction<'_>,
        types: &[&Type],
        values: Vec<Value>,
    ) -> wasmtime::Result<Returned> {
        let ExportedFunction { value, error, .. } = exported;
        let typed = self.typed.as_ref().ok_or(TypeMismatch)?;
        let function = typed.functions[exported.interface][exported.function];
        if let Some(form) = Form::of(types, value, error) {
            return form.call(&mut self.store, function, values).await;
        }

        let arguments = into_vals(types, values)?;
        let mut results = [Val::Bool(false)];
        let results = &mut results[..usize::from(value.is_some() || error.is_some())];
        function
            .call_async(&mut self.store, &arguments, results)
            .await?;
        Ok(returned(results.first(), value, error)?)
    }
}

fn into_vals(types: &[&Type], values: Vec<Value>) -> Result<Vec<Val>, TypeMismatch> {
    let pairs = types.iter().zip(values);
    pairs.map(|(ty, value)| into_val(ty, value)).collect()
}

/// The outcome of a function from its result.
fn returned(
    result: Option<&Val>,
    value: Option<&Type>,
    error: Option<&ErrorType>,
) -> Result<Returned, TypeMismatch> {
    let convert = |ty: Option<&Type>, val: Option<&Val>| match (ty, val) {
        (Some(ty), Some(val)) => from_val(ty, val).map(Some),
        (None, None) => Ok(None),
        _ => Err(TypeMismatch),
    };

    let Some(ErrorType(error)) = error else {
        return convert(value, result).map(Ok);
    };
    match result {
        Some(Val::Result(Ok(val))) => convert(value, val.as_deref()).map(Ok),
        Some(Val::Result(Err(val))) => convert(error.as_ref(), val.as_deref()).map(Err),
        _ => Err(TypeMismatch),
    }
}

//! Functions whose bytes pass in one piece. wasmtime's dynamic values have no form for bytes: each byte of a `list<u8>` is a value of its
//! own there. Its static types have one, so functions of common forms are called, and linked, with a type of Rust.
//!
//! The forms: no parameter, a `string`, a `list<u8>`, or a `string` and a `list<u8>`; with no result, a `list<u8>`, or a `result` of one
//! of these with a `string` as its error. Functions of any other form go through dynamic values.

use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Func, Lift, LinkerInstance, Lower};

use crate::guest::store::StoreData;
use crate::typed::interface::Function;
use crate::typed::mapping::ErrorType;
use crate::typed::types::{Field, Type};
use crate::typed::value::Value;

use super::calling::{self, ImportedFunction};
use super::values::{Returned, TypeMismatch};

/// The form of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    parameters: ParametersForm,
    results: ResultsForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParametersForm {
    Nothing,
    Text,
    Bytes,
    TextAndBytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResultsForm {
    Nothing,
    Bytes,
    NothingOrError,
    BytesOrError,
}

impl Form {
    /// The form of an exported function; `None`: it has none of them.
    pub(super) fn of(
        parameters: &[&Type],
        value: Option<&Type>,
        error: Option<&ErrorType>,
    ) -> Option<Self> {
        let parameters = match parameters {
            [] => ParametersForm::Nothing,
            [Type::String] => ParametersForm::Text,
            [Type::Bytes] => ParametersForm::Bytes,
            [Type::String, Type::Bytes] => ParametersForm::TextAndBytes,
            _ => return None,
        };

        let results = match (value, error) {
            (None, None) => ResultsForm::Nothing,
            (Some(Type::Bytes), None) => ResultsForm::Bytes,
            (None, Some(ErrorType(Some(Type::String)))) => ResultsForm::NothingOrError,
            (Some(Type::Bytes), Some(ErrorType(Some(Type::String)))) => ResultsForm::BytesOrError,
            _ => return None,
        };

        Some(Self {
            parameters,
            results,
        })
    }

    /// The form of an imported function; `None`: it has none of them.
    pub(super) fn of_import(function: &Function) -> Option<Self> {
        let parameters = types(&function.parameters);
        match &function.result {
            Some(Type::Result(ty)) => {
                let error = ErrorType(ty.err.clone());
                Self::of(&parameters, ty.ok.as_ref(), Some(&error))
            }
            value => Self::of(&parameters, value.as_ref(), None),
        }
    }

    /// Calls an exported function of this form.
    ///
    /// # Errors
    /// When the guest traps, or the values are not of this form.
    pub(super) async fn call(
        self,
        store: &mut Store<StoreData>,
        function: Func,
        values: Vec<Value>,
    ) -> wasmtime::Result<Returned> {
        match self.parameters {
            ParametersForm::Nothing => self.call_with::<()>(store, function, values).await,
            ParametersForm::Text => self.call_with::<(String,)>(store, function, values).await,
            ParametersForm::Bytes => self.call_with::<(Vec<u8>,)>(store, function, values).await,
            ParametersForm::TextAndBytes => {
                self.call_with::<(String, Vec<u8>)>(store, function, values)
                    .await
            }
        }
    }

    async fn call_with<P: Parameters>(
        self,
        store: &mut Store<StoreData>,
        function: Func,
        values: Vec<Value>,
    ) -> wasmtime::Result<Returned> {
        let parameters = P::from_values(values)?;
        match self.results {
            ResultsForm::Nothing => call::<P, ()>(store, function, parameters).await,
            ResultsForm::Bytes => call::<P, (Vec<u8>,)>(store, function, parameters).await,
            ResultsForm::NothingOrError => {
                call::<P, (Result<(), String>,)>(store, function, parameters).await
            }
            ResultsForm::BytesOrError => {
                call::<P, (Result<Vec<u8>, String>,)>(store, function, parameters).await
            }
        }
    }

    /// Links an imported function of this form to the network.
    ///
    /// # Errors
    /// When the linker has it already.
    pub(super) fn link(
        self,
        linker: &mut LinkerInstance<'_, StoreData>,
        name: &str,
        function: ImportedFunction,
    ) -> wasmtime::Result<()> {
        match self.parameters {
            ParametersForm::Nothing => self.link_with::<()>(linker, name, function),
            ParametersForm::Text => self.link_with::<(String,)>(linker, name, function),
            ParametersForm::Bytes => self.link_with::<(Vec<u8>,)>(linker, name, function),
            ParametersForm::TextAndBytes => {
                self.link_with::<(String, Vec<u8>)>(linker, name, function)
            }
        }
    }

    fn link_with<P: Parameters>(
        self,
        linker: &mut LinkerInstance<'_, StoreData>,
        name: &str,
        function: ImportedFunction,
    ) -> wasmtime::Result<()> {
        match self.results {
            ResultsForm::Nothing => link::<P, ()>(linker, name, function),
            ResultsForm::Bytes => link::<P, (Vec<u8>,)>(linker, name, function),
            ResultsForm::NothingOrError => link::<P, (Result<(), String>,)>(linker, name, function),
            ResultsForm::BytesOrError => {
                link::<P, (Result<Vec<u8>, String>,)>(linker, name, function)
            }
        }
    }
}

/// The types of parameters.
pub(super) fn types(parameters: &[Field]) -> Vec<&Type> {
    parameters.iter().map(|parameter| &parameter.ty).collect()
}

async fn call<P: Parameters, R: Results>(
    store: &mut Store<StoreData>,
    function: Func,
    parameters: P,
) -> wasmtime::Result<Returned> {
    let function = function.typed::<P, R>(&*store)?;
    Ok(function
        .call_async(store, parameters)
        .await?
        .into_returned())
}

fn link<P: Parameters, R: Results>(
    linker: &mut LinkerInstance<'_, StoreData>,
    name: &str,
    function: ImportedFunction,
) -> wasmtime::Result<()> {
    linker.func_wrap_async(name, move |store, parameters: P| {
        Box::new(async move {
            let returned = calling::call(store, function, parameters.into_values()).await?;
            Ok(R::from_returned(returned)?)
        })
    })
}

/// Parameters as a type of Rust.
trait Parameters: ComponentNamedList + Lift + Lower + Send + Sync + 'static {
    fn from_values(values: Vec<Value>) -> Result<Self, TypeMismatch>;
    fn into_values(self) -> Vec<Value>;
}

/// A result as a type of Rust.
trait Results: ComponentNamedList + Lift + Lower + Send + Sync + 'static {
    fn from_returned(returned: Returned) -> Result<Self, TypeMismatch>;
    fn into_returned(self) -> Returned;
}

impl Parameters for () {
    fn from_values(values: Vec<Value>) -> Result<Self, TypeMismatch> {
        let [] = exactly(values)?;
        Ok(())
    }

    fn into_values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl Parameters for (String,) {
    fn from_values(values: Vec<Value>) -> Result<Self, TypeMismatch> {
        let [value] = exactly(values)?;
        Ok((text(value)?,))
    }

    fn into_values(self) -> Vec<Value> {
        vec![Value::String(self.0)]
    }
}

impl Parameters for (Vec<u8>,) {
    fn from_values(values: Vec<Value>) -> Result<Self, TypeMismatch> {
        let [value] = exactly(values)?;
        Ok((bytes(value)?,))
    }

    fn into_values(self) -> Vec<Value> {
        vec![Value::Bytes(self.0)]
    }
}

impl Parameters for (String, Vec<u8>) {
    fn from_values(values: Vec<Value>) -> Result<Self, TypeMismatch> {
        let [first, second] = exactly(values)?;
        Ok((text(first)?, bytes(second)?))
    }

    fn into_values(self) -> Vec<Value> {
        vec![Value::String(self.0), Value::Bytes(self.1)]
    }
}

impl Results for () {
    fn from_returned(returned: Returned) -> Result<Self, TypeMismatch> {
        match returned {
            Ok(None) => Ok(()),
            _ => Err(TypeMismatch),
        }
    }

    fn into_returned(self) -> Returned {
        Ok(None)
    }
}

impl Results for (Vec<u8>,) {
    fn from_returned(returned: Returned) -> Result<Self, TypeMismatch> {
        match returned {
            Ok(Some(value)) => Ok((bytes(value)?,)),
            _ => Err(TypeMismatch),
        }
    }

    fn into_returned(self) -> Returned {
        Ok(Some(Value::Bytes(self.0)))
    }
}

impl Results for (Result<(), String>,) {
    fn from_returned(returned: Returned) -> Result<Self, TypeMismatch> {
        match returned {
            Ok(None) => Ok((Ok(()),)),
            Err(Some(error)) => Ok((Err(text(error)?),)),
            _ => Err(TypeMismatch),
        }
    }

    fn into_returned(self) -> Returned {
        self.0
            .map(|()| None)
            .map_err(|error| Some(Value::String(error)))
    }
}

impl Results for (Result<Vec<u8>, String>,) {
    fn from_returned(returned: Returned) -> Result<Self, TypeMismatch> {
        match returned {
            Ok(Some(value)) => Ok((Ok(bytes(value)?),)),
            Err(Some(error)) => Ok((Err(text(error)?),)),
            _ => Err(TypeMismatch),
        }
    }

    fn into_returned(self) -> Returned {
        self.0
            .map(|value| Some(Value::Bytes(value)))
            .map_err(|error| Some(Value::String(error)))
    }
}

fn exactly<const N: usize>(values: Vec<Value>) -> Result<[Value; N], TypeMismatch> {
    values.try_into().map_err(|_| TypeMismatch)
}

fn text(value: Value) -> Result<String, TypeMismatch> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(TypeMismatch),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, TypeMismatch> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(TypeMismatch),
    }
}

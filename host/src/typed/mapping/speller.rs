//! The members of one interface, spelled as the naming says.

use std::sync::Arc;

use crate::topic::Topic;
use crate::typed::interface::{Function, Interface, InterfaceId};
use crate::typed::naming::Naming;
use crate::typed::types::{Case, Enum, EnumCase, Field, Flags, Name, Record, Type, Variant};

use super::{ErrorType, MappingError, MappingProblem, Operation, Property, Setter, Signal};

/// Spells the members of one interface.
pub(super) struct Speller<'a> {
    pub(super) id: &'a InterfaceId,
    pub(super) prefix: &'a Topic,
    pub(super) naming: &'a Naming,
}

impl Speller<'_> {
    pub(super) fn properties(&self, interface: &Interface) -> Result<Vec<Property>, MappingError> {
        let functions = interface.functions.iter().enumerate();
        functions
            .filter_map(|(index, function)| {
                let name = self.getter(function)?;
                let (ty, error) = split(function.result.as_ref());
                Some((index, name, ty?, error))
            })
            .map(|(getter, wit, ty, error)| {
                let name = self.name(wit);
                let ty = self.spell(&ty);
                Ok(Property {
                    topic: self.topic("prop", &name)?,
                    set_topic: self.topic("set", &name)?,
                    setter: self.setter(interface, wit, getter),
                    error: error.map(|error| self.spell_error(&error)),
                    name,
                    ty,
                    getter,
                })
            })
            .collect()
    }

    pub(super) fn operations(&self, interface: &Interface) -> Result<Vec<Operation>, MappingError> {
        let properties = self.properties(interface)?;
        let is_accessor = |index: usize| {
            properties.iter().any(|property| {
                let setter = property.setter.as_ref().map(|setter| setter.function);
                property.getter == index || setter == Some(index)
            })
        };

        let functions = interface.functions.iter().enumerate();
        functions
            .filter(|(index, _)| !is_accessor(*index))
            .map(|(index, function)| {
                let name = self.name(&function.name);
                let (answer, error) = split(function.result.as_ref());
                Ok(Operation {
                    topic: self.topic("rpc", &name)?,
                    name,
                    parameters: self.parameters(function),
                    answer: answer.map(|ty| self.spell(&ty)),
                    error: error.map(|error| self.spell_error(&error)),
                    function: index,
                })
            })
            .collect()
    }

    pub(super) fn signals(&self, interface: &Interface) -> Result<Vec<Signal>, MappingError> {
        let functions = interface.functions.iter().enumerate();
        functions
            .map(|(index, function)| {
                if function.result.is_some() {
                    let problem = MappingProblem::Result(function.name.clone());
                    return Err(MappingError::new(&interface.id, problem));
                }
                let name = self.name(&function.name);
                Ok(Signal {
                    topic: self.topic("sig", &name)?,
                    name,
                    parameters: self.parameters(function),
                    function: index,
                })
            })
            .collect()
    }

    /// The name of the property that the function returns, if it is a getter: `get-x: func() -> t`.
    fn getter<'f>(&self, function: &'f Function) -> Option<&'f str> {
        let name = function.name.strip_prefix("get-")?;
        let is_operation = self.naming.operations.contains(&function.name);
        let has_value = split(function.result.as_ref()).0.is_some();
        (!is_operation && has_value && function.parameters.is_empty()).then_some(name)
    }

    /// The setter `set-x: func(t)` that belongs to the getter of the property `x`.
    fn setter(&self, interface: &Interface, property: &str, getter: usize) -> Option<Setter> {
        let name = format!("set-{property}");
        let function = interface.functions.iter().position(|f| f.name == name)?;
        if self.naming.operations.contains(&name) {
            return None;
        }

        let (value, _) = split(interface.functions[getter].result.as_ref());
        let setter = &interface.functions[function];
        let takes_value = setter.parameters.len() == 1
            && setter.parameters.first().map(|parameter| &parameter.ty) == value.as_ref();
        let (answer, error) = split(setter.result.as_ref());
        (takes_value && answer.is_none()).then(|| Setter {
            function,
            error: error.map(|error| self.spell_error(&error)),
        })
    }

    fn parameters(&self, function: &Function) -> Vec<Field> {
        let parameters = function.parameters.iter();
        parameters
            .map(|parameter| Field {
                name: self.name(&parameter.name.wit),
                ty: self.spell(&parameter.ty),
            })
            .collect()
    }

    fn name(&self, wit: &str) -> Name {
        Name {
            wit: wit.to_owned(),
            wire: self.naming.spell(wit),
        }
    }

    fn topic(&self, verb: &str, name: &Name) -> Result<Topic, MappingError> {
        if name.wire.contains('/') || name.wire.is_empty() {
            let problem = MappingProblem::Level(name.wire.clone());
            return Err(MappingError::new(self.id, problem));
        }
        Topic::new(format!("{}/{verb}/{}", self.prefix, name.wire))
            .map_err(|error| MappingError::new(self.id, error))
    }

    fn spell_error(&self, error: &ErrorType) -> ErrorType {
        ErrorType(error.0.as_ref().map(|ty| self.spell(ty)))
    }

    /// The type with the spellings and numbers of the configuration.
    fn spell(&self, ty: &Type) -> Type {
        ty.map(&|ty| match ty {
            Type::Record(record) => Type::Record(Arc::new(Record {
                name: record.name.clone(),
                fields: record
                    .fields
                    .iter()
                    .map(|field| self.field(field))
                    .collect(),
            })),
            Type::Variant(variant) => Type::Variant(Arc::new(Variant {
                name: variant.name.clone(),
                cases: variant.cases.iter().map(|case| self.case(case)).collect(),
            })),
            Type::Enum(ty) => Type::Enum(Arc::new(self.enumeration(&ty))),
            Type::Flags(flags) => Type::Flags(Arc::new(Flags {
                name: flags.name.clone(),
                names: flags
                    .names
                    .iter()
                    .map(|name| self.name(&name.wit))
                    .collect(),
            })),
            other => other,
        })
    }

    fn field(&self, field: &Field) -> Field {
        Field {
            name: self.name(&field.name.wit),
            ty: field.ty.clone(),
        }
    }

    fn case(&self, case: &Case) -> Case {
        Case {
            name: self.name(&case.name.wit),
            ty: case.ty.clone(),
        }
    }

    fn enumeration(&self, ty: &Enum) -> Enum {
        let numbers = ty
            .name
            .as_ref()
            .and_then(|name| self.naming.numbers.get(name));
        let cases = ty.cases.iter().enumerate();
        Enum {
            name: ty.name.clone(),
            cases: cases
                .map(|(position, case)| EnumCase {
                    name: self.name(&case.name.wit),
                    number: numbers
                        .and_then(|numbers| numbers.get(position).copied())
                        .unwrap_or(case.number),
                })
                .collect(),
        }
    }
}

/// Splits the result of a function into the value of its answer and its error, if it returns a `result`.
fn split(result: Option<&Type>) -> (Option<Type>, Option<ErrorType>) {
    match result {
        Some(Type::Result(result)) => (result.ok.clone(), Some(ErrorType(result.err.clone()))),
        other => (other.cloned(), None),
    }
}

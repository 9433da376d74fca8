//! The description as text.

use std::fmt;

use super::schema::{form, form_of_arguments};
use super::{DescribedInterface, Description, Role};
use crate::typed::mapping::{ErrorType, Operation, Property, Signal};
use crate::typed::types::{Field, Type};

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interfaces.is_empty() {
            return writeln!(f, "{} has no interfaces of its own", self.name);
        }
        for (index, interface) in self.interfaces.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let (role, id) = (interface.role.word(), &interface.mapping.id);
            writeln!(
                f,
                "{} {role} {id} as {}",
                self.name, interface.mapping.prefix
            )?;
            write_members(f, interface)?;
        }

        Ok(())
    }
}

fn write_members(f: &mut fmt::Formatter<'_>, interface: &DescribedInterface) -> fmt::Result {
    let mapping = &interface.mapping;
    for operation in &mapping.operations {
        write_operation(f, operation)?;
    }
    for property in &mapping.properties {
        write_property(f, property)?;
    }
    for signal in &mapping.signals {
        write_signal(f, signal, interface.role)?;
    }
    Ok(())
}

fn write_operation(f: &mut fmt::Formatter<'_>, operation: &Operation) -> fmt::Result {
    let result = result_type(operation.answer.as_ref(), operation.error.as_ref());
    writeln!(
        f,
        "  operation {}{}{result}",
        operation.name.wit,
        parameters(&operation.parameters)
    )?;

    writeln!(f, "    call    {}", operation.topic)?;
    writeln!(
        f,
        "            {}",
        form_of_arguments(&operation.parameters)
    )?;
    if let Some(answer) = &operation.answer {
        writeln!(f, "    answer  {}", form(answer))?;
    }
    match &operation.error {
        Some(ErrorType(Some(ty))) => writeln!(f, "    error   {}", form(ty)),
        _ => Ok(()),
    }
}

fn write_property(f: &mut fmt::Formatter<'_>, property: &Property) -> fmt::Result {
    writeln!(f, "  property {}: {}", property.name.wit, property.ty.wit())?;
    writeln!(f, "    value   {} (retained)", property.topic)?;
    writeln!(f, "            {}", form(&property.ty))?;
    if property.setter.is_some() {
        writeln!(f, "    set     {}", property.set_topic)?;
    }
    Ok(())
}

fn write_signal(f: &mut fmt::Formatter<'_>, signal: &Signal, role: Role) -> fmt::Result {
    writeln!(
        f,
        "  signal {}{}",
        signal.name.wit,
        parameters(&signal.parameters)
    )?;

    let verb = match role {
        Role::Serves => "emit    ",
        Role::Calls => "receive ",
    };
    writeln!(f, "    {verb}{}", signal.topic)?;
    writeln!(f, "            {}", form_of_arguments(&signal.parameters))
}

fn parameters(parameters: &[Field]) -> String {
    let list: Vec<String> = parameters
        .iter()
        .map(|parameter| format!("{}: {}", parameter.name.wit, parameter.ty.wit()))
        .collect();
    format!("({})", list.join(", "))
}

/// The result as WIT has it, with its arrow.
fn result_type(answer: Option<&Type>, error: Option<&ErrorType>) -> String {
    let ok = answer.map(Type::wit);
    match (ok, error) {
        (None, None) => String::new(),
        (Some(ok), None) => format!(" -> {ok}"),
        (ok, Some(ErrorType(error))) => {
            let error = error.as_ref().map(Type::wit);
            match (ok, error) {
                (None, None) => " -> result".to_owned(),
                (Some(ok), None) => format!(" -> result<{ok}>"),
                (ok, Some(error)) => {
                    format!(" -> result<{}, {error}>", ok.as_deref().unwrap_or("_"))
                }
            }
        }
    }
}

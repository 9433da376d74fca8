//! The check of overrides: each name of the configuration must exist in the interface, because a slip would otherwise go unnoticed.

use std::collections::{BTreeMap, HashSet};

use crate::typed::interface::Interface;
use crate::typed::naming::Naming;
use crate::typed::types::Type;

use super::{MappingError, MappingProblem};

/// Checks that the names of `naming` exist, and that the numbers of enumerations fit.
pub(super) fn check(
    interface: &Interface,
    signals: Option<&Interface>,
    naming: &Naming,
) -> Result<(), MappingError> {
    let unknown = |what: String| {
        let problem = MappingProblem::Unknown(what);
        Err(MappingError::new(&interface.id, problem))
    };
    for operation in &naming.operations {
        if !interface.functions.iter().any(|f| f.name == *operation) {
            return unknown(format!("function {operation}"));
        }
    }

    let known = DeclaredNames::of(interface, signals);
    for name in naming.names.keys() {
        if !known.names.contains(name.as_str()) {
            return unknown(format!("member, field, case or flag {name}"));
        }
    }
    for (name, numbers) in &naming.numbers {
        let Some(cases) = known.enums.get(name.as_str()) else {
            return unknown(format!("enumeration {name}"));
        };
        let differing: HashSet<&i64> = numbers.iter().collect();
        if numbers.len() != *cases || differing.len() != *cases {
            let problem = MappingProblem::Numbers(name.clone(), *cases, numbers.clone());
            return Err(MappingError::new(&interface.id, problem));
        }
    }

    Ok(())
}

/// The names that an interface and its signals have.
#[derive(Default)]
struct DeclaredNames {
    names: HashSet<String>,
    /// Enumerations with the number of their cases.
    enums: BTreeMap<String, usize>,
}

impl DeclaredNames {
    fn of(interface: &Interface, signals: Option<&Interface>) -> Self {
        let mut known = Self::default();
        let functions = [Some(interface), signals].into_iter().flatten();
        for function in functions.flat_map(|interface| &interface.functions) {
            let name = &function.name;
            known.names.insert(name.clone());
            let property = name.strip_prefix("get-");
            known.names.extend(property.map(str::to_owned));
            let parameters = function.parameters.iter().map(|parameter| &parameter.ty);
            for ty in parameters.chain(&function.result) {
                known.add(ty);
            }
        }

        known
    }

    fn add(&mut self, ty: &Type) {
        match ty {
            Type::List(item) | Type::Option(item) => self.add(item),
            Type::Tuple(types) => types.iter().for_each(|ty| self.add(ty)),
            Type::Record(record) => {
                for field in &record.fields {
                    self.names.insert(field.name.wit.clone());
                    self.add(&field.ty);
                }
            }
            Type::Variant(variant) => {
                for case in &variant.cases {
                    self.names.insert(case.name.wit.clone());
                    case.ty.iter().for_each(|ty| self.add(ty));
                }
            }
            Type::Enum(ty) => {
                let cases = ty.cases.iter().map(|case| case.name.wit.clone());
                self.names.extend(cases);
                if let Some(name) = &ty.name {
                    self.enums.insert(name.clone(), ty.cases.len());
                }
            }
            Type::Result(result) => {
                for ty in [&result.ok, &result.err].into_iter().flatten() {
                    self.add(ty);
                }
            }
            Type::Flags(flags) => {
                let names = flags.names.iter().map(|name| name.wit.clone());
                self.names.extend(names);
            }
            _ => {}
        }
    }
}

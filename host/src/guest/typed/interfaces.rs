//! The interfaces of a component, read from its type as wasmtime knows it.
//!
//! wasmtime keeps no names of types. An instance exports its named types, so a type gets the name under which an equal one is
//! exported. Types that are equal and have different names share the first of them; only descriptions show it.

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Type as WasmType};

use crate::guest::peers;
use crate::typed::interface::{
    ComponentInterfaces, Function, Interface, InterfaceId, UnsupportedType,
};
use crate::typed::types::{
    Case, Enum, EnumCase, Field, Flags, Name, Record, ResultType, Type, Variant,
};

/// Namespaces whose interfaces are not for the network.
const RESERVED: [&str; 2] = ["miqro", "wasi"];

/// How deeply types may be nested.
const DEPTH: usize = 32;

/// Whether an import or export of this name is an interface for the network.
pub(in crate::guest) fn is_for_network(name: &str) -> bool {
    network_id(name).is_some()
}

/// The identifier of an interface for the network; `None`: the name is another one. Peers own the packages of their contracts, not
/// the whole of their namespaces.
fn network_id(name: &str) -> Option<InterfaceId> {
    let id = InterfaceId::parse(name).ok()?;
    let is_reserved = RESERVED.contains(&id.namespace()) || peers::is_package(&id.package);
    (!is_reserved).then_some(id)
}

/// Reads the interfaces that the component exports and imports, besides those of `miqro`, `wasi` and the peers.
pub(in crate::guest) fn read(engine: &Engine, component: &Component) -> ComponentInterfaces {
    let ty = component.component_type();
    ComponentInterfaces {
        exports: ty
            .exports(engine)
            .filter_map(|(name, item)| interface(engine, name, &item.ty))
            .collect(),
        imports: ty
            .imports(engine)
            .filter_map(|(name, item)| interface(engine, name, &item.ty))
            .collect(),
    }
}

/// An interface with functions; `None`: the item is something else, or only names types.
fn interface(engine: &Engine, name: &str, item: &ComponentItem) -> Option<Interface> {
    let ComponentItem::ComponentInstance(instance) = item else {
        return None;
    };
    let id = network_id(name)?;
    let names = named_types(engine, instance);
    let mut interface = Interface {
        id,
        functions: Vec::new(),
        unsupported: None,
    };
    for (name, item) in instance.exports(engine) {
        let ComponentItem::ComponentFunc(found) = item.ty else {
            continue;
        };
        match function(&names, name, &found) {
            Ok(function) => interface.functions.push(function),
            Err(unsupported) => {
                interface.unsupported.get_or_insert(unsupported);
            }
        }
    }

    let is_empty = interface.functions.is_empty() && interface.unsupported.is_none();
    (!is_empty).then_some(interface)
}

/// The named types of an interface.
fn named_types(engine: &Engine, instance: &ComponentInstance) -> Vec<(String, WasmType)> {
    let types = instance.exports(engine);
    types
        .filter_map(|(name, item)| match item.ty {
            ComponentItem::Type(ty) => Some((name.to_owned(), ty)),
            _ => None,
        })
        .collect()
}

fn function(
    names: &[(String, WasmType)],
    name: &str,
    found: &ComponentFunc,
) -> Result<Function, UnsupportedType> {
    let unsupported = |place: &str, reason| UnsupportedType {
        place: format!("{name}, {place}"),
        reason,
    };
    let reader = Reader { names };

    let parameters = found.params().map(|(parameter, ty)| {
        Ok(Field {
            name: Name::new(parameter),
            ty: reader
                .read(&ty, 0)
                .map_err(|reason| unsupported(parameter, reason))?,
        })
    });

    let result = found.results().next().map(|ty| {
        reader
            .read(&ty, 0)
            .map_err(|reason| unsupported("result", reason))
    });
    Ok(Function {
        name: name.to_owned(),
        parameters: parameters.collect::<Result<_, _>>()?,
        result: result.transpose()?,
    })
}

struct Reader<'a> {
    names: &'a [(String, WasmType)],
}

impl Reader<'_> {
    /// # Errors
    /// The reason why the type is not supported.
    fn read(&self, ty: &WasmType, depth: usize) -> Result<Type, &'static str> {
        if depth == DEPTH {
            return Err(UnsupportedType::DEEP);
        }
        Ok(match ty {
            WasmType::Bool => Type::Bool,
            WasmType::S8 => Type::S8,
            WasmType::U8 => Type::U8,
            WasmType::S16 => Type::S16,
            WasmType::U16 => Type::U16,
            WasmType::S32 => Type::S32,
            WasmType::U32 => Type::U32,
            WasmType::S64 => Type::S64,
            WasmType::U64 => Type::U64,
            WasmType::Float32 => Type::F32,
            WasmType::Float64 => Type::F64,
            WasmType::Char => Type::Char,
            WasmType::String => Type::String,
            WasmType::Own(_) | WasmType::Borrow(_) => return Err(UnsupportedType::RESOURCE),
            WasmType::Future(_) | WasmType::Stream(_) => return Err(UnsupportedType::STREAM),
            composed => self.read_composed(composed, depth + 1)?,
        })
    }

    /// Reads a type with parts; `depth`: that of the parts.
    fn read_composed(&self, ty: &WasmType, depth: usize) -> Result<Type, &'static str> {
        let read = |ty: &WasmType| self.read(ty, depth);
        let read_optional = |ty: Option<WasmType>| ty.map(|ty| read(&ty)).transpose();

        Ok(match ty {
            WasmType::List(list) => match list.ty() {
                WasmType::U8 => Type::Bytes,
                item => Type::List(Arc::new(read(&item)?)),
            },
            WasmType::Tuple(tuple) => {
                let types: Result<_, _> = tuple.types().map(|ty| read(&ty)).collect();
                Type::Tuple(types?)
            }
            WasmType::Record(record) => {
                let fields = record.fields().map(|field| {
                    let ty = read(&field.ty)?;
                    let name = Name::new(field.name);
                    Ok::<_, &'static str>(Field { name, ty })
                });
                Type::Record(Arc::new(Record {
                    name: self.name(ty),
                    fields: fields.collect::<Result<_, _>>()?,
                }))
            }
            WasmType::Variant(variant) => {
                let cases = variant.cases().map(|case| {
                    let ty = read_optional(case.ty)?;
                    let name = Name::new(case.name);
                    Ok::<_, &'static str>(Case { name, ty })
                });
                Type::Variant(Arc::new(Variant {
                    name: self.name(ty),
                    cases: cases.collect::<Result<_, _>>()?,
                }))
            }
            WasmType::Enum(cases) => Type::Enum(Arc::new(Enum {
                name: self.name(ty),
                cases: enum_cases(cases.names()),
            })),
            WasmType::Option(option) => Type::Option(Arc::new(read(&option.ty())?)),
            WasmType::Result(result) => Type::Result(Arc::new(ResultType {
                ok: read_optional(result.ok())?,
                err: read_optional(result.err())?,
            })),
            WasmType::Flags(flags) => Type::Flags(Arc::new(Flags {
                name: self.name(ty),
                names: flags.names().map(Name::new).collect(),
            })),
            _ => return Err(UnsupportedType::OTHER),
        })
    }

    fn name(&self, ty: &WasmType) -> Option<String> {
        let named = self.names.iter().find(|(_, known)| known == ty);
        named.map(|(name, _)| name.clone())
    }
}

fn enum_cases<'a>(names: impl Iterator<Item = &'a str>) -> Vec<EnumCase> {
    let cases = names.zip(0..);
    cases
        .map(|(name, number)| EnumCase {
            name: Name::new(name),
            number,
        })
        .collect()
}

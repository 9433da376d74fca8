//! Reads a WIT package as a module. Everything that ApiGear has no word for is an error at its place.

use wit_parser::{
    Function, Interface as WitInterface, PackageId, Resolve, Span, Type as WitType, TypeDef,
    TypeDefKind, UnresolvedPackageGroup,
};

use super::module::{
    BaseType, Enum, Field, Interface, Member, Module, Operation, Primitive, Property, Struct, Type,
};
use super::names::{Docs, GET, SET, SIGNALS, Spelling};
use crate::typed::naming;

/// Reasons why a WIT package is not a module.
#[derive(Debug, thiserror::Error)]
pub enum FromWitError {
    /// The text is not WIT.
    #[error("{0}")]
    Syntax(String),
    /// Parts that ApiGear has no word for, each with its place.
    #[error("{}", .0.join("\n"))]
    Unsupported(Vec<String>),
}

impl Module {
    /// Reads the WIT package `text`, which is the content of the file `name`.
    ///
    /// # Errors
    /// When it is not WIT, or has types or functions that ApiGear has no word for; all of them are reported.
    pub fn from_wit(text: &str, name: &str) -> Result<Self, FromWitError> {
        let group = UnresolvedPackageGroup::parse(name, text)
            .map_err(|(map, error)| FromWitError::Syntax(error.render(&map)))?;
        let mut resolve = Resolve::default();
        let package = resolve
            .push_group(group)
            .map_err(|error| FromWitError::Syntax(error.render(&resolve.source_map)))?;

        let mut reader = Reader {
            resolve: &resolve,
            faults: Vec::new(),
        };
        let module = reader.module(package);
        if reader.faults.is_empty() {
            Ok(module)
        } else {
            Err(FromWitError::Unsupported(reader.faults))
        }
    }
}

struct Reader<'a> {
    resolve: &'a Resolve,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn module(&mut self, id: PackageId) -> Module {
        let package = &self.resolve.packages[id];
        let docs = Docs::read(package.docs.contents.as_deref());
        let path = format!("{}:{}", package.name.namespace, package.name.name);
        let version = package.name.version.as_ref();
        let mut module = Module {
            name: docs.name.unwrap_or_else(|| naming::module(&path)),
            version: version.map_or_else(
                || "1.0.0".to_owned(),
                |version| format!("{}.{}.{}", version.major, version.minor, version.patch),
            ),
            description: docs.description,
            ..Module::default()
        };

        let interfaces = &package.interfaces;
        for (name, id) in interfaces {
            let interface = &self.resolve.interfaces[*id];
            self.types(interface, &mut module);
            let is_of_other = name
                .strip_suffix(SIGNALS)
                .is_some_and(|other| interfaces.contains_key(other));
            let is_only_types = !interface.types.is_empty() && interface.functions.is_empty();
            if is_of_other || is_only_types {
                continue;
            }

            let signals = interfaces
                .get(&format!("{name}{SIGNALS}"))
                .map(|id| &self.resolve.interfaces[*id]);
            let interface = self.interface(name, interface, signals);
            module.interfaces.push(interface);
        }

        module
    }

    fn interface(
        &mut self,
        name: &str,
        interface: &WitInterface,
        signals: Option<&WitInterface>,
    ) -> Interface {
        let docs = Docs::read(interface.docs.contents.as_deref());
        let mut read = Interface {
            name: docs.name(name, Spelling::Pascal),
            description: docs.description,
            ..Interface::default()
        };

        for function in interface.functions.values() {
            let docs = Docs::read(function.docs.contents.as_deref());
            if let Some(property) = getter(function).filter(|_| !docs.is_operation) {
                let property = self.property(property, function, interface, docs);
                read.properties.push(property);
            } else if setter(function, interface).is_none() || docs.is_operation {
                let operation = self.operation(function, docs);
                read.operations.push(operation);
            }
        }

        for function in signals
            .into_iter()
            .flat_map(|found| found.functions.values())
        {
            let docs = Docs::read(function.docs.contents.as_deref());
            let signal = self.operation(function, docs);
            if signal.result.is_some() {
                self.fault(function.span, "a signal returns nothing");
            }
            read.signals.push(signal);
        }

        read
    }

    fn property(
        &mut self,
        name: &str,
        getter: &Function,
        interface: &WitInterface,
        docs: Docs,
    ) -> Property {
        let setter = interface.functions.get(&format!("{SET}{name}"));
        let is_writable =
            setter.is_some_and(|function| self::setter(function, interface).is_some());
        let ty = getter.result.as_ref();
        let ty = ty.map(|ty| self.ty(ty, getter.span));
        Property {
            field: Field {
                name: docs.name(name, Spelling::Camel),
                description: docs.description,
                ty: ty.unwrap_or_else(Type::placeholder),
            },
            readonly: !is_writable,
        }
    }

    fn operation(&mut self, function: &Function, docs: Docs) -> Operation {
        if function.kind.is_async() {
            self.fault(
                function.span,
                "an async function has no word in ApiGear; leave out async",
            );
        }

        let params = function.params.iter();
        let params = params
            .map(|param| Field {
                name: docs.parameter(&param.name),
                description: None,
                ty: self.ty(&param.ty, param.span),
            })
            .collect();

        let result = function.result.as_ref();
        let result = result.map(|ty| self.ty(ty, function.span));

        Operation {
            name: docs.name(&function.name, Spelling::Camel),
            description: docs.description,
            params,
            result,
        }
    }

    /// Adds the types that `interface` declares.
    fn types(&mut self, interface: &WitInterface, module: &mut Module) {
        for (name, id) in &interface.types {
            let declared = &self.resolve.types[*id];
            let docs = Docs::read(declared.docs.contents.as_deref());
            let given = docs.name(name, Spelling::Pascal);
            match &declared.kind {
                TypeDefKind::Record(record) => {
                    let fields = record.fields.iter();
                    let fields = fields
                        .map(|field| {
                            let docs = Docs::read(field.docs.contents.as_deref());
                            Field {
                                name: docs.name(&field.name, Spelling::Camel),
                                description: docs.description,
                                ty: self.ty(&field.ty, field.span),
                            }
                        })
                        .collect();

                    module.structs.push(Struct {
                        name: given,
                        description: docs.description,
                        fields,
                    });
                }
                TypeDefKind::Enum(_) => module.enums.push(read_enum(given, declared, docs)),
                // the type that it stands for counts, at each place where it is used
                TypeDefKind::Type(_) => {}
                other => self.fault(
                    declared.span,
                    &format!("a {} has no type in ApiGear", other.as_str()),
                ),
            }
        }
    }

    fn ty(&mut self, ty: &WitType, span: Span) -> Type {
        let primitive = |primitive| Type {
            base: BaseType::Primitive(primitive),
            array: false,
        };
        match ty {
            WitType::Bool => primitive(Primitive::Bool),
            WitType::S32 => primitive(Primitive::Int),
            WitType::S64 => primitive(Primitive::Int64),
            WitType::F32 => primitive(Primitive::Float),
            WitType::F64 => primitive(Primitive::Float64),
            WitType::String => primitive(Primitive::String),
            WitType::Id(id) => self.named(&self.resolve.types[*id], span),
            other => {
                let name = format!("{other:?}").to_lowercase();
                self.fault(
                    span,
                    &format!("{name} has no type in ApiGear; {}", advice(other)),
                );
                Type::placeholder()
            }
        }
    }

    fn named(&mut self, declared: &TypeDef, span: Span) -> Type {
        match &declared.kind {
            TypeDefKind::Type(other) => self.ty(other, span),
            TypeDefKind::List(WitType::U8) => Type {
                base: BaseType::Primitive(Primitive::Bytes),
                array: false,
            },
            TypeDefKind::List(item) => {
                let item = self.ty(item, span);
                if item.array {
                    self.fault(
                        span,
                        "a list of lists has no type in ApiGear; put the inner one into a record",
                    );
                }

                Type {
                    array: true,
                    ..item
                }
            }
            TypeDefKind::Record(_) | TypeDefKind::Enum(_) => {
                let docs = Docs::read(declared.docs.contents.as_deref());
                let name = declared.name.as_deref().unwrap_or_default();
                Type {
                    base: BaseType::Named(docs.name(name, Spelling::Pascal)),
                    array: false,
                }
            }
            other => {
                self.fault(
                    span,
                    &format!("a {} has no type in ApiGear", other.as_str()),
                );
                Type::placeholder()
            }
        }
    }

    fn fault(&mut self, span: Span, reason: &str) {
        let place = self.resolve.render_location(span);
        let fault = format!("{place}: {reason}");
        // a type that is declared once may be used often
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

fn read_enum(name: String, declared: &TypeDef, docs: Docs) -> Enum {
    let cases = match &declared.kind {
        TypeDefKind::Enum(found) => found.cases.as_slice(),
        _ => &[],
    };
    let members = (0_u32..).zip(cases).map(|(position, case)| {
        let docs = Docs::read(case.docs.contents.as_deref());
        Member {
            name: docs.name(&case.name, Spelling::Pascal),
            value: docs.number.unwrap_or(position),
            description: docs.description,
        }
    });

    Enum {
        name,
        description: docs.description,
        members: members.collect(),
    }
}

/// The property of which `function` is the getter.
fn getter(function: &Function) -> Option<&str> {
    let name = function.name.strip_prefix(GET)?;
    (function.params.is_empty() && function.result.is_some()).then_some(name)
}

/// The property of which `function` is the setter: it takes the value that the getter returns.
fn setter<'f>(function: &'f Function, interface: &WitInterface) -> Option<&'f str> {
    let name = function.name.strip_prefix(SET)?;
    let getter = interface.functions.get(&format!("{GET}{name}"))?;
    self::getter(getter)?;
    let [param] = function.params.as_slice() else {
        return None;
    };
    (function.result.is_none() && getter.result == Some(param.ty)).then_some(name)
}

/// A type to use instead.
fn advice(ty: &WitType) -> &'static str {
    match ty {
        WitType::U8 | WitType::U16 | WitType::S8 | WitType::S16 => "use s32",
        WitType::U32 | WitType::U64 => "use s64",
        WitType::Char => "use string",
        _ => "use another one",
    }
}

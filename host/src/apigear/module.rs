//! An ApiGear module as data.

/// A module: interfaces, and the types that they use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Module {
    /// The name, with dots between its words.
    pub name: String,
    /// Three numbers with dots in between.
    pub version: String,
    pub(super) description: Option<String>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) enums: Vec<Enum>,
    pub(super) structs: Vec<Struct>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) properties: Vec<Property>,
    pub(super) operations: Vec<Operation>,
    pub(super) signals: Vec<Operation>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) field: Field,
    pub(super) readonly: bool,
}

/// An operation; or a signal, which has no result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) params: Vec<Field>,
    pub(super) result: Option<Type>,
}

/// A name with a type: a parameter, a field of a structure, or a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) ty: Type,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Struct {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Enum {
    pub(super) name: String,
    pub(super) description: Option<String>,
    /// In the order of their values.
    pub(super) members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) description: Option<String>,
    /// The number on the wire.
    pub(super) value: u32,
}

/// A type, or an array of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) base: BaseType,
    pub(super) array: bool,
}

impl Type {
    /// A type in place of one that could not be read.
    pub(super) fn placeholder() -> Self {
        Self {
            base: BaseType::Primitive(Primitive::Bool),
            array: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BaseType {
    Primitive(Primitive),
    /// A structure or an enumeration of the module.
    Named(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Primitive {
    Bool,
    Int,
    Int64,
    Float,
    Float64,
    String,
    Bytes,
}

impl Primitive {
    /// Every type with its names in ApiGear, the usual one first, and its type in WIT.
    pub(super) const ALL: [(Self, &'static [&'static str], &'static str); 7] = [
        (Self::Bool, &["bool"], "bool"),
        (Self::Int, &["int", "int32"], "s32"),
        (Self::Int64, &["int64"], "s64"),
        (Self::Float, &["float", "float32"], "f32"),
        (Self::Float64, &["float64"], "f64"),
        (Self::String, &["string"], "string"),
        (Self::Bytes, &["bytes"], "list<u8>"),
    ];

    /// The type with this name in ApiGear.
    pub(super) fn of(name: &str) -> Option<Self> {
        let found = Self::ALL
            .iter()
            .find(|(_, names, _)| names.contains(&name))?;
        Some(found.0)
    }

    /// The name in ApiGear.
    pub(super) fn name(self) -> &'static str {
        self.row().1[0]
    }

    /// The type in WIT.
    pub(super) fn wit(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (Self, &'static [&'static str], &'static str) {
        // the order of `ALL` is that of the variants
        Self::ALL[self as usize]
    }
}

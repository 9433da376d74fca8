//! The types of values: those of WIT without resources, with the spelling of each name on the wire.

use std::sync::Arc;

use super::naming;

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// `bool`.
    Bool,
    /// `s8`.
    S8,
    /// `u8`.
    U8,
    /// `s16`.
    S16,
    /// `u16`.
    U16,
    /// `s32`.
    S32,
    /// `u32`.
    U32,
    /// `s64`.
    S64,
    /// `u64`.
    U64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `char`.
    Char,
    /// `string`.
    String,
    /// `list<u8>`.
    Bytes,
    /// Any other list, with the type of its items.
    List(Arc<Type>),
    /// `tuple`.
    Tuple(Arc<[Type]>),
    /// `record`.
    Record(Arc<Record>),
    /// `variant`.
    Variant(Arc<Variant>),
    /// `enum`.
    Enum(Arc<Enum>),
    /// `option`.
    Option(Arc<Type>),
    /// `result`.
    Result(Arc<ResultType>),
    /// `flags`.
    Flags(Arc<Flags>),
}

/// A name in WIT, and its spelling on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// The name in WIT, in kebab case.
    pub wit: String,
    /// The spelling on the wire.
    pub wire: String,
}

impl Name {
    /// A name that is spelled by the rule: see [`naming::lower_camel`].
    pub fn new(wit: impl Into<String>) -> Self {
        let wit = wit.into();
        Self {
            wire: naming::lower_camel(&wit),
            wit,
        }
    }

    /// Whether `text` is one of its spellings.
    pub fn is(&self, text: &str) -> bool {
        self.wire == text || self.wit == text
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name in WIT, if it is known.
    pub name: Option<String>,
    /// The fields in the order of their declaration.
    pub fields: Vec<Field>,
}

/// A field of a record, or a parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: Name,
    /// The type of the value.
    pub ty: Type,
}

/// A variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The name in WIT, if it is known.
    pub name: Option<String>,
    /// The cases in the order of their declaration.
    pub cases: Vec<Case>,
}

/// A case of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The name.
    pub name: Name,
    /// The type of its value, if it has one.
    pub ty: Option<Type>,
}

/// An enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enum {
    /// The name in WIT, if it is known.
    pub name: Option<String>,
    /// The cases in the order of their declaration.
    pub cases: Vec<EnumCase>,
}

/// A case of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumCase {
    /// The name.
    pub name: Name,
    /// The number on the wire: the position from 0, unless the configuration has another.
    pub number: i64,
}

/// The types of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultType {
    /// The type of the value of `ok`, if it has one.
    pub ok: Option<Type>,
    /// The type of the value of `err`, if it has one.
    pub err: Option<Type>,
}

/// Flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// The name in WIT, if it is known.
    pub name: Option<String>,
    /// The flags in the order of their declaration.
    pub names: Vec<Name>,
}

impl Type {
    /// The type in the notation of WIT: the name of a named type, else its kind with its parts.
    pub fn wit(&self) -> String {
        let named = |name: &Option<String>, kind: &str| name.clone().unwrap_or(kind.to_owned());
        match self {
            Self::Bool => "bool".to_owned(),
            Self::S8 => "s8".to_owned(),
            Self::U8 => "u8".to_owned(),
            Self::S16 => "s16".to_owned(),
            Self::U16 => "u16".to_owned(),
            Self::S32 => "s32".to_owned(),
            Self::U32 => "u32".to_owned(),
            Self::S64 => "s64".to_owned(),
            Self::U64 => "u64".to_owned(),
            Self::F32 => "f32".to_owned(),
            Self::F64 => "f64".to_owned(),
            Self::Char => "char".to_owned(),
            Self::String => "string".to_owned(),
            Self::Bytes => "list<u8>".to_owned(),
            Self::List(item) => format!("list<{}>", item.wit()),
            Self::Tuple(types) => {
                let types: Vec<String> = types.iter().map(Self::wit).collect();
                format!("tuple<{}>", types.join(", "))
            }
            Self::Record(record) => named(&record.name, "record"),
            Self::Variant(variant) => named(&variant.name, "variant"),
            Self::Enum(ty) => named(&ty.name, "enum"),
            Self::Option(inner) => format!("option<{}>", inner.wit()),
            Self::Result(result) => result.wit(),
            Self::Flags(flags) => named(&flags.name, "flags"),
        }
    }

    /// Whether a value of this type can be `null` on the wire.
    pub fn is_nullable(&self) -> bool {
        matches!(self, Self::Option(_))
    }

    /// The type with every part changed by `change`, innermost parts first.
    pub(super) fn map(&self, change: &impl Fn(Self) -> Self) -> Self {
        let changed = match self {
            Self::List(item) => Self::List(Arc::new(item.map(change))),
            Self::Tuple(types) => Self::Tuple(types.iter().map(|ty| ty.map(change)).collect()),
            Self::Record(record) => Self::Record(Arc::new(Record {
                name: record.name.clone(),
                fields: record
                    .fields
                    .iter()
                    .map(|field| Field {
                        name: field.name.clone(),
                        ty: field.ty.map(change),
                    })
                    .collect(),
            })),
            Self::Variant(variant) => Self::Variant(Arc::new(Variant {
                name: variant.name.clone(),
                cases: variant
                    .cases
                    .iter()
                    .map(|case| Case {
                        name: case.name.clone(),
                        ty: case.ty.as_ref().map(|ty| ty.map(change)),
                    })
                    .collect(),
            })),
            Self::Option(inner) => Self::Option(Arc::new(inner.map(change))),
            Self::Result(result) => Self::Result(Arc::new(ResultType {
                ok: result.ok.as_ref().map(|ty| ty.map(change)),
                err: result.err.as_ref().map(|ty| ty.map(change)),
            })),
            simple => simple.clone(),
        };

        change(changed)
    }
}

impl ResultType {
    fn wit(&self) -> String {
        match (&self.ok, &self.err) {
            (None, None) => "result".to_owned(),
            (Some(ok), None) => format!("result<{}>", ok.wit()),
            (None, Some(err)) => format!("result<_, {}>", err.wit()),
            (Some(ok), Some(err)) => format!("result<{}, {}>", ok.wit(), err.wit()),
        }
    }
}

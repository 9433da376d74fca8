//! Conversion of values between wasmtime's form, which has names, and that of [`crate::typed`], which has positions.
//!
//! wasmtime's dynamic form of a `list<u8>` is a list of values; it has no form with bytes. See [`super::form`].

use wasmtime::component::Val;

use crate::typed::types::{Field, Name, Type};
use crate::typed::value::Value;

/// A value of another type than the function has. Both come from the same component, so this is a bug of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value is not of the type that the component declares")]
pub(in crate::guest) struct TypeMismatch;

/// The outcome of a function: its value, or the value of its error.
pub(super) type Returned = Result<Option<Value>, Option<Value>>;

/// Memory that wasmtime counts for one value, in bytes.
pub(in crate::guest) const VALUE_BYTES: usize = size_of::<Val>();

/// A value for wasmtime.
pub(in crate::guest) fn into_val(ty: &Type, value: Value) -> Result<Val, TypeMismatch> {
    let optional = |ty: &Option<Type>, value: Option<Box<Value>>| match (ty, value) {
        (Some(ty), Some(value)) => Ok(Some(Box::new(into_val(ty, *value)?))),
        (None, None) => Ok(None),
        _ => Err(TypeMismatch),
    };

    Ok(match (ty, value) {
        (Type::Bool, Value::Bool(value)) => Val::Bool(value),
        (_, Value::Signed(value)) => signed(ty, value)?,
        (_, Value::Unsigned(value)) => unsigned(ty, value)?,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it was rounded when it was read"
        )]
        (Type::F32, Value::Float(value)) => Val::Float32(value as f32),
        (Type::F64, Value::Float(value)) => Val::Float64(value),
        (Type::Char, Value::Char(value)) => Val::Char(value),
        (Type::String, Value::String(value)) => Val::String(value),
        (Type::Bytes, Value::Bytes(bytes)) => Val::List(bytes.into_iter().map(Val::U8).collect()),
        (Type::List(item), Value::List(values)) => {
            let values = values.into_iter().map(|value| into_val(item, value));
            Val::List(values.collect::<Result<_, _>>()?)
        }
        (Type::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
            let values = types.iter().zip(values);
            let values = values.map(|(ty, value)| into_val(ty, value));
            Val::Tuple(values.collect::<Result<_, _>>()?)
        }
        (Type::Record(record), Value::Tuple(values)) if record.fields.len() == values.len() => {
            let fields = record.fields.iter().zip(values);
            let fields = fields
                .map(|(field, value)| Ok((field.name.wit.clone(), into_val(&field.ty, value)?)));
            Val::Record(fields.collect::<Result<_, _>>()?)
        }
        (Type::Variant(variant), Value::Variant(case, value)) => {
            let case = variant.cases.get(case).ok_or(TypeMismatch)?;
            Val::Variant(case.name.wit.clone(), optional(&case.ty, value)?)
        }
        (Type::Enum(ty), Value::Enum(case)) => {
            let case = ty.cases.get(case).ok_or(TypeMismatch)?;
            Val::Enum(case.name.wit.clone())
        }
        (Type::Option(_), Value::Option(None)) => Val::Option(None),
        (Type::Option(inner), Value::Option(Some(value))) => {
            Val::Option(Some(Box::new(into_val(inner, *value)?)))
        }
        (Type::Result(ty), Value::Result(Ok(value))) => Val::Result(Ok(optional(&ty.ok, value)?)),
        (Type::Result(ty), Value::Result(Err(value))) => {
            Val::Result(Err(optional(&ty.err, value)?))
        }
        (Type::Flags(flags), Value::Flags(set)) => {
            let names = set.into_iter().map(|position| {
                let name = flags.names.get(position).ok_or(TypeMismatch)?;
                Ok(name.wit.clone())
            });
            Val::Flags(names.collect::<Result<_, _>>()?)
        }
        _ => return Err(TypeMismatch),
    })
}

fn signed(ty: &Type, value: i64) -> Result<Val, TypeMismatch> {
    let val = match ty {
        Type::S8 => value.try_into().map(Val::S8),
        Type::S16 => value.try_into().map(Val::S16),
        Type::S32 => value.try_into().map(Val::S32),
        Type::S64 => return Ok(Val::S64(value)),
        _ => return Err(TypeMismatch),
    };

    val.map_err(|_| TypeMismatch)
}

fn unsigned(ty: &Type, value: u64) -> Result<Val, TypeMismatch> {
    let val = match ty {
        Type::U8 => value.try_into().map(Val::U8),
        Type::U16 => value.try_into().map(Val::U16),
        Type::U32 => value.try_into().map(Val::U32),
        Type::U64 => return Ok(Val::U64(value)),
        _ => return Err(TypeMismatch),
    };

    val.map_err(|_| TypeMismatch)
}

/// A value from wasmtime.
pub(in crate::guest) fn from_val(ty: &Type, val: &Val) -> Result<Value, TypeMismatch> {
    let optional = |ty: &Option<Type>, val: &Option<Box<Val>>| match (ty, val) {
        (Some(ty), Some(val)) => Ok(Some(Box::new(from_val(ty, val)?))),
        (None, None) => Ok(None),
        _ => Err(TypeMismatch),
    };

    Ok(match (ty, val) {
        (Type::Bool, Val::Bool(value)) => Value::Bool(*value),
        (Type::S8, Val::S8(value)) => Value::Signed((*value).into()),
        (Type::S16, Val::S16(value)) => Value::Signed((*value).into()),
        (Type::S32, Val::S32(value)) => Value::Signed((*value).into()),
        (Type::S64, Val::S64(value)) => Value::Signed(*value),
        (Type::U8, Val::U8(value)) => Value::Unsigned((*value).into()),
        (Type::U16, Val::U16(value)) => Value::Unsigned((*value).into()),
        (Type::U32, Val::U32(value)) => Value::Unsigned((*value).into()),
        (Type::U64, Val::U64(value)) => Value::Unsigned(*value),
        (Type::F32, Val::Float32(value)) => Value::Float((*value).into()),
        (Type::F64, Val::Float64(value)) => Value::Float(*value),
        (Type::Char, Val::Char(value)) => Value::Char(*value),
        (Type::String, Val::String(value)) => Value::String(value.clone()),
        (Type::Bytes, Val::List(vals)) => {
            let bytes = vals.iter().map(|val| match val {
                Val::U8(byte) => Ok(*byte),
                _ => Err(TypeMismatch),
            });
            Value::Bytes(bytes.collect::<Result<_, _>>()?)
        }
        (Type::List(item), Val::List(vals)) => {
            let values = vals.iter().map(|val| from_val(item, val));
            Value::List(values.collect::<Result<_, _>>()?)
        }
        (Type::Tuple(types), Val::Tuple(vals)) if types.len() == vals.len() => {
            let values = types.iter().zip(vals);
            let values = values.map(|(ty, val)| from_val(ty, val));
            Value::Tuple(values.collect::<Result<_, _>>()?)
        }
        (Type::Record(record), Val::Record(vals)) => fields(&record.fields, vals)?,
        (Type::Variant(variant), Val::Variant(name, val)) => {
            let names = variant.cases.iter().map(|case| &case.name);
            let position = position(names, name)?;
            let value = optional(&variant.cases[position].ty, val)?;
            Value::Variant(position, value)
        }
        (Type::Enum(ty), Val::Enum(name)) => {
            let names = ty.cases.iter().map(|case| &case.name);
            Value::Enum(position(names, name)?)
        }
        (Type::Option(_), Val::Option(None)) => Value::Option(None),
        (Type::Option(inner), Val::Option(Some(val))) => {
            Value::Option(Some(Box::new(from_val(inner, val)?)))
        }
        (Type::Result(ty), Val::Result(Ok(val))) => Value::Result(Ok(optional(&ty.ok, val)?)),
        (Type::Result(ty), Val::Result(Err(val))) => Value::Result(Err(optional(&ty.err, val)?)),
        (Type::Flags(flags), Val::Flags(names)) => {
            let set = names.iter().map(|name| position(flags.names.iter(), name));
            let mut set = set.collect::<Result<Vec<_>, _>>()?;
            set.sort_unstable();
            Value::Flags(set)
        }
        _ => return Err(TypeMismatch),
    })
}

/// wasmtime returns the fields in the order of their declaration.
fn fields(fields: &[Field], vals: &[(String, Val)]) -> Result<Value, TypeMismatch> {
    if fields.len() != vals.len() {
        return Err(TypeMismatch);
    }
    let values = fields.iter().zip(vals);
    let values = values.map(|(field, (name, val))| {
        if field.name.wit == *name {
            from_val(&field.ty, val)
        } else {
            Err(TypeMismatch)
        }
    });

    Ok(Value::Tuple(values.collect::<Result<_, _>>()?))
}

fn position<'a>(
    mut names: impl Iterator<Item = &'a Name>,
    wanted: &str,
) -> Result<usize, TypeMismatch> {
    names
        .position(|name| name.wit == wanted)
        .ok_or(TypeMismatch)
}

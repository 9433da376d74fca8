//! Writing: from values to JSON.

use std::fmt::Display;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::typed::types::{Field, Type, Variant};
use crate::typed::value::Value;

use super::{JsonError, Limits};

pub(super) fn value(ty: &Type, value: &Value, limits: Limits) -> Result<Vec<u8>, JsonError> {
    let mut writer = Writer::new(limits);
    writer.value(ty, value)?;
    writer.finish()
}

pub(super) fn arguments(
    parameters: &[Field],
    values: &[Value],
    limits: Limits,
) -> Result<Vec<u8>, JsonError> {
    let mut writer = Writer::new(limits);
    let parameters = parameters.iter().map(|parameter| &parameter.ty);
    writer.items(parameters, values)?;
    writer.finish()
}

struct Writer {
    out: Vec<u8>,
    path: String,
    /// Values that may still follow.
    left: usize,
    limits: Limits,
}

impl Writer {
    fn new(limits: Limits) -> Self {
        Self {
            out: Vec::new(),
            path: String::new(),
            left: limits.values,
            limits,
        }
    }

    fn finish(self) -> Result<Vec<u8>, JsonError> {
        self.check_size()?;
        Ok(self.out)
    }

    fn check_size(&self) -> Result<(), JsonError> {
        if self.out.len() > self.limits.bytes {
            return Err(JsonError::TooLarge {
                most: self.limits.bytes,
                unit: "bytes",
            });
        }

        Ok(())
    }

    fn value(&mut self, ty: &Type, value: &Value) -> Result<(), JsonError> {
        self.left = self.left.checked_sub(1).ok_or(JsonError::TooLarge {
            most: self.limits.values,
            unit: "values",
        })?;
        self.check_size()?;

        match (ty, value) {
            (Type::Bool, Value::Bool(value)) => self.show(value),
            (Type::S8 | Type::S16 | Type::S32 | Type::S64, Value::Signed(value)) => {
                self.show(value)
            }
            (Type::U8 | Type::U16 | Type::U32 | Type::U64, Value::Unsigned(value)) => {
                self.show(value);
            }
            (Type::F32 | Type::F64, Value::Float(value)) => self.float(ty, *value)?,
            (Type::Char, Value::Char(value)) => self.text(value.encode_utf8(&mut [0; 4])),
            (Type::String, Value::String(value)) => self.text(value),
            (Type::Bytes, Value::Bytes(value)) => self.text(&STANDARD.encode(value)),
            (Type::List(item), Value::List(values)) => {
                self.items(values.iter().map(|_| &**item), values)?;
            }
            (Type::Tuple(types), Value::Tuple(values)) => self.items(types.iter(), values)?,
            (Type::Record(record), Value::Tuple(values)) => self.record(&record.fields, values)?,
            (Type::Variant(variant), Value::Variant(case, value)) => {
                self.variant(variant, *case, value.as_deref())?;
            }
            (Type::Enum(ty), Value::Enum(case)) => {
                let case = ty.cases.get(*case).ok_or_else(|| self.other(value))?;
                self.show(case.number);
            }
            (Type::Option(_), Value::Option(None)) => self.raw("null"),
            (Type::Option(inner), Value::Option(Some(value))) if inner.is_nullable() => {
                self.member("some", Some(inner), Some(value))?;
            }
            (Type::Option(inner), Value::Option(Some(value))) => self.value(inner, value)?,
            (Type::Result(ty), Value::Result(Ok(value))) => {
                self.member("ok", ty.ok.as_ref(), value.as_deref())?;
            }
            (Type::Result(ty), Value::Result(Err(value))) => {
                self.member("err", ty.err.as_ref(), value.as_deref())?;
            }
            (Type::Flags(flags), Value::Flags(set)) => {
                self.raw("[");
                for (index, flag) in set.iter().enumerate() {
                    let name = flags.names.get(*flag).ok_or_else(|| self.other(value))?;
                    self.separate(index);
                    self.text(&name.wire);
                }
                self.raw("]");
            }
            _ => return Err(self.other(value)),
        }

        Ok(())
    }

    fn items<'t>(
        &mut self,
        types: impl ExactSizeIterator<Item = &'t Type>,
        values: &[Value],
    ) -> Result<(), JsonError> {
        if types.len() != values.len() {
            let (expected, found) = (types.len(), values.len());
            let expected = format!("{expected} values");
            return Err(JsonError::mismatch(&self.path, expected, found.to_string()));
        }

        self.raw("[");
        for (index, (ty, value)) in types.zip(values).enumerate() {
            self.separate(index);
            let outer = self.enter(&format!("[{index}]"));
            self.value(ty, value)?;
            self.path.truncate(outer);
        }

        self.raw("]");
        Ok(())
    }

    fn record(&mut self, fields: &[Field], values: &[Value]) -> Result<(), JsonError> {
        if fields.len() != values.len() {
            let (expected, found) = (fields.len(), values.len());
            let expected = format!("{expected} fields");
            return Err(JsonError::mismatch(&self.path, expected, found.to_string()));
        }

        self.raw("{");
        for (index, (field, value)) in fields.iter().zip(values).enumerate() {
            self.separate(index);
            self.text(&field.name.wire);
            self.raw(": ");
            let outer = self.enter(&field.name.wire);
            self.value(&field.ty, value)?;
            self.path.truncate(outer);
        }

        self.raw("}");
        Ok(())
    }

    fn variant(
        &mut self,
        variant: &Variant,
        case: usize,
        value: Option<&Value>,
    ) -> Result<(), JsonError> {
        let Some(case) = variant.cases.get(case) else {
            return Err(JsonError::mismatch(&self.path, "a case", case.to_string()));
        };
        if case.ty.is_some() {
            return self.member(&case.name.wire, case.ty.as_ref(), value);
        }
        self.text(&case.name.wire);
        Ok(())
    }

    /// An object with one member; without a type its value is `null`.
    fn member(
        &mut self,
        name: &str,
        ty: Option<&Type>,
        value: Option<&Value>,
    ) -> Result<(), JsonError> {
        self.raw("{");
        self.text(name);
        self.raw(": ");
        let outer = self.enter(name);
        match (ty, value) {
            (Some(ty), Some(value)) => self.value(ty, value)?,
            (None, None) => self.raw("null"),
            _ => return Err(JsonError::mismatch(&self.path, "a value", "none")),
        }
        self.path.truncate(outer);
        self.raw("}");
        Ok(())
    }

    /// A 32-bit number gets as many digits as it needs, and not those of the 64-bit number next to it.
    fn float(&mut self, ty: &Type, value: f64) -> Result<(), JsonError> {
        if !value.is_finite() {
            return Err(JsonError::mismatch(
                &self.path,
                "a finite number",
                value.to_string(),
            ));
        }

        let written = if *ty == Type::F32 {
            #[expect(clippy::cast_possible_truncation, reason = "it was a 32-bit number")]
            serde_json::to_writer(&mut self.out, &(value as f32))
        } else {
            serde_json::to_writer(&mut self.out, &value)
        };

        written.map_err(|error| JsonError::Syntax(error.to_string()))
    }

    fn text(&mut self, text: &str) {
        // writing into memory cannot fail
        let _ = serde_json::to_writer(&mut self.out, text);
    }

    fn show(&mut self, value: impl Display) {
        // writing into memory cannot fail
        let _ = write!(self.out, "{value}");
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.raw(", ");
        }
    }

    /// Adds a step to the path; returns the length to which it goes back.
    fn enter(&mut self, step: &str) -> usize {
        let outer = self.path.len();
        if outer > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        outer
    }

    fn other(&self, value: &Value) -> JsonError {
        JsonError::mismatch(&self.path, "a value of the type", format!("{value:?}"))
    }
}

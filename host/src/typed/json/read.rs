//! Reading: from JSON to values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use crate::typed::types::{Enum, Field, Flags, Name, ResultType, Type, Variant};
use crate::typed::value::Value;

use super::{JsonError, Limits};

/// The largest integer up to which a 64-bit float has every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Characters of a text that an error shows.
const SHOWN: usize = 32;

pub(super) fn value(ty: &Type, text: &[u8], limits: Limits) -> Result<Value, JsonError> {
    let json = parse(text, limits)?;

    Reader::new(limits).value(ty, json)
}

pub(super) fn arguments(
    parameters: &[Field],
    text: &[u8],
    limits: Limits,
) -> Result<Vec<Value>, JsonError> {
    let json = if text.is_empty() {
        Json::Array(Vec::new())
    } else {
        parse(text, limits)?
    };

    let expected = || format!("an array of {} arguments", parameters.len());
    let items = match json {
        Json::Array(items) if items.len() == parameters.len() => items,
        other => return Err(JsonError::mismatch("", expected(), kind(&other))),
    };
    let mut reader = Reader::new(limits);
    let read = |(parameter, item): (&Field, Json)| {
        reader.within(&parameter.name.wire, |reader| {
            reader.value(&parameter.ty, item)
        })
    };
    parameters.iter().zip(items).map(read).collect()
}

fn parse(text: &[u8], limits: Limits) -> Result<Json, JsonError> {
    if text.len() > limits.bytes {
        return Err(JsonError::TooLarge {
            most: limits.bytes,
            unit: "bytes",
        });
    }

    serde_json::from_slice(text).map_err(|error| JsonError::Syntax(error.to_string()))
}

struct Reader {
    path: String,
    /// Values that may still follow.
    left: usize,
    limits: Limits,
}

impl Reader {
    fn new(limits: Limits) -> Self {
        Self {
            path: String::new(),
            left: limits.values,
            limits,
        }
    }

    fn value(&mut self, ty: &Type, json: Json) -> Result<Value, JsonError> {
        self.left = self.left.checked_sub(1).ok_or(JsonError::TooLarge {
            most: self.limits.values,
            unit: "values",
        })?;

        match ty {
            Type::Bool => match json {
                Json::Bool(value) => Ok(Value::Bool(value)),
                other => Err(self.expected("true or false", &other)),
            },
            Type::S8 => self.signed(&json, i8::MIN.into(), i8::MAX.into()),
            Type::S16 => self.signed(&json, i16::MIN.into(), i16::MAX.into()),
            Type::S32 => self.signed(&json, i32::MIN.into(), i32::MAX.into()),
            Type::S64 => self.signed(&json, i64::MIN, i64::MAX),
            Type::U8 => self.unsigned(&json, u8::MAX.into()),
            Type::U16 => self.unsigned(&json, u16::MAX.into()),
            Type::U32 => self.unsigned(&json, u32::MAX.into()),
            Type::U64 => self.unsigned(&json, u64::MAX),
            Type::F32 => self.single(&json),
            Type::F64 => match json.as_f64() {
                Some(number) => Ok(Value::Float(number)),
                None => Err(self.expected("a number", &json)),
            },
            Type::Char => self.character(&json),
            Type::String => match json {
                Json::String(text) => Ok(Value::String(text)),
                other => Err(self.expected("text", &other)),
            },
            Type::Bytes => self.bytes(&json),
            Type::List(item) => {
                let items = self.items(json, "an array")?;
                let read = |(index, json)| {
                    self.within(&format!("[{index}]"), |reader| reader.value(item, json))
                };
                let items: Result<_, _> = items.into_iter().enumerate().map(read).collect();
                Ok(Value::List(items?))
            }
            Type::Tuple(types) => self.tuple(types, json),
            Type::Record(record) => self.record(&record.fields, json),
            Type::Variant(variant) => self.variant(variant, json),
            Type::Enum(ty) => self.enumeration(ty, &json),
            Type::Option(inner) => self.option(inner, json),
            Type::Result(ty) => self.result(ty, json),
            Type::Flags(flags) => self.flags(flags, json),
        }
    }

    fn signed(&self, json: &Json, least: i64, most: i64) -> Result<Value, JsonError> {
        let number = integer(json)
            .and_then(|number| i64::try_from(number).ok())
            .filter(|number| (least..=most).contains(number));
        let expected = || format!("a whole number from {least} to {most}");
        number
            .map(Value::Signed)
            .ok_or_else(|| self.expected(expected(), json))
    }

    fn unsigned(&self, json: &Json, most: u64) -> Result<Value, JsonError> {
        let number = integer(json)
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| *number <= most);
        let expected = || format!("a whole number from 0 to {most}");
        number
            .map(Value::Unsigned)
            .ok_or_else(|| self.expected(expected(), json))
    }

    /// A number of 32 bits: the nearest one.
    fn single(&self, json: &Json) -> Result<Value, JsonError> {
        #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest")]
        let number = json.as_f64().map(|number| number as f32);
        let number = number.filter(|number| number.is_finite());
        number
            .map(|number| Value::Float(number.into()))
            .ok_or_else(|| self.expected("a number of 32 bits", json))
    }

    fn character(&self, json: &Json) -> Result<Value, JsonError> {
        let mut characters = json.as_str().unwrap_or_default().chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(Value::Char(character)),
            _ => Err(self.expected("text of one character", json)),
        }
    }

    fn bytes(&self, json: &Json) -> Result<Value, JsonError> {
        let bytes = json.as_str().and_then(|text| STANDARD.decode(text).ok());
        bytes
            .map(Value::Bytes)
            .ok_or_else(|| self.expected("text in base64", json))
    }

    fn items(&self, json: Json, expected: &str) -> Result<Vec<Json>, JsonError> {
        match json {
            Json::Array(items) => Ok(items),
            other => Err(self.expected(expected, &other)),
        }
    }

    fn tuple(&mut self, types: &[Type], json: Json) -> Result<Value, JsonError> {
        let expected = format!("an array of {} items", types.len());
        let items = self.items(json, &expected)?;
        if items.len() != types.len() {
            return Err(self.expected(expected, &Json::Array(items)));
        }

        let read = |(index, (ty, json)): (usize, (&Type, Json))| {
            self.within(&format!("[{index}]"), |reader| reader.value(ty, json))
        };
        let items: Result<_, _> = types.iter().zip(items).enumerate().map(read).collect();
        Ok(Value::Tuple(items?))
    }

    fn record(&mut self, fields: &[Field], json: Json) -> Result<Value, JsonError> {
        let Json::Object(mut members) = json else {
            return Err(self.expected("an object", &json));
        };

        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            let json = take(&mut members, &field.name);
            if json.is_none() && !field.ty.is_nullable() {
                let expected = format!("a member {:?}", field.name.wire);
                return Err(JsonError::mismatch(&self.path, expected, "none"));
            }
            let json = json.unwrap_or(Json::Null);
            values.push(self.within(&field.name.wire, |reader| reader.value(&field.ty, json))?);
        }

        Ok(Value::Tuple(values))
    }

    fn variant(&mut self, variant: &Variant, json: Json) -> Result<Value, JsonError> {
        let names = variant.cases.iter().map(|case| &case.name);
        let expected = format!("a case of {}", list(names));
        let (name, value) = match json {
            Json::String(name) => (name, None),
            Json::Object(members) if members.len() == 1 => {
                let member = members.into_iter().next();
                let (name, value) = member.unwrap_or_default();
                (name, Some(value))
            }
            other => return Err(self.expected(expected, &other)),
        };

        let found = variant.cases.iter().position(|case| case.name.is(&name));
        let Some(position) = found else {
            return Err(self.expected(expected, &Json::String(name)));
        };
        let value = match (&variant.cases[position].ty, value) {
            (Some(ty), Some(json)) => {
                let value = self.within(&name, |reader| reader.value(ty, json))?;
                Some(Box::new(value))
            }
            (None, None | Some(Json::Null)) => None,
            (Some(_), None) => {
                return Err(self.expected(format!("{{{name:?}: value}}"), &Json::String(name)));
            }
            (None, Some(json)) => {
                return self.within(&name, |reader| Err(reader.expected("null", &json)));
            }
        };

        Ok(Value::Variant(position, value))
    }

    fn enumeration(&self, ty: &Enum, json: &Json) -> Result<Value, JsonError> {
        let number = integer(json);
        let name = json.as_str();
        let found = ty.cases.iter().position(|case| {
            number == Some(case.number.into()) || name.is_some_and(|name| case.name.is(name))
        });
        found.map(Value::Enum).ok_or_else(|| {
            let cases = ty.cases.iter();
            let cases: Vec<String> = cases
                .map(|case| format!("{} ({})", case.number, case.name.wire))
                .collect();
            self.expected(format!("one of {}", cases.join(", ")), json)
        })
    }

    fn option(&mut self, inner: &Type, json: Json) -> Result<Value, JsonError> {
        if json.is_null() {
            return Ok(Value::Option(None));
        }
        if !inner.is_nullable() {
            let value = self.value(inner, json)?;
            return Ok(Value::Option(Some(Box::new(value))));
        }

        let expected = r#"null or {"some": value}"#;
        let (_, json) = self.only_member(json, &["some"], expected)?;
        let value = self.within("some", |reader| reader.value(inner, json))?;
        Ok(Value::Option(Some(Box::new(value))))
    }

    fn result(&mut self, ty: &ResultType, json: Json) -> Result<Value, JsonError> {
        let expected = r#"{"ok": value} or {"err": value}"#;
        let (name, json) = self.only_member(json, &["ok", "err"], expected)?;
        let is_ok = name == "ok";
        let ty = if is_ok { &ty.ok } else { &ty.err };

        let value = self.within(&name, |reader| match ty {
            Some(ty) => Ok(Some(Box::new(reader.value(ty, json)?))),
            None if json.is_null() => Ok(None),
            None => Err(reader.expected("null", &json)),
        })?;
        Ok(Value::Result(if is_ok { Ok(value) } else { Err(value) }))
    }

    fn flags(&self, flags: &Flags, json: Json) -> Result<Value, JsonError> {
        let mut set = Vec::new();
        for item in self.items(json, "an array of names")? {
            let name = item.as_str().unwrap_or_default();
            let position = flags.names.iter().position(|flag| flag.is(name));
            let expected = || format!("one of {}", list(flags.names.iter()));
            set.push(position.ok_or_else(|| self.expected(expected(), &item))?);
        }

        set.sort_unstable();
        set.dedup();
        Ok(Value::Flags(set))
    }

    /// The only member of an object, which has one of these names.
    fn only_member(
        &self,
        json: Json,
        names: &[&str],
        expected: &str,
    ) -> Result<(String, Json), JsonError> {
        match json {
            Json::Object(members) if members.len() == 1 => {
                let member = members.into_iter().next();
                member
                    .filter(|(name, _)| names.contains(&name.as_str()))
                    .ok_or_else(|| JsonError::mismatch(&self.path, expected, "another member"))
            }
            other => Err(self.expected(expected, &other)),
        }
    }

    /// Reads with one more step in the path.
    fn within<T>(
        &mut self,
        step: &str,
        read: impl FnOnce(&mut Self) -> Result<T, JsonError>,
    ) -> Result<T, JsonError> {
        let outer = self.path.len();
        if outer > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);

        let value = read(self);
        self.path.truncate(outer);
        value
    }

    fn expected(&self, expected: impl Into<String>, found: &Json) -> JsonError {
        JsonError::mismatch(&self.path, expected, kind(found))
    }
}

/// A member by its spelling on the wire, or by its name in WIT.
fn take(members: &mut Map<String, Json>, name: &Name) -> Option<Json> {
    members
        .swap_remove(&name.wire)
        .or_else(|| members.swap_remove(&name.wit))
}

/// A whole number, also one that was written as a float by a language without integers.
fn integer(json: &Json) -> Option<i128> {
    if let Some(number) = json.as_i64() {
        return Some(number.into());
    }
    if let Some(number) = json.as_u64() {
        return Some(number.into());
    }
    let float = json.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is a whole number that fits"
    )]
    let number = float as i128;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(number)
}

fn list<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    let names: Vec<&str> = names.map(|name| name.wire.as_str()).collect();
    names.join(", ")
}

/// The kind of a value in words; a short one is shown.
fn kind(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) if text.chars().count() <= SHOWN => format!("{text:?}"),
        Json::String(text) => {
            let beginning: String = text.chars().take(SHOWN).collect();
            format!("{beginning:?}...")
        }
        Json::Array(items) => format!("an array of {} items", items.len()),
        Json::Object(_) => "an object".to_owned(),
    }
}

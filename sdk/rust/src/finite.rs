//! Refuses floats that JSON cannot write: infinite ones, and those that are not a number.
//!
//! serde_json writes such a float as `null`. That is a silent loss: a reader takes it for "nothing", or cannot read it.

use std::fmt::Display;

use serde::ser::{
    self, Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct,
    SerializeStructVariant, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
};

use crate::error::{Error, Result};

/// The float itself where it is finite.
///
/// # Errors
///
/// When it is infinite or not a number; the error names it.
pub(crate) fn finite(value: f64) -> Result<f64> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Error::new(unwritable(value)))
    }
}

fn unwritable(value: impl Display) -> String {
    format!("expected a finite number, found {value}")
}

/// A value whose floats are all finite, or that cannot be serialized. An error names the keys on the way to the float.
pub(crate) struct Finite<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: Serialize + ?Sized> Serialize for Finite<'_, T> {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Serializer(serializer))
    }
}

/// Any serializer, behind a check of each float.
struct Serializer<S>(S);

/// A list, a map or a struct of a serializer, whose members are checked too.
struct Compound<C>(C);

macro_rules! forwarded {
    ($($method:ident($type:ty))*) => { $(
        fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.0.$method(value)
        }
    )* };
}

impl<S: ser::Serializer> ser::Serializer for Serializer<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Compound<S::SerializeSeq>;
    type SerializeTuple = Compound<S::SerializeTuple>;
    type SerializeTupleStruct = Compound<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Compound<S::SerializeTupleVariant>;
    type SerializeMap = Compound<S::SerializeMap>;
    type SerializeStruct = Compound<S::SerializeStruct>;
    type SerializeStructVariant = Compound<S::SerializeStructVariant>;

    forwarded! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_unit_struct(&'static str)
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            self.0.serialize_f32(value)
        } else {
            Err(S::Error::custom(unwritable(value)))
        }
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            self.0.serialize_f64(value)
        } else {
            Err(S::Error::custom(unwritable(value)))
        }
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Finite(value))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, at, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Finite(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0
            .serialize_newtype_variant(name, at, variant, &Finite(value))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(length).map(Compound)
    }

    fn serialize_tuple(self, length: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(length).map(Compound)
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, length).map(Compound)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.0
            .serialize_tuple_variant(name, at, variant, length)
            .map(Compound)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(length).map(Compound)
    }

    fn serialize_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, length).map(Compound)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.0
            .serialize_struct_variant(name, at, variant, length)
            .map(Compound)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! lists {
    ($($trait:ident $method:ident)*) => { $(
        impl<C: $trait> $trait for Compound<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.0.$method(&Finite(value))
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.0.end()
            }
        }
    )* };
}

lists! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! structs {
    ($($trait:ident)*) => { $(
        impl<C: $trait> $trait for Compound<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), C::Error> {
                self.0.serialize_field(key, &Finite(value)).map_err(|error| C::Error::custom(format!("{key}: {error}")))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.0.skip_field(key)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.0.end()
            }
        }
    )* };
}

structs!(SerializeStruct SerializeStructVariant);

impl<C: SerializeMap> SerializeMap for Compound<C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.0.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.0.serialize_value(&Finite(value))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        self.0
            .serialize_entry(key, &Finite(value))
            .map_err(|error| match serde_json::to_value(key) {
                Ok(serde_json::Value::String(key)) => C::Error::custom(format!("{key}: {error}")),
                _ => error,
            })
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.0.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(serde::Serialize)]
    struct Sample {
        name: &'static str,
        readings: Vec<Option<f32>>,
        more: BTreeMap<String, (u8, f64)>,
        kind: Kind,
    }

    #[derive(serde::Serialize)]
    enum Kind {
        Unit,
        Newtype(f64),
        Tuple(u8, f64),
        Struct { at: f64 },
    }

    fn sample(reading: f32, more: f64, kind: Kind) -> Sample {
        let more = BTreeMap::from([("door".to_owned(), (1, more))]);
        Sample {
            name: "ü",
            readings: vec![None, Some(reading)],
            more,
            kind,
        }
    }

    #[test]
    fn finite_numbers_are_written_unchanged() {
        for kind in [
            Kind::Unit,
            Kind::Newtype(1.5),
            Kind::Tuple(1, -0.0),
            Kind::Struct { at: 1e300 },
        ] {
            let sample = sample(0.1, 2.0, kind);
            assert_eq!(
                serde_json::to_string(&Finite(&sample)).unwrap(),
                serde_json::to_string(&sample).unwrap()
            );
            assert_eq!(
                serde_json::to_value(Finite(&sample)).unwrap(),
                serde_json::to_value(&sample).unwrap()
            );
        }
    }

    #[test]
    fn non_finite_numbers_are_refused_at_any_depth() {
        let cases = [
            (
                sample(f32::NAN, 2.0, Kind::Unit),
                "readings: expected a finite number, found NaN",
            ),
            (
                sample(0.1, f64::INFINITY, Kind::Unit),
                "more: door: expected a finite number, found inf",
            ),
            (
                sample(0.1, 2.0, Kind::Newtype(f64::NEG_INFINITY)),
                "kind: expected a finite number, found -inf",
            ),
            (
                sample(0.1, 2.0, Kind::Tuple(1, f64::NAN)),
                "kind: expected a finite number, found NaN",
            ),
            (
                sample(0.1, 2.0, Kind::Struct { at: f64::NAN }),
                "kind: at: expected a finite number, found NaN",
            ),
        ];

        for (sample, error) in cases {
            assert_eq!(
                serde_json::to_string(&Finite(&sample))
                    .unwrap_err()
                    .to_string(),
                error
            );

            assert_eq!(
                serde_json::to_value(Finite(&sample))
                    .unwrap_err()
                    .to_string(),
                error
            );
        }
    }
}

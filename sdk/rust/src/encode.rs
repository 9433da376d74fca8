//! Conversion of values to payloads, as MIQRO does it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::decode::Json;
use crate::error::Result;
use crate::json;

/// A value that can be published: text and bytes as they are, `true` and `false` as `1` and `0`, nothing (`()`, `None`) as
/// an empty payload, whole numbers as they are, floats rounded (one that is not finite is refused), maps and lists as JSON. Any other type goes as
/// [`Json(&value)`](Json).
pub trait Encode {
    /// The payload.
    ///
    /// # Errors
    ///
    /// When the value cannot be JSON, or a float is infinite or not a number.
    fn encode(&self) -> Result<Cow<'_, [u8]>>;
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        (**self).encode()
    }
}

impl Encode for [u8] {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self))
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self))
    }
}

impl Encode for Vec<u8> {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self))
    }
}

impl Encode for str {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self.as_bytes()))
    }
}

impl Encode for String {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self.as_bytes()))
    }
}

impl Encode for Cow<'_, str> {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self.as_bytes()))
    }
}

impl Encode for bool {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(if *self { b"1" } else { b"0" }))
    }
}

impl Encode for () {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(b""))
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        self.as_ref().map_or(Ok(Cow::Borrowed(b"")), T::encode)
    }
}

impl Encode for f64 {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        json::float_text(*self).map(owned)
    }
}

impl Encode for f32 {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        json::float_text(json::widened(*self)).map(owned)
    }
}

/// Scalars as if they were published themselves, maps and lists as JSON.
impl Encode for Value {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Null => ().encode(),
            Self::Bool(true) => Ok(Cow::Borrowed(b"1")),
            Self::Bool(false) => Ok(Cow::Borrowed(b"0")),
            Self::String(text) => text.encode(),
            Self::Number(number) => match (number.is_f64(), number.as_f64()) {
                (true, Some(float)) => json::float_text(float).map(owned),
                _ => Ok(owned(number.to_string())),
            },
            Self::Array(_) | Self::Object(_) => Ok(owned(json::to_text(self)?)),
        }
    }
}

macro_rules! whole_numbers {
    ($($number:ty)*) => { $(
        impl Encode for $number {
            fn encode(&self) -> Result<Cow<'_, [u8]>> {
                Ok(owned(self.to_string()))
            }
        }
    )* };
}

whole_numbers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

macro_rules! json {
    ($(($($generic:tt)*) $type:ty;)*) => { $(
        impl<$($generic)*> Encode for $type {
            fn encode(&self) -> Result<Cow<'_, [u8]>> {
                Ok(owned(json::to_text(self)?))
            }
        }
    )* };
}

json! {
    () Map<String, Value>;
    (T: Serialize) BTreeMap<String, T>;
    (T: Serialize, S) HashMap<String, T, S>;
    () Vec<Value>; () Vec<f64>; () Vec<f32>; () Vec<i32>; () Vec<i64>; () Vec<u32>; () Vec<u64>; () Vec<bool>;
    () Vec<String>; () Vec<&str>;
    () [f64]; () [i64]; () [u64]; () [String]; () [&str]; () [Value];
}

impl<T: Serialize> Encode for Json<T> {
    fn encode(&self) -> Result<Cow<'_, [u8]>> {
        Ok(owned(json::to_text(&self.0)?))
    }
}

fn owned(text: String) -> Cow<'static, [u8]> {
    Cow::Owned(text.into_bytes())
}

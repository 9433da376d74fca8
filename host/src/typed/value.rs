//! Values of any WIT type but resources. A value is meant together with its [`Type`](super::types::Type), which has the names.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A value of `bool`.
    Bool(bool),
    /// A value of `s8`, `s16`, `s32` and `s64`.
    Signed(i64),
    /// A value of `u8`, `u16`, `u32` and `u64`.
    Unsigned(u64),
    /// A value of `f32` and `f64`.
    Float(f64),
    /// A value of `char`.
    Char(char),
    /// A value of `string`.
    String(String),
    /// A value of `list<u8>`.
    Bytes(Vec<u8>),
    /// A value of any other `list`.
    List(Vec<Value>),
    /// A value of `tuple`, and of `record` in the order of the fields.
    Tuple(Vec<Value>),
    /// A value of `variant`: the position of the case, and its value if it has one.
    Variant(usize, Option<Box<Value>>),
    /// A value of `enum`: the position of the case.
    Enum(usize),
    /// A value of `option`.
    Option(Option<Box<Value>>),
    /// A value of `result`, with the value if the side has one.
    Result(Result<Option<Box<Value>>, Option<Box<Value>>>),
    /// A value of `flags`: the positions of those that are set, in ascending order.
    Flags(Vec<usize>),
}

//! The value of `traceparent` (W3C Trace Context, section 3.2.2): `VERSION-TRACE_ID-PARENT_ID-FLAGS`.

use std::fmt;

/// Bytes of a value of version 00, and the least of any later version.
const LENGTH: usize = 55;
/// The flag of a trace that is recorded (section 3.2.2.3.1).
const SAMPLED: u8 = 1;
/// The flag of a trace id that is random (Trace Context level 2).
const RANDOM: u8 = 2;

/// A trace, and the span in it that is the parent of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// Identifies the trace; never all zero.
    pub trace_id: [u8; 16],
    /// Identifies the span; never all zero.
    pub span_id: [u8; 8],
    /// The flags that the next span passes on.
    flags: u8,
}

impl TraceParent {
    /// A span that is the first one of a recorded trace with a random id.
    pub const fn root(trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        Self {
            trace_id,
            span_id,
            flags: SAMPLED | RANDOM,
        }
    }

    /// Reads a value; `None` when it is not valid. Of a later version, the part that version 00 has counts (section 3.2.4).
    pub fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return None;
        }
        let mut fields = text.get(..LENGTH)?.split('-');
        let [version] = bytes(fields.next()?)?;
        let trace_id = bytes(fields.next()?)?;
        let span_id = bytes(fields.next()?)?;
        let [flags] = bytes(fields.next()?)?;

        let is_longer = version > 0 && text.as_bytes().get(LENGTH) == Some(&b'-');
        let is_whole = fields.next().is_none() && (text.len() == LENGTH || is_longer);
        let is_valid = version != 0xff && trace_id != [0; 16] && span_id != [0; 8];
        (is_whole && is_valid).then_some(Self {
            trace_id,
            span_id,
            // a later version may give the other flags a meaning that is not known here
            flags: flags & (SAMPLED | RANDOM),
        })
    }

    /// Whether the trace is recorded.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags that belong to the trace.
    pub const fn flags(self) -> u8 {
        self.flags
    }

    /// Another span of the same trace.
    pub const fn with_span(self, span_id: [u8; 8]) -> Self {
        Self { span_id, ..self }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace_id = hex::encode(self.trace_id);
        let span_id = hex::encode(self.span_id);
        write!(f, "00-{trace_id}-{span_id}-{:02x}", self.flags)
    }
}

/// The bytes of lower-case hexadecimal digits.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn value_is_read_and_written() {
        let parent = TraceParent::parse(VALID).unwrap();
        assert_eq!(
            hex::encode(parent.trace_id),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(hex::encode(parent.span_id), "b7ad6b7169203331");
        assert!(parent.is_sampled());
        assert_eq!(parent.to_string(), VALID);

        let child = parent.with_span([1; 8]).to_string();
        assert_eq!(
            child,
            "00-0af7651916cd43dd8448eb211c80319c-0101010101010101-01"
        );
    }

    #[test]
    fn invalid_values_are_refused() {
        for invalid in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-B7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-\u{7f}",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-01",
        ] {
            assert_eq!(TraceParent::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn later_version_is_read_as_version_00() {
        let later = VALID.replacen("00", "cc", 1).replace("-01", "-07") + "-what-the-future";
        let parent = TraceParent::parse(&later).unwrap();
        assert_eq!(parent.to_string(), VALID.replace("-01", "-03"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,70}") {
            let _ = TraceParent::parse(&text);
        }

        #[test]
        fn what_is_read_is_written_the_same(version in 0_u8..255, trace: [u8; 16], span: [u8; 8], flags in 0_u8..4) {
            let (trace, span) = (hex::encode(trace), hex::encode(span));
            let rest = format!("{trace}-{span}-{flags:02x}");
            if let Some(parent) = TraceParent::parse(&format!("{version:02x}-{rest}")) {
                prop_assert_eq!(parent.to_string(), format!("00-{rest}"));
            } else {
                prop_assert!(trace.bytes().all(|b| b == b'0') || span.bytes().all(|b| b == b'0'));
            }
        }
    }
}

//! The bytes of a file as text. Characters that no text file has are refused with their line and column.

use std::fmt;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The reason why bytes are not a text that was written completely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Another encoding.
    #[error("is not UTF-8 text; save the file as UTF-8")]
    Encoding(Position),
    /// Nothing but zeroes, as a file system leaves them after a loss of power.
    #[error("has nothing but NUL bytes: it was not written completely; write it again")]
    Zeroes,
    /// A character that is not printable (YAML 1.2, section 5.1).
    #[error("the character U+{:04X}{} cannot be in this file; {}", u32::from(*.1), name(*.1), advice(*.1))]
    Control(Position, char),
}

impl TextError {
    /// The place of the fault; `None`: everywhere.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Encoding(position) | Self::Control(position, _) => Some(*position),
            Self::Zeroes => None,
        }
    }
}

/// `bytes` as text, without a byte-order mark at its beginning.
///
/// # Errors
/// When they are not text, or have characters that no text file has.
pub fn decode(bytes: &[u8]) -> Result<&str, TextError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            return Err(TextError::Encoding(end_of(good)));
        }
    };

    check(text)
}

/// `text` without a byte-order mark at its beginning.
///
/// # Errors
/// When it has characters that no text file has.
pub fn check(text: &str) -> Result<&str, TextError> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    match text.find(is_unprintable) {
        None => Ok(text),
        Some(_) if text.bytes().all(|byte| byte == 0) => Err(TextError::Zeroes),
        Some(at) => {
            let found = text[at..].chars().next().unwrap_or_default();
            Err(TextError::Control(end_of(&text[..at]), found))
        }
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

fn is_unprintable(c: char) -> bool {
    let accepted = matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    (c.is_control() && !accepted) || matches!(c, BYTE_ORDER_MARK | '\u{fffe}' | '\u{ffff}')
}

/// The place at which `text` ends.
fn end_of(text: &str) -> Position {
    let line = text.rsplit('\n').next().unwrap_or_default();
    Position {
        line: 1 + text.matches('\n').count(),
        column: 1 + line.chars().count(),
    }
}

fn name(c: char) -> &'static str {
    match c {
        '\0' => " (NUL)",
        '\u{1b}' => " (escape)",
        BYTE_ORDER_MARK => " (byte-order mark)",
        _ => "",
    }
}

fn advice(c: char) -> &'static str {
    match c {
        '\0' => "the file may not have been written completely",
        BYTE_ORDER_MARK => "remove it; two files may have been joined there",
        _ => {
            "remove it; in a value for a service write it as an escape between double quotes, for example \"\\x1b\""
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_reported_with_their_place() {
        type Refusal = (Option<(usize, usize)>, String);
        fn decoded(bytes: &[u8]) -> Result<&str, Refusal> {
            decode(bytes).map_err(|error| {
                (
                    error.position().map(|at| (at.line, at.column)),
                    error.to_string(),
                )
            })
        }
        assert_eq!(decoded("\u{feff}a: ü\r\n\tb".as_bytes()), Ok("a: ü\r\n\tb"));
        assert_eq!(decoded(b""), Ok(""));
        for (bytes, place, word) in [
            (&b"a: 1\nb: \0x"[..], Some((2, 4)), "U+0000 (NUL)"),
            ("ü\u{1b}[0m".as_bytes(), Some((1, 2)), "U+001B (escape)"),
            ("a\u{7f}".as_bytes(), Some((1, 2)), "U+007F"),
            ("a\u{9f}".as_bytes(), Some((1, 2)), "U+009F"),
            (
                "a: 1\n\u{feff}b: 2".as_bytes(),
                Some((2, 1)),
                "byte-order mark",
            ),
            (&b"a\nb\xff"[..], Some((2, 2)), "UTF-8"),
            (&b"\xff\xfea\0"[..], Some((1, 1)), "UTF-8"),
            (&[0; 512][..], None, "nothing but NUL bytes"),
        ] {
            let (found, message) = decoded(bytes).unwrap_err();
            assert!(
                found == place && message.contains(word),
                "{bytes:?}: {found:?} {message}"
            );
        }
    }

    proptest! {
        #[test]
        fn printable_text_is_left_as_it_is(written in "[^\\p{Cc}\u{feff}\u{fffe}\u{ffff}]{0,40}") {
            prop_assert_eq!(decode(written.as_bytes()), Ok(written.as_str()));
        }

        #[test]
        fn one_unprintable_character_is_found_at_its_place(before in "[^\\p{Cc}\u{feff}\u{fffe}\u{ffff}]{1,20}\n?[a-z]{0,9}", after in "[a-z\n]{0,20}") {
            let error = check(&format!("{before}\u{1}{after}")).unwrap_err();
            prop_assert_eq!(error, TextError::Control(end_of(&before), '\u{1}'));
        }
    }
}

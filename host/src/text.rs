//! Characters that MQTT says texts should not contain: finds them, and escapes them. MQTT 5 and
//! 3.1.1, sections 1.5.3 and 1.5.4: U+0000 must not be in a text; control characters and
//! noncharacters should not, and a receiver may end the connection for them. mosquitto does.

use std::fmt::Write as _;

/// The first character of `text` that no text of ours may contain: a control character (U+0000 to U+001F, U+007F to U+009F) or a
/// noncharacter (U+FDD0 to U+FDEF, and the last two of each plane).
pub fn find_forbidden(text: &str) -> Option<char> {
    // over bytes: this is done for every message, and a search for characters decodes each. All of them begin with one of these: 0xC2
    // leads U+0080 to U+00BF, 0xEF U+F000 to U+FFFF, and 0xF0 or higher everything above
    let suspicious = |byte: u8| byte < 0x20 || matches!(byte, 0x7F | 0xC2 | 0xEF..);
    if !text.bytes().any(suspicious) {
        return None;
    }
    text.chars().find(|character| is_forbidden(*character))
}

fn is_forbidden(character: char) -> bool {
    let number = u32::from(character);
    character.is_control() || matches!(number, 0xFDD0..=0xFDEF) || number & 0xFFFE == 0xFFFE
}

/// The name of a character, as in `U+0009`.
pub fn name(character: char) -> String {
    format!("U+{:04X}", u32::from(character))
}

/// A text without forbidden characters as it is; any other as Rust would write it: these as `\n`, `\t`, `\r` or `\u{1}`, and a
/// backslash twice. The part beyond `most` bytes is cut off, with `…` in its place.
pub fn escape(text: &str, most: usize) -> String {
    let is_clean = find_forbidden(text).is_none();
    if is_clean && text.len() <= most {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().min(most));
    // cut so that the mark has room
    let mut end = 0;
    for character in text.chars() {
        match character {
            '\\' if !is_clean => out.push_str("\\\\"),
            _ if is_forbidden(character) => write_escape(&mut out, character),
            _ => out.push(character),
        }
        if out.len() + CUT.len_utf8() <= most {
            end = out.len();
        }
        if out.len() > most {
            out.truncate(end);
            out.push(CUT);
            break;
        }
    }

    out
}

/// Stands where a text was cut off.
const CUT: char = '…';

fn write_escape(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // writing to a String cannot fail
        other => drop(write!(out, "\\u{{{:x}}}", u32::from(other))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_and_noncharacters_are_found() {
        for bad in [
            '\0', '\t', '\n', '\u{1}', '\u{1f}', '\u{7f}', '\u{85}', '\u{9f}', '\u{fdd0}',
            '\u{fdef}',
        ] {
            assert_eq!(find_forbidden(&format!("a{bad}b")), Some(bad));
        }

        for plane in 0..=16 {
            for last in [0xFFFE, 0xFFFF] {
                let bad = char::from_u32(plane << 16 | last).unwrap();
                assert_eq!(
                    find_forbidden(&format!("ä{bad}")),
                    Some(bad),
                    "{}",
                    name(bad)
                );
            }
        }

        for good in [
            " ", "~", "\u{a0}", "¿", "ü", "\u{fdcf}", "\u{fdf0}", "\u{fffd}", "\u{feff}", "😀",
            "\u{2028}", "/+#$",
        ] {
            assert_eq!(find_forbidden(good), None, "{good:?}");
        }
    }

    #[test]
    fn escaped_text_is_readable() {
        assert_eq!(
            escape("one\ntwo\t\u{1}\u{ffff} C:\\x", 100),
            "one\\ntwo\\t\\u{1}\\u{ffff} C:\\\\x"
        );
        assert_eq!(escape("as it is: ü {} \\n", 100), "as it is: ü {} \\n");
        assert_eq!(escape("abcdef", 6), "abcdef");
        assert_eq!(escape("abcdefg", 6), "abc…");
        assert_eq!(escape("ab\n\n\n", 6), "ab…");
    }

    proptest! {
        #[test]
        fn an_escaped_text_is_clean_fits_and_can_be_undone(text in "[\\PC\\\\\n\t\u{1}\u{85}\u{ffff}]{0,60}", most in 8usize..200) {
            let out = escape(&text, most);
            prop_assert_eq!(find_forbidden(&out), None);
            prop_assert!(out.len() <= most);
            let whole = escape(&text, usize::MAX);
            prop_assert!(whole.len() > most || whole == out);
            prop_assert_eq!(if find_forbidden(&text).is_some() { unescape(&whole) } else { whole }, text);
        }
    }

    fn unescape(text: &str) -> String {
        let mut out = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != '\\' {
                out.push(character);
                continue;
            }
            match characters.next().unwrap() {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'u' => {
                    let digits: String = characters
                        .by_ref()
                        .skip(1)
                        .take_while(|digit| *digit != '}')
                        .collect();
                    out.push(char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap());
                }
                other => out.push(other),
            }
        }

        out
    }
}

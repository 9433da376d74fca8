//! Typographic quotes, as word processors and web pages make them: they mean nothing in YAML and JSON.

/// Characters that look like a quote and mean nothing to YAML and JSON.
const TYPOGRAPHIC: [char; 17] = [
    '“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»', '‹', '›', '″', '′', '´', '＂', '＇',
];

/// The typographic quote that `text` begins or ends with.
pub(super) fn find_at_ends(text: &str) -> Option<char> {
    let ends = [text.chars().next(), text.chars().next_back()];
    ends.into_iter().flatten().find(|c| TYPOGRAPHIC.contains(c))
}

/// The first typographic quote in `text`.
pub(super) fn find(text: &str) -> Option<char> {
    text.chars().find(|c| TYPOGRAPHIC.contains(c))
}

/// The typographic quote that `text` begins with.
pub(super) fn find_at_start(text: &str) -> Option<char> {
    text.chars().next().filter(|c| TYPOGRAPHIC.contains(c))
}

/// The quote in words, for a message.
pub(super) fn describe(quote: char) -> String {
    format!("the typographic quote {quote} (U+{:04X})", u32::from(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typographic_quotes_are_found_by_position() {
        assert_eq!(find_at_ends("“localhost”"), Some('“'));
        assert_eq!(find_at_ends("localhost’"), Some('’'));
        assert_eq!(find_at_ends("kid’s room"), None);
        assert_eq!(find("kid’s"), Some('’'));
        assert_eq!(find("kids"), None);
        assert_eq!(find_at_start("kid’s"), None);
        assert_eq!(find_at_start("’s"), Some('’'));
        assert_eq!(
            (find_at_ends(""), find(""), find_at_start("")),
            (None, None, None)
        );
        assert_eq!(describe('„'), "the typographic quote „ (U+201E)");
    }
}

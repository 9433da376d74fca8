//! Pure: quotes of word processors and web pages, which mean nothing in a configuration. In: a text. Out: the quote in it. Owns nothing.

/// What looks like a quote and is none to YAML and JSON.
const TYPOGRAPHIC: [char; 17] = [
    '“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»', '‹', '›', '″', '′', '´', '＂', '＇',
];

/// The typographic quote that `text` is put in, or begins or ends with.
pub(super) fn around(text: &str) -> Option<char> {
    let ends = [text.chars().next(), text.chars().next_back()];
    ends.into_iter().flatten().find(|c| TYPOGRAPHIC.contains(c))
}

/// The first typographic quote in `text`.
pub(super) fn within(text: &str) -> Option<char> {
    text.chars().find(|c| TYPOGRAPHIC.contains(c))
}

/// The typographic quote that `text` begins with.
pub(super) fn before(text: &str) -> Option<char> {
    text.chars().next().filter(|c| TYPOGRAPHIC.contains(c))
}

/// What there is to say about `quote`.
pub(super) fn named(quote: char) -> String {
    format!("the typographic quote {quote} (U+{:04X})", u32::from(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_found_where_it_is_looked_for() {
        assert_eq!(around("“localhost”"), Some('“'));
        assert_eq!(around("localhost’"), Some('’'));
        assert_eq!(around("kid’s room"), None);
        assert_eq!(
            (
                within("kid’s"),
                within("kids"),
                before("kid’s"),
                before("’s")
            ),
            (Some('’'), None, None, Some('’'))
        );
        assert_eq!((around(""), within(""), before("")), (None, None, None));
        assert_eq!(named('„'), "the typographic quote „ (U+201E)");
    }
}

//! The rule that spells names of WIT on the wire, and its overrides.
//!
//! A package `io:world` is the module `io.world`, an interface `hello` is `Hello`, and members, fields and cases are in lower camel
//! case: `just-said` is `justSaid`. ApiGear's names are of this form by convention; others are spelled out in the configuration.

use std::collections::BTreeMap;

/// Spellings that differ from the rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Naming {
    /// The module; `None`: by the rule.
    pub module: Option<String>,
    /// The interface; `None`: by the rule.
    pub interface: Option<String>,
    /// Names of members, fields, cases and flags in WIT, each with its spelling.
    pub names: BTreeMap<String, String>,
    /// Names of enumerations in WIT, each with the numbers of its cases in the order of their declaration.
    pub numbers: BTreeMap<String, Vec<i64>>,
    /// Functions that look like a getter or a setter and are operations.
    pub operations: Vec<String>,
}

impl Naming {
    /// The spelling of a member, a field, a case or a flag.
    pub fn spell(&self, wit: &str) -> String {
        self.names
            .get(wit)
            .cloned()
            .unwrap_or_else(|| lower_camel(wit))
    }
}

/// The module of a package: `io.world` for `io:world`, `org.example.demo` for `org:example-demo`.
pub fn module(package: &str) -> String {
    package.replace([':', '-'], ".")
}

/// A kebab name in upper camel case: `StructArray` for `struct-array`. Capitals stay.
pub fn upper_camel(kebab: &str) -> String {
    kebab.split('-').map(capitalise).collect()
}

/// A kebab name in lower camel case: `justSaid` for `just-said`. Capitals stay.
pub fn lower_camel(kebab: &str) -> String {
    let mut words = kebab.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.map(capitalise).fold(first, |name, word| name + &word)
}

fn capitalise(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_one_rule() {
        assert_eq!(module("io:world"), "io.world");
        assert_eq!(module("org:example-demo"), "org.example.demo");
        assert_eq!(upper_camel("hello"), "Hello");
        assert_eq!(upper_camel("struct-array"), "StructArray");
        assert_eq!(lower_camel("say"), "say");
        assert_eq!(lower_camel("just-said"), "justSaid");
        assert_eq!(lower_camel("prop-int64"), "propInt64");
        assert_eq!(lower_camel("get-URL"), "getURL");
    }

    #[test]
    fn overrides_take_the_place_of_the_rule() {
        let naming = Naming {
            names: BTreeMap::from([("some-property".to_owned(), "Some_Property".to_owned())]),
            ..Naming::default()
        };
        assert_eq!(naming.spell("some-property"), "Some_Property");
        assert_eq!(naming.spell("other-property"), "otherProperty");
    }
}

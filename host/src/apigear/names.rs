//! Names in ApiGear and in WIT. WIT has words of lower-case letters with hyphens in between; ApiGear has letters, digits and
//! underscores. A name that the rule does not give back stands in a line of the documentation.

use super::module::{Member, Operation};
use crate::typed::naming;

/// Begins the line of the documentation with the name in ApiGear.
const MARK: &str = "ApiGear: ";

/// Ends the name of an operation that looks like a part of a property.
const OPERATION: &str = "()";

/// The interface of all structures and enumerations.
pub(super) const TYPES: &str = "types";

/// Ends the name of the interface with the signals of another one.
pub(super) const SIGNALS: &str = "-signals";

/// Ends the names of the worlds of an interface.
pub(super) const SERVICE: &str = "-service";
pub(super) const CLIENT: &str = "-client";

/// The ends of all names that an interface leads to.
pub(super) const SUFFIXES: [&str; 4] = ["", SIGNALS, SERVICE, CLIENT];

/// Begin the names of the functions of a property.
pub(super) const GET: &str = "get-";
pub(super) const SET: &str = "set-";

/// Words that mean something in WIT: as names, they need a percent sign.
const KEYWORDS: [&str; 43] = [
    "as",
    "async",
    "bool",
    "borrow",
    "char",
    "constructor",
    "enum",
    "error-context",
    "export",
    "f32",
    "f64",
    "flags",
    "from",
    "func",
    "future",
    "import",
    "include",
    "interface",
    "list",
    "map",
    "option",
    "own",
    "package",
    "record",
    "resource",
    "result",
    "s16",
    "s32",
    "s64",
    "s8",
    "static",
    "stream",
    "string",
    "tuple",
    "type",
    "u16",
    "u32",
    "u64",
    "u8",
    "use",
    "variant",
    "with",
    "world",
];

/// The spelling of a kind of names in ApiGear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `justSaid`: properties, operations, signals, parameters and fields.
    Camel,
    /// `JustSaid`: interfaces, types and members of enumerations.
    Pascal,
}

impl Spelling {
    /// The name in ApiGear that the rule gives to a name in WIT.
    pub(super) fn of(self, wit: &str) -> String {
        match self {
            Self::Camel => naming::lower_camel(wit),
            Self::Pascal => naming::upper_camel(wit),
        }
    }

    /// The line of the documentation that keeps `name`; `None` when the rule gives it back.
    pub(super) fn note(self, name: &str, wit: &str) -> Option<String> {
        (self.of(wit) != name).then(|| format!("{MARK}{name}"))
    }
}

/// The name in WIT.
pub(super) fn kebab(name: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for part in name.split('_').filter(|part| !part.is_empty()) {
        // a word of WIT does not begin with a digit in older tools
        let joins = part.starts_with(|c: char| c.is_ascii_digit());
        for (index, word) in split_humps(part).into_iter().enumerate() {
            match words.last_mut() {
                Some(last) if index == 0 && joins => last.push_str(&word),
                _ => words.push(word),
            }
        }
    }

    words.join("-")
}

/// `HTTPServer2Go` becomes `http`, `server2`, `go`.
fn split_humps(part: &str) -> Vec<String> {
    let letters: Vec<char> = part.chars().collect();
    let mut words: Vec<String> = Vec::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let next_is_lower = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| !before.is_ascii_uppercase() || next_is_lower);
        match words.last_mut() {
            Some(word) if !begins => word.push(letter.to_ascii_lowercase()),
            _ => words.push(letter.to_ascii_lowercase().to_string()),
        }
    }

    words
}

/// A name as WIT text has it.
pub(super) fn escape(name: &str) -> String {
    if KEYWORDS.contains(&name) {
        format!("%{name}")
    } else {
        name.to_owned()
    }
}

/// The package of a module: the first word is the namespace.
pub(super) fn package(module: &str) -> String {
    let words: Vec<String> = module
        .split('.')
        .map(kebab)
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => format!("apigear:{only}"),
        [namespace, rest @ ..] => format!("{namespace}:{}", rest.join("-")),
    }
}

/// The package of a module as WIT text has it.
pub(super) fn package_text(module: &str) -> String {
    let package = package(module);
    let words: Vec<String> = package.split(':').map(escape).collect();
    words.join(":")
}

/// The line that keeps the name of a module.
pub(super) fn module_note(name: &str) -> Option<String> {
    (naming::module(&package(name)) != name).then(|| format!("{MARK}{name}"))
}

/// A line that keeps the name of a parameter.
pub(super) fn parameter_note(name: &str, wit: &str) -> Option<String> {
    let note = Spelling::Camel.note(name, wit)?;
    Some(format!("{note} for {wit}"))
}

/// The line that keeps the name of an operation; also when its name looks like that of a property.
pub(super) fn operation_note(operation: &Operation, wit: &str) -> Option<String> {
    if is_like_property(operation, wit) {
        return Some(format!("{MARK}{}{OPERATION}", operation.name));
    }
    Spelling::Camel.note(&operation.name, wit)
}

/// Whether the function `wit` would be read as the getter or the setter of a property.
pub(super) fn is_like_property(operation: &Operation, wit: &str) -> bool {
    let parameters = operation.params.len();
    let is_getter = wit.starts_with(GET) && parameters == 0 && operation.result.is_some();
    let is_setter = wit.starts_with(SET) && parameters == 1 && operation.result.is_none();
    is_getter || is_setter
}

/// The line that keeps the name and the number of a member.
pub(super) fn member_note(member: &Member, position: usize) -> Option<String> {
    let note = Spelling::Pascal.note(&member.name, &kebab(&member.name));
    if u32::try_from(position) == Ok(member.value) {
        return note;
    }
    Some(format!("{MARK}{} = {}", member.name, member.value))
}

/// Documentation without the lines that keep names, and those names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Docs {
    pub(super) description: Option<String>,
    /// The name of the item itself.
    pub(super) name: Option<String>,
    /// The number of the member of an enumeration.
    pub(super) number: Option<u32>,
    /// Whether the function is an operation although it looks like a part of a property.
    pub(super) is_operation: bool,
    /// Names of parameters in WIT and in ApiGear.
    parameters: Vec<(String, String)>,
}

impl Docs {
    /// Takes a documentation apart.
    pub(super) fn read(text: Option<&str>) -> Self {
        let mut docs = Self::default();
        let mut lines = Vec::new();
        for line in text.unwrap_or_default().lines() {
            match line.strip_prefix(MARK) {
                Some(note) => docs.read_note(note),
                None => lines.push(line),
            }
        }

        let description = lines.join("\n").trim().to_owned();
        docs.description = (!description.is_empty()).then_some(description);
        docs
    }

    fn read_note(&mut self, note: &str) {
        if let Some((name, wit)) = note.split_once(" for ") {
            self.parameters.push((wit.to_owned(), name.to_owned()));
            return;
        }
        let (name, number) = match note.split_once(" = ") {
            Some((name, number)) => (name, number.parse().ok()),
            None => (note, None),
        };
        let operation = name.strip_suffix(OPERATION);
        self.number = number;
        self.is_operation = operation.is_some();
        self.name = Some(operation.unwrap_or(name).to_owned());
    }

    /// The name of the item whose name in WIT is `wit`.
    pub(super) fn name(&self, wit: &str, spelling: Spelling) -> String {
        self.name.clone().unwrap_or_else(|| spelling.of(wit))
    }

    /// The name of the parameter `wit`.
    pub(super) fn parameter(&self, wit: &str) -> String {
        let kept = self.parameters.iter().find(|(kept, _)| kept == wit);
        kept.map_or_else(|| Spelling::Camel.of(wit), |(_, name)| name.clone())
    }
}

//! Keys that many items have: name, description, and lists of further items.

use crate::config::{ConfigValue, Section};

/// Names that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum NameError {
    #[error("expected a letter, then letters, digits and underscores, found {0:?}")]
    Name(String),
    #[error(
        "expected words of letters, digits and underscores with dots in between, such as io.world, found {0:?}"
    )]
    Module(String),
    #[error(
        "expected two or three numbers with dots in between, such as 1.0 or 1.0.0, found {0:?}"
    )]
    Version(String),
}

/// Reads the key `name`; `check` gets it with its place.
pub(super) fn read_name<'a>(
    section: &mut Section<'a>,
    check: impl FnOnce(&str, &ConfigValue<'a>),
) -> String {
    let Some(value) = section.take_required("name") else {
        return String::new();
    };
    let Some(name) = value.parse(item_name) else {
        return String::new();
    };

    check(&name, &value);
    name
}

/// Reads `description`, and `meta` with a warning.
pub(super) fn read_description(section: &mut Section<'_>) -> Option<String> {
    if let Some(meta) = section.take("meta") {
        meta.warning("is for ApiGear's templates and has no place in WIT; it is left out");
    }

    let description = section.take("description")?;
    let text = description.text()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads each item of the list `key`.
pub(super) fn read_items<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    read: impl FnMut(ConfigValue<'a>) -> T,
) -> Vec<T> {
    let Some(list) = section.take(key) else {
        return Vec::new();
    };
    list.into_list("- name: …").into_iter().map(read).collect()
}

/// Makes an error of the key `key`.
pub(super) fn refuse(section: &mut Section<'_>, key: &'static str, reason: &str) {
    let Some(value) = section.take(key) else {
        return;
    };
    value.error(reason);
}

fn item_name(text: &str) -> Result<String, NameError> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err(NameError::Name(text.to_owned()))
    }
}

/// The name of a module.
pub(super) fn module_name(text: &str) -> Result<String, NameError> {
    if text.split('.').all(is_name) {
        Ok(text.to_owned())
    } else {
        Err(NameError::Module(text.to_owned()))
    }
}

fn is_name(word: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(is_letter)
}

/// A version with three numbers, as WIT wants it.
pub(super) fn read_version(text: &str) -> Result<String, NameError> {
    let error = || NameError::Version(text.to_owned());
    let numbers: Vec<u64> = text
        .split('.')
        .map(|number| number.parse().map_err(|_| error()))
        .collect::<Result<_, _>>()?;
    match numbers.as_slice() {
        [major, minor] => Ok(format!("{major}.{minor}.0")),
        [major, minor, patch] => Ok(format!("{major}.{minor}.{patch}")),
        _ => Err(error()),
    }
}

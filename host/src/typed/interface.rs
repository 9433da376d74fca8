//! Interfaces as a component exports or imports them.

use std::fmt;

use super::types::{Field, Type};

/// The interfaces of a component, besides those of `miqro`, `wasi` and the peers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComponentInterfaces {
    /// The interfaces that it exports.
    pub exports: Vec<Interface>,
    /// The interfaces that it imports.
    pub imports: Vec<Interface>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub id: InterfaceId,
    /// Its functions in the order of their declaration.
    pub functions: Vec<Function>,
    /// The reason why it cannot be used over the network: a type that has no form as a payload.
    pub unsupported: Option<UnsupportedType>,
}

/// The name of an interface: `io:world/hello@1.0.0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId {
    /// The package with its namespace: `io:world`.
    pub package: String,
    /// The interface in the package: `hello`.
    pub name: String,
    /// The version of the package.
    pub version: Option<String>,
}

/// A text that is not the name of an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an interface such as io:world/hello, found {0:?}")]
pub struct InterfaceIdError(pub String);

impl InterfaceId {
    /// Reads `io:world/hello` or `io:world/hello@1.0.0`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, InterfaceIdError> {
        let wrong = || InterfaceIdError(text.to_owned());
        let (path, version) = match text.split_once('@') {
            Some((path, version)) if !version.is_empty() => (path, Some(version.to_owned())),
            Some(_) => return Err(wrong()),
            None => (text, None),
        };

        let (package, name) = path.split_once('/').ok_or_else(wrong)?;
        let (namespace, package_name) = package.split_once(':').ok_or_else(wrong)?;
        if ![namespace, package_name, name].into_iter().all(is_kebab) {
            return Err(wrong());
        }
        Ok(Self {
            package: package.to_owned(),
            name: name.to_owned(),
            version,
        })
    }

    /// Whether `other` names the same interface. A name without a version stands for every version.
    pub fn names(&self, other: &Self) -> bool {
        let same_version = self.version.is_none() || self.version == other.version;
        self.package == other.package && self.name == other.name && same_version
    }

    /// The namespace of the package: `io`.
    pub fn namespace(&self) -> &str {
        self.package.split(':').next().unwrap_or_default()
    }

    /// The interface `name` of the same package and version.
    pub fn sibling(&self, name: String) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }
}

fn is_kebab(text: &str) -> bool {
    !text.is_empty()
        && text
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

impl fmt::Display for InterfaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.package, self.name)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name in WIT.
    pub name: String,
    /// Its parameters in order.
    pub parameters: Vec<Field>,
    /// The type of its result, if it has one.
    pub result: Option<Type>,
}

#[cfg(test)]
impl Interface {
    /// An interface of tests.
    pub(in crate::typed) fn of_test(name: &str, functions: Vec<Function>) -> Self {
        #[expect(clippy::unwrap_used, reason = "only tests call it")]
        let id = InterfaceId::parse(name).unwrap();
        Self {
            id,
            functions,
            unsupported: None,
        }
    }
}

/// A type that has no form as a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct UnsupportedType {
    /// The function with the parameter or the result: `open, result`.
    pub place: String,
    /// The kind of type, and why it cannot travel.
    pub reason: &'static str,
}

impl UnsupportedType {
    /// The reason for resources.
    pub const RESOURCE: &str = "a resource lives in one component and cannot be sent over the network; pass a value that \
                                names it, such as an ID";
    /// The reason for streams and futures.
    pub const STREAM: &str =
        "streams and futures cannot be sent over the network; send signals instead";
    /// The reason for types that are nested too deeply.
    pub const DEEP: &str = "types that are nested more than 32 times are not supported";
    /// The reason for all other types.
    pub const OTHER: &str = "types of this kind are not supported";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_of_interfaces_are_read_and_written() {
        for text in ["io:world/hello", "io:world/hello-signals@1.0.0-rc.1"] {
            assert_eq!(InterfaceId::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "hello",
            "io/hello",
            "io:world",
            "io:world/",
            "io:world/a@",
            "io:world/a--b",
            "io:w/x/y",
            ":w/x",
        ] {
            assert!(InterfaceId::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn name_without_version_stands_for_every_version() {
        let named = |a: &str, b: &str| {
            InterfaceId::parse(a)
                .unwrap()
                .names(&InterfaceId::parse(b).unwrap())
        };
        assert!(named("io:world/hello", "io:world/hello@1.0.0"));
        assert!(named("io:world/hello@1.0.0", "io:world/hello@1.0.0"));
        assert!(!named("io:world/hello@1.0.0", "io:world/hello@1.1.0"));
        assert!(!named("io:world/hello", "io:world/hello-signals"));
    }
}

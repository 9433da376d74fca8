//! Descriptions of interfaces for people and for programs: text, JSON with schemas, and an AsyncAPI document. Pure.

use super::binding::Binding;
use super::mapping::Mapping;

mod asyncapi;
mod json;
mod schema;
#[cfg(test)]
mod tests;
mod text;

/// The interfaces of one component, to be described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The name of the service, or of the file.
    pub name: String,
    /// The address of the broker, if it is known: `127.0.0.1:1883`.
    pub broker: Option<String>,
    /// The interfaces.
    pub interfaces: Vec<DescribedInterface>,
}

/// An interface with its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedInterface {
    /// Its members and topics.
    pub mapping: Mapping,
    /// The part that the component has in it.
    pub role: Role,
}

/// The part that a component has in an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It answers calls, has the properties, and emits the signals.
    Serves,
    /// It calls operations, and receives properties and signals.
    Calls,
}

impl Description {
    /// Describes the interfaces of a component.
    pub fn new(name: &str, broker: Option<String>, binding: &Binding) -> Self {
        let served = binding.served.iter();
        let served = served.map(|served| DescribedInterface {
            mapping: served.mapping.clone(),
            role: Role::Serves,
        });
        let called = binding.called.iter();
        let called = called.map(|called| DescribedInterface {
            mapping: called.mapping.clone(),
            role: Role::Calls,
        });

        Self {
            name: name.to_owned(),
            broker,
            interfaces: served.chain(called).collect(),
        }
    }
}

impl Role {
    /// The verb for a sentence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Serves => "serves",
            Self::Calls => "calls",
        }
    }
}

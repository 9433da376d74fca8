//! An interface on the network: its operations, properties and signals, each with its topics in the format of ApiGear.
//!
//! | member | topic | payload |
//! | --- | --- | --- |
//! | operation | `io.world/Hello/rpc/say` | the arguments as an array; the answer is the bare result |
//! | property | `io.world/Hello/prop/last`, retained | the bare value |
//! | request to set a property | `io.world/Hello/set/last` | the bare value |
//! | signal | `io.world/Hello/sig/justSaid` | the arguments as an array |

use std::collections::HashSet;

use crate::topic::{Filter, Topic, TopicError};

use super::interface::{Interface, InterfaceId, UnsupportedType};
use super::naming::{self, Naming};
use super::types::{Field, Name, Type};

mod overrides;
mod speller;
#[cfg(test)]
mod tests;

use speller::Speller;

/// An interface on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The interface.
    pub id: InterfaceId,
    /// The topic above its members: `io.world/Hello`.
    pub prefix: Topic,
    /// Its operations.
    pub operations: Vec<Operation>,
    /// Its properties.
    pub properties: Vec<Property>,
    /// The interface with its signals, if there is one.
    pub signals_of: Option<InterfaceId>,
    /// The signals of that interface.
    pub signals: Vec<Signal>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its name.
    pub name: Name,
    /// The topic for calls.
    pub topic: Topic,
    /// Its parameters in order.
    pub parameters: Vec<Field>,
    /// The value of the answer; `None`: it has none.
    pub answer: Option<Type>,
    /// The value of an error, if the function returns a `result`.
    pub error: Option<ErrorType>,
    /// The position of its function in the interface.
    pub function: usize,
}

/// The error of a function that returns a `result`: its type, if it has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorType(pub Option<Type>);

/// A property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub name: Name,
    /// The type of its value.
    pub ty: Type,
    /// The topic of its value, retained.
    pub topic: Topic,
    /// The topic of requests to set it.
    pub set_topic: Topic,
    /// The error of the getter, if it returns a `result`.
    pub error: Option<ErrorType>,
    /// The position of the getter in the interface.
    pub getter: usize,
    /// The setter; `None`: it can only be read.
    pub setter: Option<Setter>,
}

/// The setter of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setter {
    /// The position of its function in the interface.
    pub function: usize,
    /// Its error, if it returns a `result`.
    pub error: Option<ErrorType>,
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Its name.
    pub name: Name,
    /// Its topic.
    pub topic: Topic,
    /// Its parameters in order.
    pub parameters: Vec<Field>,
    /// The position of its function in the interface of signals.
    pub function: usize,
}

/// The reason why an interface has no mapping. Boxed, because it names much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id}: {problem}", id = (.0).0, problem = (.0).1)]
pub struct MappingError(Box<(InterfaceId, MappingProblem)>);

impl MappingError {
    /// A problem of the interface `id`.
    pub(crate) fn new(id: &InterfaceId, problem: impl Into<MappingProblem>) -> Self {
        Self(Box::new((id.clone(), problem.into())))
    }
}

/// A problem of an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingProblem {
    /// A type has no form as a payload.
    #[error("{0}; leave the interface out of `serve` to run the component without it")]
    UnsupportedType(#[from] UnsupportedType),
    /// A spelling makes no topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Two members have the same topic.
    #[error("two members have the topic {0}")]
    Twice(Topic),
    /// A spelling is not one level of a topic.
    #[error("expected one level of a topic for a member, found {0:?}")]
    Level(String),
    /// A name of the configuration that the interface does not have.
    #[error("there is no {0}")]
    Unknown(String),
    /// Numbers for an enumeration that do not fit its cases.
    #[error("expected {1} numbers that differ for the enumeration {0}, found {2:?}")]
    Numbers(String, usize, Vec<i64>),
    /// A signal with a result: nobody answers a signal.
    #[error("the signal {0} has a result; nobody answers a signal")]
    Result(String),
}

impl Mapping {
    /// Maps `interface` with the signals of another one, if it has any.
    ///
    /// # Errors
    /// When a type is not supported, or the names make no topics that differ.
    pub fn new(
        interface: &Interface,
        signals: Option<&Interface>,
        naming: &Naming,
    ) -> Result<Self, MappingError> {
        let id = interface.id.clone();
        for each in [Some(interface), signals].into_iter().flatten() {
            if let Some(unsupported) = &each.unsupported {
                return Err(MappingError::new(&each.id, unsupported.clone()));
            }
        }
        overrides::check(interface, signals, naming)?;

        let module = naming.module.clone();
        let module = module.unwrap_or_else(|| naming::module(&id.package));
        let name = naming.interface.clone();
        let name = name.unwrap_or_else(|| naming::upper_camel(&id.name));
        let prefix = Topic::new(format!("{module}/{name}"))
            .map_err(|error| MappingError::new(&id, error))?;

        let speller = Speller {
            id: &id,
            prefix: &prefix,
            naming,
        };
        let mapping = Self {
            properties: speller.properties(interface)?,
            operations: speller.operations(interface)?,
            signals: signals.map_or(Ok(Vec::new()), |signals| speller.signals(signals))?,
            signals_of: signals.map(|signals| signals.id.clone()),
            prefix,
            id,
        };

        mapping.check_topics()?;
        Ok(mapping)
    }

    /// The filter of all calls of operations.
    ///
    /// # Errors
    /// When the topic becomes too long.
    pub fn calls(&self) -> Result<Filter, TopicError> {
        self.filter("rpc")
    }

    /// The filter of all requests to set a property.
    ///
    /// # Errors
    /// When the topic becomes too long.
    pub fn sets(&self) -> Result<Filter, TopicError> {
        self.filter("set")
    }

    /// The filter of the values of all properties.
    ///
    /// # Errors
    /// When the topic becomes too long.
    pub fn values(&self) -> Result<Filter, TopicError> {
        self.filter("prop")
    }

    /// The filter of all signals.
    ///
    /// # Errors
    /// When the topic becomes too long.
    pub fn emissions(&self) -> Result<Filter, TopicError> {
        self.filter("sig")
    }

    fn filter(&self, verb: &str) -> Result<Filter, TopicError> {
        Filter::new(&format!("{}/{verb}/+", self.prefix))
    }

    fn check_topics(&self) -> Result<(), MappingError> {
        let operations = self.operations.iter().map(|operation| &operation.topic);
        let properties = self.properties.iter().map(|property| &property.topic);
        let signals = self.signals.iter().map(|signal| &signal.topic);

        let mut seen = HashSet::new();
        for topic in operations.chain(properties).chain(signals) {
            if !seen.insert(topic) {
                let problem = MappingProblem::Twice(topic.clone());
                return Err(MappingError::new(&self.id, problem));
            }
        }

        Ok(())
    }
}

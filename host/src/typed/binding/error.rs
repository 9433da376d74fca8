//! The reasons why the interfaces of a service cannot be bound.

use crate::topic::{Topic, TopicError};
use crate::typed::interface::{Interface, InterfaceId};
use crate::typed::mapping::MappingError;

/// The reason why interfaces cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// An interface has no mapping.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// A topic is too long to subscribe to.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// An interface of the configuration that the component does not have.
    #[error(transparent)]
    Missing(Box<MissingInterface>),
    /// An import without a target.
    #[error(
        "the component imports {0}, which this host does not offer; to call it over the network, write `call: ['{0}']` into the \
         section of the service"
    )]
    Unbound(Box<InterfaceId>),
    /// Two members have the same topic.
    #[error("two interfaces have the topic {0}")]
    Twice(Topic),
}

/// An interface of the configuration that the component does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: the component does not {verb} {interface}; it {verb}s {present}")]
pub struct MissingInterface {
    /// The key of the configuration.
    key: &'static str,
    /// `export` or `import`.
    verb: &'static str,
    /// The interface.
    interface: InterfaceId,
    /// Those that it has.
    present: String,
}

/// The error for an interface that is not among the `present` ones.
pub(super) fn missing(
    key: &'static str,
    verb: &'static str,
    interface: &InterfaceId,
    present: &[Interface],
) -> BindingError {
    let present: Vec<String> = present.iter().map(|one| one.id.to_string()).collect();
    BindingError::Missing(Box::new(MissingInterface {
        key,
        verb,
        interface: interface.clone(),
        present: if present.is_empty() {
            "none".to_owned()
        } else {
            present.join(", ")
        },
    }))
}

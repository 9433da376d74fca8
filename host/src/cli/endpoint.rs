//! The interface on the network that a name of the command line means.
//!
//! A service of the configuration is described by its component: names may be those of WIT, and arguments are checked. Any other name is
//! a module on the network, whose members are taken as they are written.

use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;

use super::components;
use super::member::MemberName;
use crate::config::{Config, Selection};
use crate::topic::Topic;
use crate::typed::description::{DescribedInterface, Description, Role};
use crate::typed::json::{self, Limits};
use crate::typed::mapping::{Mapping, Operation, Property};

/// Bytes of one payload.
const LIMITS: Limits = Limits::new(16 << 20);

/// An interface on the network.
pub(super) enum Endpoint {
    /// An interface of a service of the configuration.
    Known(Box<DescribedInterface>),
    /// An interface of a module, about which nothing else is known.
    Unknown(String),
}

impl Endpoint {
    /// Finds the interface of a member.
    ///
    /// # Errors
    /// When the configuration is invalid, or the service has no such interface.
    pub(super) fn find(config: Option<&Path>, name: &MemberName) -> anyhow::Result<Self> {
        let config = Config::load(config, Selection::All)?.config;
        let mut services = config.services.iter();
        let service = services.find(|service| service.name == name.owner);
        let Some(service) = service.filter(|service| service.component.is_some()) else {
            return Ok(Self::Unknown(format!("{}/{}", name.owner, name.interface)));
        };

        let interfaces =
            Description::new(&service.name, None, &components::bind(service)?).interfaces;
        let names: Vec<String> = interfaces
            .iter()
            .map(|interface| interface.mapping.id.to_string())
            .collect();
        let mut found = interfaces
            .into_iter()
            .filter(|interface| components::is_named(&interface.mapping, &name.interface));
        match found.next() {
            Some(interface) => Ok(Self::Known(Box::new(interface))),
            None => bail!(
                "expected an interface of the service {}, which has {}; found {:?}",
                name.owner,
                list(&names),
                name.interface
            ),
        }
    }

    /// Whether a service of this host serves it: such a service answers requests to set a property.
    pub(super) fn answers_set(&self) -> bool {
        match self {
            Self::Known(interface) => interface.role == Role::Serves,
            Self::Unknown(_) => false,
        }
    }

    /// The topic of an operation, and the payload of a call with `arguments`, a JSON array.
    ///
    /// # Errors
    /// When there is no such operation, or the arguments do not fit it.
    pub(super) fn call(&self, name: &str, arguments: &str) -> anyhow::Result<(Topic, Bytes)> {
        match self {
            Self::Known(interface) => {
                let operation = find_operation(&interface.mapping, name)?;
                let parameters = &operation.parameters;
                let values = json::decode_arguments(parameters, arguments.as_bytes(), LIMITS)
                    .context("arguments")?;
                let payload = json::encode_arguments(parameters, &values, LIMITS)?;
                Ok((operation.topic.clone(), payload.into()))
            }
            Self::Unknown(prefix) => {
                let parsed: Vec<serde_json::Value> = serde_json::from_str(arguments)
                    .context("expected arguments as a JSON array")?;
                let payload = serde_json::to_vec(&parsed)?;
                Ok((Topic::new(format!("{prefix}/rpc/{name}"))?, payload.into()))
            }
        }
    }

    /// The topic of the value of a property.
    ///
    /// # Errors
    /// When there is no such property.
    pub(super) fn value(&self, name: &str) -> anyhow::Result<Topic> {
        match self {
            Self::Known(interface) => Ok(find_property(&interface.mapping, name)?.topic.clone()),
            Self::Unknown(prefix) => Ok(Topic::new(format!("{prefix}/prop/{name}"))?),
        }
    }

    /// The topic of requests to set a property, and the payload for `value`, which is JSON.
    ///
    /// # Errors
    /// When there is no such property, it can only be read, or the value does not fit.
    pub(super) fn set(&self, name: &str, value: &str) -> anyhow::Result<(Topic, Bytes)> {
        match self {
            Self::Known(interface) => {
                let property = find_property(&interface.mapping, name)?;
                if property.setter.is_none() {
                    bail!("{name} can only be read");
                }
                let value =
                    json::decode(&property.ty, value.as_bytes(), LIMITS).context("value")?;
                let payload = json::encode(&property.ty, &value, LIMITS)?;
                Ok((property.set_topic.clone(), payload.into()))
            }
            Self::Unknown(prefix) => {
                let parsed: serde_json::Value =
                    serde_json::from_str(value).context("expected a value as JSON")?;
                let payload = serde_json::to_vec(&parsed)?;
                Ok((Topic::new(format!("{prefix}/set/{name}"))?, payload.into()))
            }
        }
    }
}

fn find_operation<'m>(mapping: &'m Mapping, name: &str) -> anyhow::Result<&'m Operation> {
    let mut operations = mapping.operations.iter();
    let found = operations.find(|operation| operation.name.is(name));
    found.with_context(|| {
        let names: Vec<_> = mapping
            .operations
            .iter()
            .map(|one| one.name.wire.clone())
            .collect();
        format!(
            "expected an operation of {}, which has {}; found {name:?}",
            mapping.id,
            list(&names)
        )
    })
}

fn find_property<'m>(mapping: &'m Mapping, name: &str) -> anyhow::Result<&'m Property> {
    let mut properties = mapping.properties.iter();
    let found = properties.find(|property| property.name.is(name));
    found.with_context(|| {
        let names: Vec<_> = mapping
            .properties
            .iter()
            .map(|one| one.name.wire.clone())
            .collect();
        format!(
            "expected a property of {}, which has {}; found {name:?}",
            mapping.id,
            list(&names)
        )
    })
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

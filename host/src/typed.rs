//! Typed interfaces over MQTT: the model of WIT interfaces, their topics, and values as JSON. Pure.
//!
//! An [`Interface`](interface::Interface) is read from a component. A [`Mapping`](mapping::Mapping) puts it on the network: as
//! operations, properties and signals, each with its topic, in the format of ApiGear. [`json`] converts values of any WIT type to
//! payloads and back. [`answer`] makes the answer to a call.

pub mod answer;
pub mod binding;
pub mod compatibility;
pub mod description;
pub mod error_value;
pub mod interface;
pub mod json;
pub mod mapping;
pub mod naming;
pub mod types;
pub mod value;

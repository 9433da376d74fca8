//! The MQTT session.

pub mod link;

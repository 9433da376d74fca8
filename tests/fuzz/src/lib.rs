//! The fuzz targets: each takes any bytes, and panics if a property that always holds does not hold.

mod components;
mod configuration;
mod packets;
mod topics;

/// A function that takes the bytes.
pub type Target = fn(&[u8]);

/// All targets, each with the name of its folder in `corpus`.
pub const TARGETS: [(&str, Target); 4] = [
    ("packets", packets::run),
    ("configuration", configuration::run),
    ("topics", topics::run),
    ("components", components::run),
];

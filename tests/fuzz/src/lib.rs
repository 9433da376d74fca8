//! What is fuzzed. In: any bytes. Out: nothing, or a panic when something does not hold that always must. Owns the engine that
//! compiles components.

mod components;
mod configuration;
mod packets;
mod topics;

/// What bytes are given to.
pub type Target = fn(&[u8]);

/// All targets, each with the name of its folder in `corpus`.
pub const TARGETS: [(&str, Target); 4] = [
    ("packets", packets::run),
    ("configuration", configuration::run),
    ("topics", topics::run),
    ("components", components::run),
];

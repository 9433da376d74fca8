//! Module descriptions of ApiGear (`schema: apigear.module/1.0`), and their translation into WIT packages and back. Pure.
//!
//! Each ApiGear interface `X` becomes two WIT interfaces: `x` with its operations, and with `get-y` and `set-y` for each property
//! `y`; and `x-signals` with its signals. Structures and enumerations go into the interface `types`. A WIT package of this form becomes
//! an ApiGear module.

mod from_wit;
mod keys;
mod module;
mod names;
mod overrides;
mod read;
mod read_enum;
mod read_type;
mod scope;
mod to_wit;
mod to_yaml;

pub use from_wit::FromWitError;
pub use module::Module;

#[cfg(test)]
mod tests;

//! Machine: guests. In: the bytes of a `.wasm` file, then messages and due timers. Out: `Effects`, or a `Fault` that says
//! what went wrong. Owns everything between: engines, compile cache, linker, contract check, instances and their limits.
//!
//! This is the only module that knows wasmtime. A [`Engine`] compiles bytes into a [`Component`]; a component makes any number
//! of [`Instance`]s; an instance runs one [`Call`] at a time and gives back the [`Effects`](crate::effects::Effects) of it.

mod address_space;
mod api;
mod belongings;
mod bindings;
mod compile_pool;
mod compile_process;
mod component;
mod contract;
mod describe;
mod draft;
mod engine;
mod exports;
mod fault;
mod file_kind;
mod http;
mod instance;
mod ledger;
mod limits;
mod linker;
mod meter;
mod output;
mod pause;
mod pool;
mod reach;
mod request;
mod sockets;
mod store;
mod ticker;
mod voice;

pub use belongings::Belongings;
pub use component::{Component, ComponentError, MAX_COMPONENT_BYTES};
pub use contract::{ContractFaults, WitError};
pub use describe::{ComponentDescription, Description};
pub use engine::{Engine, EngineError, EngineOptions};
pub use exports::{Exports, OptionalExport};
pub use fault::Fault;
pub use file_kind::FileKind;
pub use instance::{Call, Instance};
pub use meter::{Meter, Requested};
pub use request::{Request, RequestFailure, Requests};

#[cfg(test)]
mod tests;

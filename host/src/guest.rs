//! Guests: the only module that uses wasmtime.
//!
//! An [`Engine`] compiles bytes into a [`Component`]. A component creates any number of [`Instance`]s. An instance runs one
//! [`Call`] at a time and returns its [`Effects`](crate::effects::Effects), or a [`Fault`].

mod address_space;
mod api;
mod bindings;
mod call_state;
mod code_cache;
mod compile_pool;
mod compile_process;
mod compiled_component;
mod component;
mod contract;
mod describe;
mod engine;
mod entry;
mod exports;
mod fault;
mod file_kind;
mod function_cache;
mod grant_usage;
mod http;
mod input_recorder;
mod input_source;
mod instance;
mod interruption;
mod ip_policy;
mod limits;
mod linked_engine;
mod linker;
mod log_quota;
mod meter;
mod output;
mod peers;
mod pool;
mod property_cache;
mod random_source;
mod remote_call;
mod request;
mod script;
mod service_state;
mod shared_values;
mod socket_policy;
mod sockets;
mod state_overlay;
mod store;
mod ticker;
mod time_limit;
mod typed;
mod undo_map;
mod virtual_clock;
mod wait_clock;

pub use code_cache::CodeCacheError;
pub use component::{Component, ComponentError, MAX_COMPONENT_BYTES};
pub use contract::{ContractFaults, WitError};
pub use describe::{ComponentDescription, Description};
pub use engine::{Engine, EngineError, EngineOptions};
pub use exports::{Exports, OptionalExport};
pub use fault::Fault;
pub use file_kind::FileKind;
pub use grant_usage::{GrantKind, GrantUsage};
pub use input_recorder::{InputRecorder, TooManyInputs};
pub use input_source::InputSource;
pub use instance::{Call, Instance};
pub use interruption::INTERRUPTION_GRACE;
pub use meter::{Meter, RequestCounts};
pub use peers::Peer;
pub use property_cache::PropertyCache;
pub use request::{
    LOCAL_RESPONSES, LocalService, Request, RequestCommand, RequestFailure, Requests, WatchGuard,
};
pub use script::Script;
pub use service_state::ServiceState;
pub use virtual_clock::VirtualClock;

#[cfg(test)]
mod tests;

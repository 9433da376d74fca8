//! The functions that guests may call, one module for each interface of `wit/service.wit`. They add to the effects of the
//! running call or return an error that says why not. None of them does any I/O, and only `request` waits.

pub(super) mod config;
pub(super) mod log;
pub(super) mod messaging;
mod properties;
pub(super) mod request;
pub(super) mod state;
pub(super) mod timers;

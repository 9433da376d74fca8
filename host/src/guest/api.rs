//! Machine: what guests may call. In: calls through the interfaces of `wit/service.wit`, one module for each. Out: entries in
//! the effects of the running call, or a refusal that says why. Owns nothing; none of these functions does any I/O, and only
//! `request` waits.

pub(super) mod config;
pub(super) mod log;
pub(super) mod messaging;
mod request;
pub(super) mod state;
pub(super) mod timers;

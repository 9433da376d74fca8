//! MIQRO host: runs MQTT services as sandboxed WebAssembly components over one MQTT session.
//!
//! `ARCHITECTURE.md` has the picture: the rooms in the order in which a message meets them, and the way of a message.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod apigear;
pub mod app;
pub mod backoff;
#[cfg(feature = "embedded-broker")]
pub mod broker;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod effects;
pub mod fault_kind;
pub mod guest;
pub mod logging;
pub mod mailbox;
pub mod message;
pub mod mqtt_control;
pub mod offline;
pub mod panic_hook;
pub mod password;
pub mod pem;
pub mod priority;
pub mod project;
pub mod recording;
pub mod rejection_log;
pub mod request_reply;
pub mod rollout;
pub mod router;
pub mod secure_dir;
pub mod service;
pub mod service_ctx;
pub mod session;
pub mod signature;
pub mod span;
pub mod store;
pub mod supervisor;
pub mod tap;
pub mod testing;
pub mod text;
pub mod timers;
pub mod token_bucket;
pub mod topic;
pub mod trace_context;
pub mod traces;
pub mod typed;
pub mod version;
pub mod watch;
pub mod web;

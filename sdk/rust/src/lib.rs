//! Write MQTT services for MIQRO host in Rust.
//!
//! A struct with annotated methods becomes a component that fulfils `wit/service.wit`, and a service that a native unit test can run.
//!
//! ```
//! use miqro_sdk::prelude::*;
//!
//! #[derive(Default)]
//! struct Thermostat {
//!     wanted: f64,
//! }
//!
//! #[service]
//! impl Thermostat {
//!     /// `service/thermostat/set`, with a number as its payload
//!     #[handle("set")]
//!     fn set(&mut self, wanted: f64) -> Result {
//!         self.wanted = wanted;
//!         message("wanted").qos(1).retain().send(wanted).map(drop)
//!     }
//!
//!     /// any room's sensor; the payload comes first, then the matches of the wildcards
//!     #[handle("home/+/temperature", global)]
//!     fn measured(&mut self, degrees: f64, room: &str) -> Result {
//!         let heats = degrees < self.wanted;
//!         message(&format!("home/{room}/heating/set")).global().only_if_changed().send(heats).map(drop)
//!     }
//!
//!     #[every("1m", jitter = "5s")]
//!     fn alive(&mut self) -> Result {
//!         publish("alive", ())
//!     }
//! }
//!
//! // in a test:
//! let mut host = miqro_sdk::test::TestHost::<Thermostat>::setup().grant("home/#").start().unwrap();
//! host.expect_next("alive", ""); // the loop runs at once
//! host.send("set", "21.5").unwrap();
//! host.expect_next("wanted", "21.5");
//! host.send_global("home/kitchen/temperature", "20").unwrap();
//! host.expect_next("home/kitchen/heating/set", "1");
//! ```
//!
//! Publishes, subscriptions, state and timers of a method take effect when it succeeds, and not at all when it returns an error; then
//! the host tries the message again. [`service`](macro@service) documents the annotations.

extern crate self as miqro_sdk;

pub mod clock;
#[doc(hidden)]
pub mod component;
pub mod config;
mod counters;
mod decode;
mod encode;
mod error;
mod finite;
mod handlers;
pub mod home_assistant;
mod host;
pub mod http;
pub mod json;
pub mod log;
mod message;
mod messaging;
mod registry;
mod request;
mod runtime;
mod service;
pub mod span;
pub mod state;
pub mod streams;
#[cfg(not(target_family = "wasm"))]
pub mod test;
pub mod timers;
pub mod topic;

#[doc(hidden)]
pub use miqro_sdk_bindings as bindings;
pub use miqro_sdk_macros::{interfaces, serve, service};

pub use counters::{Counters, counters};
pub use decode::{Decode, Json};
pub use encode::Encode;
pub use error::{
    DecodeError, Error, MessagingError, RequestError, Result, StateError, TimersError,
};
pub use handlers::{HandlerId, NewHandler, handler};
pub use message::Message;
pub use messaging::{
    DeliveryOutcome, Properties, Publication, Token, message, publish, publish_json,
    publish_json_keys, subscribe, unsubscribe,
};
pub use request::{Request, Response, request};
pub use runtime::Runtime;
pub use service::{
    Handler, IntoFlow, IntoOutcome, IntoSaved, LoopSpec, Service, TimerSpec, Timing,
};
pub use span::Span;
pub use timers::Loop;

/// The items that a service usually needs.
pub mod prelude {
    pub use std::ops::ControlFlow;
    pub use std::time::Duration;

    pub use serde_json::json;

    pub use crate::{
        DeliveryOutcome, Error, Json, Loop, Message, Response, Result, Service, Span, Token, clock,
        config, counters, debug, error, handler, info, message, publish, publish_json,
        publish_json_keys, request, serve, service, state, timers, warn,
    };
}

#[doc(hidden)]
pub use serde_json;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;

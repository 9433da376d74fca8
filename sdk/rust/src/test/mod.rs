//! The test kit: a service runs natively, in a unit test, with neither broker nor clock. The test sends messages, lets time pass and
//! answers requests; then it looks at publishes, state, timers and log. A thread has one such host.
//!
//! ```
//! use miqro_sdk::prelude::*;
//! use miqro_sdk::test::TestHost;
//! use std::time::Duration;
//!
//! #[derive(Default)]
//! struct Echo;
//!
//! #[service]
//! impl Echo {
//!     #[every("10s")]
//!     fn demo(&mut self) -> Result {
//!         publish("foo", "bar")
//!     }
//!     #[handle("echo")]
//!     fn echo(&mut self, payload: &[u8]) -> Result {
//!         publish("echo_response", payload)
//!     }
//! }
//!
//! let mut host = TestHost::<Echo>::start().unwrap();
//! host.expect_next("foo", "bar"); // the loop runs at once
//! host.send("echo", "hello").unwrap();
//! host.expect_next("echo_response", "hello");
//! host.advance(Duration::from_secs(10)).unwrap();
//! host.expect_next("foo", "bar");
//! host.expect_nothing();
//! ```
//!
//! It is there in native programs only; a component talks to the real host.

mod host;
pub(crate) mod imports;
mod setup;
mod timers;
mod world;

pub use host::{Incoming, TestHost};
pub use setup::Setup;
pub use world::{LogLine, Request, Sent};

use crate::test::world::with;

/// Sets the service's section without a [`TestHost`], for a test of something that only reads it.
pub fn set_config(section: serde_json::Value) {
    with(|world| world.config = section.to_string());
    crate::json::reset();
}

/// Grants a filter, without a [`TestHost`].
pub fn grant(filter: &str) {
    with(|world| world.grants.push(filter.to_owned()));
}

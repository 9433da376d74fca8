//! The harness of the tests: starts real brokers, real hosts and real clients, and waits for events with a deadline.
//!
//! Nothing in it sleeps: a broker is ready when it says so, a host when its services are online, a message is there
//! when it arrives. An event that does not happen before the deadline is an error that names it.

pub mod client;
pub mod collector;
pub mod deadline;
pub mod guests;
pub mod host;
pub mod load;
pub mod message;
pub mod mosquitto;
pub mod output;
pub mod place;
pub mod probe;
pub mod process;
pub mod shim;
pub mod terminal;
pub mod web;
pub mod wire;

pub use client::{Client, Version};
pub use collector::Collector;
pub use deadline::Deadline;
pub use host::Host;
pub use load::{Load, Tally};
pub use message::{Message, Properties};
pub use mosquitto::Mosquitto;
pub use terminal::Terminal;
pub use web::Web;
pub use wire::{Fault, Wire};

//! The load generator, on one thread. It plays the broker of a contender, or is a client of a real
//! broker, and is much faster than anything that it measures.

pub mod client;
pub mod link;
pub mod listener;
pub mod metronome;
pub mod paced;
pub mod pump;

pub use link::Link;
pub use listener::Listener;

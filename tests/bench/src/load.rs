//! The load generator, on one thread. It plays the broker of a contender, or is a client of a real
//! broker, and is much faster than anything that it measures.

pub(crate) mod client;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod metronome;
pub(crate) mod paced;
pub(crate) mod pump;

pub(crate) use link::Link;
pub(crate) use listener::Listener;

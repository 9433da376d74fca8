//! The load generator. In: a contender's connection (the generator plays broker) or a broker's address (it is a client).
//! Out: figures of one measurement. Owns its sockets; one thread, and much faster than what it measures.

pub mod client;
pub mod link;
pub mod listener;
pub mod metronome;
pub mod paced;
pub mod pump;

pub use link::Link;
pub use listener::Listener;

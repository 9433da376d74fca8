//! Tests of a component without broker and without clock: the contract's own suite, and scenarios that the user writes.
//!
//! [`replay`] runs a component on a recording of a running service.
//!
//! A [`Bench`] plays broker, clock and operator for one guest, on the same engine, with the same limits and grants as the host. Its
//! clock moves only when the test says so. [`contract::suite`] puts every component through what each service has to survive;
//! [`Scenario`]s say what one service does.

mod answers;
mod bench;
mod case;
mod content;
pub mod contract;
mod difference;
mod junit;
mod player;
mod replay;
mod scenario;

pub use bench::{Bench, BenchError};
pub use case::{Case, Suite};
pub use junit::junit;
pub use player::play;
pub use replay::{Replay, replay};
pub use scenario::{Given, Scenario, ScenarioError};

//! The HTTP server for operators and metrics. It is thin: every request becomes a [`Request`](crate::control::Request) of the control
//! channel, and every answer is JSON or metrics of the same snapshot.

mod guard;
mod metrics;
mod routes;
mod server;
mod stream;

pub use server::{Server, WebError};

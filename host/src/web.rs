//! The HTTP server for operators and metrics. It is thin: every request becomes a [`Request`](crate::control::Request) of the control
//! channel, and every answer is JSON or metrics of the same snapshot.

mod certificate;
mod failures;
mod guard;
mod login;
mod metrics;
mod page;
mod response;
mod routes;
mod server;
mod sessions;
mod stream;
mod upload;

pub use certificate::CertificateError;
pub use login::random_token;
pub use server::{Server, WebError};

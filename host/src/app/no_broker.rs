//! Stand-in for the embedded broker in a build without the feature `embedded-broker`. Starting it fails with an error that says
//! how to get a broker.

use std::convert::Infallible;
use std::net::SocketAddr;

use crate::config::{Credentials, EmbeddedBroker};

/// There is no embedded broker in this build.
#[derive(Debug, thiserror::Error)]
#[error(
    "this build has no embedded broker; write broker: {{host: <name>}} into miqro.yml, or build with the feature embedded-broker"
)]
pub struct BrokerError;

/// Cannot exist.
pub struct BrokerHandle(Infallible);

impl BrokerHandle {
    /// Address that it listens on.
    pub fn address(&self) -> SocketAddr {
        match self.0 {}
    }

    /// Waits until it ends.
    pub async fn wait_for_end(&mut self) -> BrokerError {
        match self.0 {}
    }

    /// Stops it.
    ///
    /// # Errors
    /// Never.
    pub async fn stop(self) -> Result<(), BrokerError> {
        match self.0 {}
    }
}

/// The host's own session.
pub struct Owner<'a> {
    /// Its client identifier.
    pub client_id: &'a str,
    /// Its user.
    pub credentials: Option<&'a Credentials>,
    /// Bytes of the largest packet that it sends or expects.
    pub largest_packet: usize,
}

/// Says that there is none.
///
/// # Errors
/// Always.
pub async fn start(_: &EmbeddedBroker, _: Option<Owner<'_>>) -> Result<BrokerHandle, BrokerError> {
    Err(BrokerError)
}

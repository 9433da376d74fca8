//! The embedded broker in the life of the host: its start, its own end, and its stop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use anyhow::Context;
use tracing::warn;

use crate::config::{Broker, Connection};

use super::broker;

/// Starts the embedded broker if it is configured, and returns the settings to reach the broker.
///
/// # Errors
/// When the embedded broker cannot start.
pub(super) async fn connect(
    broker: Broker,
    threads: &tokio::runtime::Runtime,
) -> anyhow::Result<(Connection, Option<broker::Running>)> {
    match broker {
        Broker::Remote(connection) => Ok((connection, None)),
        Broker::Embedded(embedded, mut connection) => {
            let wanted = embedded.listen;
            let client_id = connection.client_id.clone();
            let credentials = connection.credentials.clone();
            let running = threads
                .spawn(async move {
                    let owner = broker::Owner {
                        client_id: &client_id,
                        credentials: credentials.as_ref(),
                    };
                    broker::start(&embedded, Some(owner)).await
                })
                .await
                .context("starting the embedded broker")??;
            let address = running.address();
            if address.port() != wanted.port() && wanted.port() != 0 {
                warn!("{wanted} is in use; the embedded broker listens on {address} instead");
            }
            connection.host = reachable(address.ip()).to_string();
            connection.port = address.port();
            Ok((connection, Some(running)))
        }
    }
}

/// Address at which this machine reaches a server that listens on `address`.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    }
}

/// Lets the embedded broker write its data.
pub(super) async fn stop(broker: broker::Running, deadline: Instant) {
    match tokio::time::timeout_at(deadline.into(), broker.stop()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("{error}"),
        Err(_) => {
            warn!("the embedded broker has not ended in time; its unwritten data is lost")
        }
    }
}

/// Waits until the embedded broker ends by itself. The host cannot work without it.
pub(super) async fn ended(broker: &mut Option<broker::Running>) -> broker::BrokerError {
    match broker {
        Some(broker) => broker.ended().await,
        None => std::future::pending().await,
    }
}

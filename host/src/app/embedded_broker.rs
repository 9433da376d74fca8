//! The embedded broker in the life of the host: its start, its own end, and its stop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use anyhow::Context;
use tracing::warn;

use crate::config::{Broker, Connection, Service};

use super::broker;

/// Bytes of a packet besides its payload: a topic and properties, each as long as MQTT allows.
const PACKET_OVERHEAD: usize = 128 * 1024;

/// Bytes of the largest payload that a service may publish.
pub(super) fn largest_payload(services: &[Service]) -> usize {
    let payloads = services.iter().map(|service| service.limits.call.payload);
    payloads.max().unwrap_or_default()
}

/// Starts the embedded broker if it is configured, and returns the settings to reach the broker. `largest_payload`: of all
/// services, in bytes.
///
/// # Errors
/// When the embedded broker cannot start.
pub(super) async fn connect(
    broker: Broker,
    largest_payload: usize,
    threads: &tokio::runtime::Runtime,
) -> anyhow::Result<(Connection, Option<broker::BrokerHandle>)> {
    match broker {
        Broker::Remote(connection) => Ok((connection, None)),
        Broker::Embedded(embedded, mut connection) => {
            let wanted = embedded.listen;
            let client_id = connection.client_id.clone();
            let credentials = connection.credentials.clone();
            let session = usize::try_from(connection.session.max_packet_size).unwrap_or(usize::MAX);
            let largest_packet = session.max(largest_payload.saturating_add(PACKET_OVERHEAD));
            let running = threads
                .spawn(async move {
                    let owner = broker::Owner {
                        client_id: &client_id,
                        credentials: credentials.as_ref(),
                        largest_packet,
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
pub(super) async fn stop(broker: broker::BrokerHandle, deadline: Instant) {
    match tokio::time::timeout_at(deadline.into(), broker.stop()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("{error}"),
        Err(_) => {
            warn!("the embedded broker has not ended in time; its unwritten data is lost")
        }
    }
}

/// Waits until the embedded broker ends by itself. The host cannot work without it.
pub(super) async fn wait_for_end(broker: &mut Option<broker::BrokerHandle>) -> broker::BrokerError {
    match broker {
        Some(broker) => broker.wait_for_end().await,
        None => std::future::pending().await,
    }
}

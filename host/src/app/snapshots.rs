//! Snapshots of the host: each part is asked for its share, with a bound for slow ones.

use std::time::Duration;

use futures_util::future::FutureExt;

use super::answer::AnswerFuture;
use super::runtime::Runtime;
use crate::config::Connection;
use crate::control::{Answer, BrokerSnapshot, HostSnapshot};
use crate::service::ServiceSnapshot;
use crate::session::{ConnectionStatus, Handle};
use crate::store::Store;
use crate::traces::Tracer;

/// How long a service may take to answer for a snapshot; one in a longer call is shown without its activity.
const PATIENCE: Duration = Duration::from_millis(500);

impl Runtime<'_> {
    /// Makes a snapshot of the host and its services.
    pub(super) fn snapshot(&self) -> AnswerFuture {
        let services = self.supervisor.snapshots(PATIENCE);
        let store = self.deps.shared.store.clone();
        let session = self.sessions.main();
        let tracer = self.deps.shared.tracer.as_ref();
        let host = HostSnapshot {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            broker: broker(self.sessions.connection(), &session),
            log_lines_lost: self.logs.lost(),
            spans_lost: tracer.map_or(0, Tracer::lost),
            services: Vec::new(),
        };

        async move {
            let services = with_dead_letters(services.await, &store).await;
            let services = with_granted_qos(services, &session).await;
            Ok(Answer::Snapshot(Box::new(HostSnapshot {
                services,
                ..host
            })))
        }
        .boxed()
    }
}

/// The connection to the broker.
fn broker(connection: &Connection, session: &Handle) -> BrokerSnapshot {
    let (connected, connections, reason) = match &*session.status().borrow() {
        ConnectionStatus::Connected { count, .. } => (true, *count, None),
        ConnectionStatus::Disconnected { reason } => (false, 0, Some(reason.clone())),
        ConnectionStatus::Connecting => (false, 0, Some("connecting".to_owned())),
        ConnectionStatus::Stopped => (false, 0, Some("the session has ended".to_owned())),
    };

    BrokerSnapshot {
        address: format!("{}:{}", connection.host, connection.port),
        client_id: connection.client_id.clone(),
        connected,
        connections,
        reason,
        quarantined: quarantined(session),
    }
}

/// Adds the numbers of dead letters; none when they cannot be read.
async fn with_dead_letters(
    mut services: Vec<ServiceSnapshot>,
    store: &Store,
) -> Vec<ServiceSnapshot> {
    let names = services.iter().map(|service| service.name.clone());
    let counts = store.count_dead_letters(names.collect()).await;
    for (service, count) in services.iter_mut().zip(counts.unwrap_or_default()) {
        service.dead_letters = Some(count);
    }
    services
}

/// Adds the quality of service that the broker granted; none while the session does not answer.
async fn with_granted_qos(
    mut services: Vec<ServiceSnapshot>,
    session: &Handle,
) -> Vec<ServiceSnapshot> {
    let granted = tokio::time::timeout(PATIENCE, session.granted_subscriptions()).await;
    let granted = granted.unwrap_or_default();
    let activities = services
        .iter_mut()
        .filter_map(|service| service.activity.as_mut());
    for subscription in activities.flat_map(|activity| &mut activity.subscriptions) {
        let confirmed = granted.get(&subscription.filter);
        subscription.requested_qos = confirmed.map(|confirmed| confirmed.requested);
        subscription.granted_qos = confirmed.map(|confirmed| confirmed.granted);
    }

    services
}

/// Filters that are not subscribed to, because the broker ends the connection for them.
pub(super) fn quarantined(session: &Handle) -> Vec<String> {
    let quarantine = session.quarantine();
    let filters = quarantine.borrow();
    filters.iter().map(ToString::to_string).collect()
}

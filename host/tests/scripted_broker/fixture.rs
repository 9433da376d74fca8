//! A session, one service's mailbox, and the scripted broker that they talk to.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::{Duration, Instant};

use miqro_host::config::{
    Connection, OutboxLimits, Protocol, SessionSettings, Tls, Transport, WaitRange, WhenFull,
};
use miqro_host::mailbox::{self, Delivery, Mailbox, Next};
use miqro_host::message::{Message, Qos, Receipt, Subscription, SubscriptionChange};
use miqro_host::router::{Router, ServiceId};
use miqro_host::session::{
    Command, Commit, ConnectionStatus, Handle, Session, SessionError, StopSummary,
};
use miqro_host::topic::{Filter, Topic};
use tokio::task::JoinHandle;

use super::{Broker, Peer, Seen, soon};

pub(crate) const SERVICE: ServiceId = ServiceId(1);

pub(crate) struct Rig {
    pub broker: Broker,
    pub handle: Handle,
    pub mailbox: Mailbox,
    pub run: JoinHandle<Result<StopSummary, SessionError>>,
}

impl Rig {
    /// A session that is subscribed to `in/#`.
    pub(crate) async fn new(protocol: Protocol) -> Self {
        Self::with(protocol, |_| {}).await
    }

    pub(crate) async fn with(protocol: Protocol, change: impl FnOnce(&mut Connection)) -> Self {
        let broker = Broker::new(protocol).await;
        let mut connection = connection(&broker);
        change(&mut connection);
        let mut router = Router::new();
        let limits = mailbox::Limits {
            messages: 100_000,
            bytes: usize::MAX,
            when_full: WhenFull::DropNewest,
        };
        let (sender, mailbox) = mailbox::mailbox(limits);
        router.attach(SERVICE, sender, &[subscription("in/#", Qos::ExactlyOnce)]);
        let will = Message::new(Topic::new("will").unwrap(), "0", Qos::AtLeastOnce, true);
        let (session, handle) = Session::new(connection, Some(will), router);
        Self {
            broker,
            handle,
            mailbox,
            run: tokio::spawn(session.run()),
        }
    }

    /// The next connection, accepted and subscribed.
    pub(crate) async fn ready(&self, session_present: bool) -> Peer {
        let mut peer = self.broker.connected(session_present).await;
        peer.subscribed().await;
        peer
    }

    /// The next connection with the session kept. In 3.1.1 nothing is subscribed again then.
    pub(crate) async fn resumed(&self) -> Peer {
        match self.broker.protocol {
            Protocol::V5 => self.ready(true).await,
            Protocol::V311 => self.broker.connected(true).await,
        }
    }

    /// Breaks `peer` and gives the next connection, with the session kept.
    pub(crate) async fn resumed_after(&self, peer: Peer) -> Peer {
        drop(peer);
        self.resumed().await
    }

    /// Breaks `peer` and gives the next connection, which has to subscribe again.
    pub(crate) async fn ready_again(&self, peer: Peer) -> Peer {
        drop(peer);
        self.ready(true).await
    }

    pub(crate) async fn publish(&self, topic: &str, qos: u8, payload: &str) {
        self.commit(None, vec![message(topic, qos, payload)]).await;
    }

    pub(crate) async fn commit(&self, receipt: Option<Receipt>, publishes: Vec<Message>) {
        let publishes = publishes.into_iter().map(Into::into).collect();
        let commit = Commit {
            receipt,
            publishes,
            ..Commit::new(SERVICE)
        };
        soon(
            "room for a commit",
            self.handle.send(Command::Commit(commit)),
        )
        .await;
    }

    pub(crate) async fn change(&self, subscriptions: Vec<SubscriptionChange>) {
        let commit = Commit {
            subscriptions,
            ..Commit::new(SERVICE)
        };
        self.handle.send(Command::Commit(commit)).await;
    }

    pub(crate) async fn delivery(&mut self) -> Delivery {
        loop {
            match soon("a delivery", self.mailbox.next()).await {
                Next::Delivery(delivery) => return delivery,
                Next::Notice(_) => {}
                other => panic!("not a delivery: {other:?}"),
            }
        }
    }

    /// The payload of the next delivery, and its receipt.
    pub(crate) async fn next(&mut self) -> (String, Option<Receipt>) {
        let delivery = self.delivery().await;
        (
            String::from_utf8_lossy(&delivery.message.payload).into_owned(),
            delivery.receipt,
        )
    }

    pub(crate) fn nothing_delivered(&mut self) -> bool {
        !matches!(self.mailbox.try_next(), Some(Next::Delivery(_)))
    }

    pub(crate) async fn status(
        &self,
        wanted: impl FnMut(&ConnectionStatus) -> bool,
    ) -> ConnectionStatus {
        let mut status = self.handle.status();
        soon("a connection status", status.wait_for(wanted))
            .await
            .unwrap()
            .clone()
    }

    /// Waits until the session has seen that the connection is gone.
    pub(crate) async fn disconnected(&self) -> String {
        match self
            .status(|status| matches!(status, ConnectionStatus::Disconnected { .. }))
            .await
        {
            ConnectionStatus::Disconnected { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn stop(&self, within: Duration) {
        self.handle.stop(Instant::now() + within);
    }

    pub(crate) async fn ended(&mut self) -> Result<StopSummary, SessionError> {
        soon("the end of the session", &mut self.run).await.unwrap()
    }
}

pub(crate) fn connection(broker: &Broker) -> Connection {
    Connection {
        host: "127.0.0.1".to_owned(),
        port: broker.port(),
        transport: Transport::Tcp,
        bind_address: None,
        client_id: "rig".to_owned(),
        credentials: None,
        tls: Tls::default(),
        session: SessionSettings {
            protocol: broker.protocol,
            keepalive: Duration::from_secs(60),
            session_expiry: Duration::from_secs(300),
            clean_start: false,
            receive_maximum: 64,
            max_packet_size: 1 << 20,
            connect_timeout: Duration::from_secs(5),
            delivery_timeout: Duration::from_secs(10),
            reconnect: WaitRange {
                min: Duration::from_millis(10),
                max: Duration::from_millis(50),
            },
            outbox: OutboxLimits {
                messages: 10_000,
                bytes: 10_000_000,
            },
        },
    }
}

pub(crate) fn message(topic: &str, qos: u8, payload: &str) -> Message {
    Message::new(
        Topic::new(topic.to_owned()).unwrap(),
        payload.to_owned(),
        Qos::try_from(qos).unwrap(),
        false,
    )
}

pub(crate) fn subscription(filter: &str, qos: Qos) -> Subscription {
    Subscription {
        filter: Filter::new(filter).unwrap(),
        qos,
    }
}

/// The test body for both protocol versions.
macro_rules! both_versions {
    ($(#[$meta:meta])* $name:ident, $body:expr) => {
        mod $name {
            use super::*;
            $(#[$meta])*
            #[tokio::test]
            async fn mqtt_5() {
                ($body)(Protocol::V5).await;
            }
            $(#[$meta])*
            #[tokio::test]
            async fn mqtt_3_1_1() {
                ($body)(Protocol::V311).await;
            }
        }
    };
}
pub(crate) use both_versions;

pub(crate) fn is_closed(seen: &Seen) -> bool {
    matches!(seen, Seen::Closed)
}

//! Decides which users may connect, and bounds sessions and retained messages. Passwords are kept as
//! digests.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use mqtt5::MqttError;
use mqtt5::broker::events::{
    ClientConnectEvent, ClientPublishEvent, PublishAction, RetainedSetEvent,
};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::DynamicStorage;
use mqtt5::broker::{AuthProvider, AuthResult, BrokerEventHandler, StorageBackend};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use sha2::{Digest, Sha256};

use crate::config::{BrokerLimits, Credentials};

use super::BrokerError;
use super::full_clients::{CHANNEL, Client, FullClients};
use super::refusals::{Refusal, RefusalLog};
use super::retained_usage::RetainedUsage;

tokio::task_local! {
    /// The client whose connection this task serves.
    pub static CLIENT: Arc<Client>;
}

/// Users that may connect. Passwords are kept as digests, so that comparing them takes no longer for a better guess.
pub(super) struct Users(HashMap<String, [u8; 32]>);

impl Users {
    /// The users of the configuration.
    ///
    /// # Errors
    /// When one has no password.
    pub(super) fn new<'a>(
        users: impl Iterator<Item = &'a Credentials>,
    ) -> Result<Self, BrokerError> {
        let digest = |user: &Credentials| match &user.password {
            Some(password) => Ok((user.username.clone(), Sha256::digest(password).into())),
            None => Err(BrokerError::NoPassword(user.username.clone())),
        };
        users.map(digest).collect::<Result<_, _>>().map(Self)
    }

    fn authenticate(&self, connect: &ConnectPacket) -> Option<&str> {
        let (name, password) = connect
            .username
            .as_deref()
            .zip(connect.password.as_deref())?;
        let (name, expected) = self.0.get_key_value(name)?;
        (Sha256::digest(password)[..] == expected[..]).then_some(name)
    }
}

/// Answers the crate's questions.
pub(super) struct AccessControl {
    /// `None`: everybody may connect.
    pub users: Option<Users>,
    /// Client identifier of the host's own session.
    pub owner: Option<String>,
    pub router: Arc<MessageRouter>,
    pub limits: Arc<BrokerLimits>,
    pub storage: Arc<DynamicStorage>,
    pub refusals: Arc<RefusalLog>,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AccessControl {
    async fn admit(&self, connect: &ConnectPacket, from: SocketAddr) -> AuthResult {
        let user = match &self.users {
            None => None,
            Some(users) => match users.authenticate(connect) {
                Some(name) => Some(name),
                None => {
                    self.refusals
                        .record(Refusal::Login, || describe(connect, from));
                    return AuthResult::fail(ReasonCode::BadUsernameOrPassword);
                }
            },
        };

        if is_persistent(connect) && !self.has_room_for(&connect.client_id).await {
            self.refusals
                .record(Refusal::Sessions, || describe(connect, from));
            return AuthResult::fail(ReasonCode::QuotaExceeded);
        }
        // with the name the broker lets nobody else take over the session of this client id
        user.map_or_else(AuthResult::success, AuthResult::success_with_user)
    }

    /// The crate's own limit would also count the subscriptions of the host, which has those of all services.
    async fn may_subscribe(&self, client: &str, filter: &str) -> bool {
        self.owner.as_deref() == Some(client)
            || self.router.has_subscription(client, filter).await
            || self.router.subscription_count_for_client(client).await < self.limits.subscriptions
    }

    async fn has_room_for(&self, client: &str) -> bool {
        // a storage that cannot be read does not keep clients out
        let sessions = self.storage.session_client_ids().await.unwrap_or_default();
        sessions.len() < self.limits.sessions || sessions.iter().any(|known| known == client)
    }
}

/// Whether the session outlives the connection.
fn is_persistent(connect: &ConnectPacket) -> bool {
    match connect.protocol_version {
        5 => connect
            .properties
            .get_session_expiry_interval()
            .is_some_and(|seconds| seconds > 0),
        _ => !connect.clean_start,
    }
}

fn describe(connect: &ConnectPacket, from: SocketAddr) -> String {
    let user = connect
        .username
        .as_deref()
        .map_or_else(String::new, |user| format!(", user {user:?}"));
    format!("client {:?}{user}, from {from}", connect.client_id)
}

impl AuthProvider for AccessControl {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        from: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move { Ok(self.admit(connect, from).await) })
    }

    fn authorize_publish<'a>(
        &'a self,
        _: &str,
        _: Option<&'a str>,
        _: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(ready(true))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client: &str,
        _: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let client = client.to_owned();
        Box::pin(async move {
            let allowed = self.may_subscribe(&client, filter).await;
            if !allowed {
                self.refusals
                    .record(Refusal::Subscriptions, || format!("client {client:?}"));
            }
            allowed
        })
    }
}

/// Follows what happens in the broker.
pub(super) struct EventObserver {
    pub limits: Arc<BrokerLimits>,
    /// Weak, since the router holds this.
    pub router: OnceLock<Weak<MessageRouter>>,
    pub full_clients: Arc<FullClients>,
    pub retained: Arc<Mutex<RetainedUsage>>,
}

impl EventObserver {
    /// Begins to follow a broker that has read what is kept.
    ///
    /// # Errors
    /// When retained messages cannot be read.
    pub(super) async fn start(
        &self,
        router: &Arc<MessageRouter>,
        storage: &DynamicStorage,
    ) -> Result<(), MqttError> {
        let kept = storage.get_retained_messages("#").await?;
        {
            let mut retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
            kept.into_iter()
                .for_each(|(topic, message)| retained.set(topic.into(), message.payload.len()));
        }

        // an error means that it has begun already
        let _ = self.router.set(Arc::downgrade(router));
        self.update_limits();
        Ok(())
    }

    /// Tells the broker how much more it may keep.
    pub(super) fn update_limits(&self) {
        let retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(router) = self.router.get().and_then(Weak::upgrade) {
            let most = self.limits.retained;
            router.update_retained_limits(most.messages, retained.remaining(most.bytes));
        }
    }
}

impl BrokerEventHandler for EventObserver {
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Answer<'a, ()> {
        if let Some(router) = self.router.get().and_then(Weak::upgrade) {
            // an error means that another task serves it, of which there is none
            let _ = CLIENT.try_with(|client| client.on_accepted(event.client_id, &router));
        }
        Box::pin(ready(()))
    }

    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Answer<'a, PublishAction> {
        self.full_clients
            .on_publish(event.payload.len(), self.limits.queue.bytes / CHANNEL);
        Box::pin(ready(PublishAction::Continue))
    }

    fn on_retained_set<'a>(&'a self, event: RetainedSetEvent) -> Answer<'a, ()> {
        let size = if event.cleared {
            0
        } else {
            event.payload.len()
        };
        self.retained
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set(event.topic, size);
        self.update_limits();
        Box::pin(ready(()))
    }
}

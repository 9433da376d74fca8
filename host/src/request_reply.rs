//! Request and reply for guests (MQTT 5, section 4.10): sends requests with the host's response topic and correlation data, and
//! hands each answer to the guest that waits for it.
//!
//! One response topic serves all services; the host subscribes to it at the first request. A local request goes to the mailbox of a
//! service of this host, and its answer comes back without the broker. The values of properties that guests may read are kept here
//! too.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::config::{Connection, Protocol, WhenFull};
use crate::guest::{Request, RequestCommand, RequestFailure, Requests};
use crate::mailbox::{self, Delivery, Mailbox, Next};
use crate::message::{Message, Publication, Qos, Receipt, Subscription};
use crate::router::ServiceId;
use crate::session::{Command, Commit, ConnectionStatus, Handle};
use crate::timers::sleep_until;
use crate::topic::{Filter, Topic};

mod local_services;
mod pending_calls;
mod watched_properties;

use local_services::{LocalServices, with_local_response_topic};
use pending_calls::{Answer, PendingCalls};
use watched_properties::WatchedProperties;

/// Requests that may wait to be sent, and answers that may wait to be handed out.
const WAITING: usize = 1024;

/// The ID under which the router delivers answers.
const SERVICE_ID: ServiceId = ServiceId::REQUESTS;

/// Creates the channel for requests of guests, and its receiver.
pub fn channel() -> (Requests, PendingRequests) {
    let (sender, commands) = mpsc::channel(WAITING);
    let properties = WatchedProperties::default();
    (
        Requests::new(sender, properties.cache()),
        PendingRequests {
            commands,
            properties,
        },
    )
}

/// Requests of guests, before there is a session.
pub struct PendingRequests {
    commands: mpsc::Receiver<RequestCommand>,
    properties: WatchedProperties,
}

impl PendingRequests {
    /// Rejects requests until `session` gives a session; from then on carries them, until all senders are gone.
    pub async fn run(mut self, mut session: oneshot::Receiver<(Connection, Handle)>) {
        loop {
            tokio::select! {
                biased;
                opened = &mut session => match opened {
                    Ok((connection, session)) => return RequestReply::new(&connection, session, self).run().await,
                    Err(_) => return,
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
            }
        }
    }

    fn on_command(&mut self, command: RequestCommand) {
        match command {
            RequestCommand::Send(request) => {
                refuse(request.answer, "there is no connection to the broker yet");
            }
            RequestCommand::Watch(filter) => drop(self.properties.watch(filter)),
            RequestCommand::Unwatch(filter) => drop(self.properties.unwatch(&filter)),
            // no service runs before there is a session
            RequestCommand::Answer(_) | RequestCommand::Serve(_) => {}
        }
    }
}

/// A state in which no request can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NotReady {
    #[error("requests need MQTT 5; broker.protocol is 3.1.1")]
    Protocol,
    #[error("there is no connection to the broker")]
    Disconnected,
    #[error("the deadline is too far away")]
    Deadline,
    #[error("the client id is too long for a response topic")]
    ClientId,
}

fn refuse(answer: Answer, why: &str) {
    // a guest that waits no longer does not want to know
    drop(answer.send(Err(RequestFailure::Unavailable(why.to_owned()))));
}

/// Sends requests and hands out the answers.
struct RequestReply {
    session: Handle,
    protocol: Protocol,
    topic: Option<Topic>,
    commands: mpsc::Receiver<RequestCommand>,
    mailbox: Mailbox,
    /// Given to the router at the first request.
    sender: Option<mailbox::Sender>,
    pending: PendingCalls,
    properties: WatchedProperties,
    local: LocalServices,
}

impl RequestReply {
    fn new(connection: &Connection, session: Handle, waiting: PendingRequests) -> Self {
        let limits = mailbox::Limits {
            messages: WAITING,
            bytes: usize::MAX,
            when_full: WhenFull::DropOldest,
        };
        let (mail, mailbox) = mailbox::mailbox(limits);
        let client_id = connection.client_id.replace(['+', '#'], "-");
        Self {
            session,
            protocol: connection.session.protocol,
            topic: Topic::new(format!("miqro/{client_id}/response")).ok(),
            commands: waiting.commands,
            mailbox,
            sender: Some(mail),
            pending: PendingCalls::default(),
            properties: waiting.properties,
            local: LocalServices::default(),
        }
    }

    async fn run(mut self) {
        if self.properties.is_watching() {
            self.attach_properties().await;
        }
        loop {
            let end = self.pending.next_end();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => return,
                },
                next = self.mailbox.next(), if self.sender.is_none() => match next {
                    Next::Delivery(delivery) => self.on_answer(delivery).await,
                    // the session has ended, and the router with it: the mailbox would say so again and again
                    Next::Closed => return,
                    Next::Timers | Next::Notice(_) | Next::Unreadable(_) | Next::Congested => {}
                },
                next = self.properties.next() => {
                    if let Next::Delivery(delivery) = next {
                        self.on_property(delivery).await;
                    }
                }
                () = sleep_until(end) => self.pending.expire(Instant::now()),
            }
        }
    }

    async fn on_command(&mut self, command: RequestCommand) {
        match command {
            RequestCommand::Send(request) => self.send(request).await,
            RequestCommand::Answer(message) => self.hand_out(message),
            RequestCommand::Serve(service) => self.local.serve(service),
            RequestCommand::Watch(filter) => {
                if self.properties.watch(filter) {
                    self.attach_properties().await;
                }
            }
            RequestCommand::Unwatch(filter) => {
                if self.properties.unwatch(&filter) {
                    self.attach_properties().await;
                }
            }
        }
    }

    async fn send(&mut self, request: Request) {
        let Some(request) = self.send_locally(request).await else {
            return;
        };
        let Request {
            mut message,
            deadline,
            answer,
            ..
        } = request;

        let (topic, end) = match self.ready(deadline) {
            Ok(ready) => ready,
            Err(error) => return refuse(answer, &error.to_string()),
        };
        self.subscribe(&topic).await;

        let properties = message.properties.get_or_insert_default();
        properties.response_topic = Some(topic);
        properties.correlation_data = Some(self.pending.insert(end, answer));
        self.commit(SERVICE_ID, None, vec![message]).await;
    }

    /// Gives a local request to the service of this host that serves its topic. Gives the request back when there is none, or none
    /// that has room for it.
    async fn send_locally(&mut self, request: Request) -> Option<Request> {
        if !request.is_local {
            return Some(request);
        }
        let now = Instant::now();
        let Some(end) = now.checked_add(request.deadline) else {
            return Some(request);
        };

        let correlation = self.pending.next_correlation();
        let message = with_local_response_topic(&request.message, correlation, end);
        let Some((service, dropped)) = message.and_then(|message| self.local.deliver(message))
        else {
            return Some(request);
        };
        self.pending.insert(end, request.answer);
        for receipt in dropped {
            self.commit(service, Some(receipt), Vec::new()).await;
        }
        None
    }

    /// The response topic, and the time at which the wait for the answer ends.
    fn ready(&self, deadline: Duration) -> Result<(Topic, Instant), NotReady> {
        if self.protocol != Protocol::V5 {
            return Err(NotReady::Protocol);
        }
        match &*self.session.status().borrow() {
            ConnectionStatus::Connected { .. } => {}
            // messages of a spool are handled before the first connection stands; the request leaves as soon as it does
            ConnectionStatus::Connecting => {}
            ConnectionStatus::Disconnected { .. } | ConnectionStatus::Stopped => {
                return Err(NotReady::Disconnected);
            }
        }

        let end = Instant::now().checked_add(deadline);
        let end = end.ok_or(NotReady::Deadline)?;
        let topic = self.topic.clone().ok_or(NotReady::ClientId)?;
        Ok((topic, end))
    }

    async fn subscribe(&mut self, topic: &Topic) {
        let Some(mailbox) = self.sender.take() else {
            return;
        };
        let Ok(filter) = Filter::new(topic.as_str()) else {
            return;
        };
        let subscriptions = vec![Subscription {
            filter,
            qos: Qos::AtLeastOnce,
        }];
        self.session
            .send(Command::Attach {
                service: SERVICE_ID,
                mailbox,
                subscriptions,
                retained: false,
            })
            .await;
    }

    async fn attach_properties(&self) {
        self.session
            .send(Command::Attach {
                service: ServiceId::PROPERTIES,
                mailbox: self.properties.sender(),
                subscriptions: self.properties.subscriptions(),
                retained: true,
            })
            .await;
    }

    async fn on_answer(&mut self, delivery: Delivery) {
        let Delivery {
            message, receipt, ..
        } = delivery;
        self.hand_out(message);
        if receipt.is_some() {
            self.commit(SERVICE_ID, receipt, Vec::new()).await;
        }
    }

    fn hand_out(&mut self, message: Message) {
        let properties = message.properties.as_ref();
        let correlation = properties.and_then(|properties| properties.correlation_data.clone());
        // an answer that nobody waits for came too late
        if let Some(answer) = correlation.and_then(|correlation| self.pending.take(&correlation)) {
            drop(answer.send(Ok(message)));
        }
    }

    async fn on_property(&mut self, delivery: Delivery) {
        let Delivery {
            message, receipt, ..
        } = delivery;
        self.properties.on_message(&message);
        if receipt.is_some() {
            self.commit(ServiceId::PROPERTIES, receipt, Vec::new())
                .await;
        }
    }

    async fn commit(&self, service: ServiceId, receipt: Option<Receipt>, publishes: Vec<Message>) {
        let publishes = publishes.into_iter().map(Publication::from).collect();
        let commit = Commit {
            receipt,
            publishes,
            ..Commit::new(service)
        };
        self.session.send(Command::Commit(commit)).await;
    }
}

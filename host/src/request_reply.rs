//! Request and reply for guests (MQTT 5, section 4.10): sends requests with the host's response topic and correlation data, and
//! hands each answer to the guest that waits for it.
//!
//! One response topic serves all services; the host subscribes to it at the first request.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Connection, Protocol, WhenFull};
use crate::guest::{Request, RequestFailure, Requests};
use crate::mailbox::{self, Delivery, Mailbox, Next};
use crate::message::{Message, Qos, Subscription};
use crate::router::ServiceId;
use crate::session::{Command, Commit, ConnectionStatus, Handle};
use crate::timers::sleep_until;
use crate::topic::{Filter, Topic};

/// Requests that may wait to be sent, and answers that may wait to be handed out.
const WAITING: usize = 1024;

/// The ID under which the router delivers answers.
const SERVICE_ID: ServiceId = ServiceId::REQUESTS;

/// The end of a guest that waits for an answer.
type Answer = oneshot::Sender<Result<Message, RequestFailure>>;

/// Creates the channel for requests of guests, and its receiver.
pub fn channel() -> (Requests, PendingRequests) {
    let (sender, requests) = mpsc::channel(WAITING);
    (sender, PendingRequests { requests })
}

/// Requests of guests, before there is a session.
pub struct PendingRequests {
    requests: mpsc::Receiver<Request>,
}

impl PendingRequests {
    /// Rejects requests until `session` gives a session; from then on carries them, until all senders are gone.
    pub async fn run(mut self, mut session: oneshot::Receiver<(Connection, Handle)>) {
        loop {
            tokio::select! {
                biased;
                opened = &mut session => match opened {
                    Ok((connection, session)) => return RequestReply::new(&connection, session, self.requests).run().await,
                    Err(_) => return,
                },
                request = self.requests.recv() => match request {
                    Some(request) => refuse(request.answer, "there is no connection to the broker yet"),
                    None => return,
                },
            }
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
    requests: mpsc::Receiver<Request>,
    mailbox: Mailbox,
    /// Given to the router at the first request.
    sender: Option<mailbox::Sender>,
    awaited: HashMap<u64, (Instant, Answer)>,
    ends: BTreeSet<(Instant, u64)>,
    /// Sets the answers to this run apart from those to an earlier one.
    run: u64,
    last: u64,
}

impl RequestReply {
    fn new(connection: &Connection, session: Handle, requests: mpsc::Receiver<Request>) -> Self {
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
            requests,
            mailbox,
            sender: Some(mail),
            awaited: HashMap::new(),
            ends: BTreeSet::new(),
            run: fastrand::u64(..),
            last: 0,
        }
    }

    async fn run(mut self) {
        loop {
            let end = self.ends.first().map(|(end, _)| *end);
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => self.send(request).await,
                    None => return,
                },
                next = self.mailbox.next(), if self.sender.is_none() => {
                    if let Next::Delivery(delivery) = next {
                        self.on_answer(delivery).await;
                    }
                }
                () = sleep_until(end) => self.expire(Instant::now()),
            }
        }
    }

    async fn send(&mut self, request: Request) {
        let Request {
            mut message,
            deadline,
            answer,
        } = request;
        let (topic, end) = match self.ready(deadline) {
            Ok(ready) => ready,
            Err(error) => return refuse(answer, &error.to_string()),
        };
        self.subscribe(&topic).await;
        self.last += 1;
        let properties = message.properties.get_or_insert_default();
        properties.response_topic = Some(topic);
        properties.correlation_data = Some(self.correlation(self.last));
        self.awaited.insert(self.last, (end, answer));
        self.ends.insert((end, self.last));
        self.commit(None, vec![message]).await;
    }

    /// The response topic, and the time at which the wait for the answer ends.
    fn ready(&self, deadline: std::time::Duration) -> Result<(Topic, Instant), NotReady> {
        if self.protocol != Protocol::V5 {
            return Err(NotReady::Protocol);
        }
        if !matches!(
            *self.session.status().borrow(),
            ConnectionStatus::Connected { .. }
        ) {
            return Err(NotReady::Disconnected);
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

    async fn on_answer(&mut self, delivery: Delivery) {
        let Delivery {
            message, receipt, ..
        } = delivery;
        let correlation = message
            .properties
            .as_ref()
            .and_then(|properties| properties.correlation_data.clone());
        // an answer that nobody waits for came too late
        if let Some((end, number, answer)) =
            correlation.and_then(|correlation| self.take(&correlation))
        {
            self.ends.remove(&(end, number));
            drop(answer.send(Ok(message)));
        }
        if receipt.is_some() {
            self.commit(receipt, Vec::new()).await;
        }
    }

    fn take(&mut self, correlation: &[u8]) -> Option<(Instant, u64, Answer)> {
        let number = u64::from_be_bytes(correlation.get(8..)?.try_into().ok()?);
        if *correlation != self.correlation(number)[..] {
            return None;
        }
        let (end, answer) = self.awaited.remove(&number)?;
        Some((end, number, answer))
    }

    fn correlation(&self, number: u64) -> Bytes {
        Bytes::from([self.run.to_be_bytes(), number.to_be_bytes()].concat())
    }

    fn expire(&mut self, now: Instant) {
        while let Some((end, number)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.ends.remove(&(end, number));
            if let Some((_, answer)) = self.awaited.remove(&number) {
                drop(answer.send(Err(RequestFailure::TimedOut)));
            }
        }
    }

    async fn commit(&self, receipt: Option<crate::message::Receipt>, publishes: Vec<Message>) {
        let publishes = publishes.into_iter().map(Into::into).collect();
        let commit = Commit {
            receipt,
            publishes,
            ..Commit::new(SERVICE_ID)
        };
        self.session.send(Command::Commit(commit)).await;
    }
}

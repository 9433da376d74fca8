//! Requests of the control channel, which the command line sends to a running host. Commands go to the supervisor, queries are
//! answered here.

use std::path::Path;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;

use crate::config::{Connection, Level};
use crate::control::{
    Answer, BrokerSnapshot, HostSnapshot, PendingRequest, Reply, Request, Server, SocketGuard,
    socket_of,
};
use crate::message::{Message, Qos};
use crate::rollout::history::{VersionHistory, format_utc};
use crate::service::{CommandError, ServiceRef, ServiceSnapshot};
use crate::session::{self, ConnectionStatus, Handle};
use crate::store::{DeadLetter, Store, StoreError};
use crate::topic::{Topic, TopicError};
use crate::version::Version;

use super::audit::audit;
use super::runtime::Runtime;

/// Characters of a reason that are shown.
const SHOWN: usize = 200;

/// How long a service may take to answer for a snapshot; one in a longer call is shown without its activity.
const PATIENCE: Duration = Duration::from_millis(500);

/// Requests that may wait.
const WAITING: usize = 16;

/// Control channel of the host.
pub(super) struct Control {
    asked: mpsc::Receiver<PendingRequest>,
    /// Keeps the channel open even without a socket.
    open: mpsc::Sender<PendingRequest>,
    _bound: Option<SocketGuard>,
    serving: Option<AbortHandle>,
    /// Answers that take time; each ends with its request.
    answers: JoinSet<()>,
}

impl Control {
    /// Listens on a socket next to the state file. If that fails, a warning is logged and the host takes no requests.
    pub(super) fn open(state_file: &Path, pool: &tokio::runtime::Handle) -> Self {
        let (open, asked) = mpsc::channel(WAITING);
        let _inside = pool.enter();
        match Server::open(&socket_of(state_file)) {
            Ok((server, bound)) => {
                let serving = pool.spawn(server.serve(open.clone())).abort_handle();
                Self {
                    asked,
                    open,
                    _bound: Some(bound),
                    serving: Some(serving),
                    answers: JoinSet::new(),
                }
            }
            Err(error) => {
                warn!("{error}; the command line cannot ask this host");
                Self {
                    asked,
                    open,
                    _bound: None,
                    serving: None,
                    answers: JoinSet::new(),
                }
            }
        }
    }

    /// A sender of requests, for other surfaces.
    pub(super) fn requests(&self) -> mpsc::Sender<PendingRequest> {
        self.open.clone()
    }

    /// The next request. Cancel-safe.
    pub(super) async fn next(&mut self) -> PendingRequest {
        loop {
            tokio::select! {
                // the channel does not close while a sender is held here
                Some(asked) = self.asked.recv() => return asked,
                Some(_) = self.answers.join_next() => {}
            }
        }
    }

    /// Handles a request, and sends its reply as soon as there is one.
    pub(super) fn handle(&mut self, pending: PendingRequest, runtime: &mut Runtime<'_>) {
        let PendingRequest {
            request,
            caller,
            reply,
        } = pending;
        let audited = request.is_change().then(|| request.to_string());
        let answer = runtime.handle_request(request);
        self.answers.spawn(async move {
            let answer = match answer.await {
                Ok(answer) => Reply::Ok(answer),
                Err(error) => Reply::Error(error.to_string()),
            };
            if let Some(command) = audited {
                audit(&command, &caller, &answer);
            }
            // the caller may have gone
            let _ = reply.send(answer);
        });
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.iter().for_each(AbortHandle::abort);
    }
}

impl Runtime<'_> {
    /// Begins to handle a request; the answer may come later.
    fn handle_request(&mut self, request: Request) -> AnswerFuture {
        match request {
            Request::Services {} => ready(Ok(self.supervisor.names().into())),
            Request::Status {} => ready(Ok(status(
                &self.sessions.main(),
                self.supervisor.holding_up_others(),
                self.supervisor.names(),
            ))),
            Request::Snapshot {} => self.snapshot(),
            Request::History { service } => {
                let history = self.supervisor.history(&service);
                ready(
                    history
                        .map(|history| describe_history(&service, &history))
                        .map_err(Into::into),
                )
            }
            Request::Letters { service } => match self.supervisor.service_ref(&service) {
                Ok(_) => dead_letters(self.deps.shared.store.clone(), service).boxed(),
                Err(error) => ready(Err(error.into())),
            },
            Request::Replay { service } => match self.supervisor.service_ref(&service) {
                Ok(service_ref) => {
                    replay(self.deps.shared.store.clone(), service, service_ref).boxed()
                }
                Err(error) => ready(Err(error.into())),
            },
            Request::Rollback { service, to } => {
                let (answer, outcome) = oneshot::channel();
                self.supervisor.roll_back(&service, to.as_deref(), answer);
                command_outcome(outcome, "runs again").boxed()
            }
            Request::Restart { service } => {
                let (answer, outcome) = oneshot::channel();
                self.supervisor.restart(&service, answer);
                command_outcome(outcome, "was started again").boxed()
            }
            Request::Enable { service } => self.switch(&service, "1"),
            Request::Disable { service } => self.switch(&service, "0"),
            Request::LogLevel { service, level } => self.set_log_level(service.as_deref(), level),
            Request::Reload {} => {
                self.ask("a command");
                done("the configuration is read again; the log tells the outcome".to_owned())
            }
            Request::Publish {
                topic,
                payload,
                qos,
                retain,
            } => match Topic::new(topic) {
                Ok(topic) => self.publish(Message::new(topic, payload, qos, retain)),
                Err(error) => ready(Err(error.into())),
            },
        }
    }

    /// Makes a snapshot of the host and its services.
    fn snapshot(&self) -> AnswerFuture {
        let services = self.supervisor.snapshots(PATIENCE);
        let store = self.deps.shared.store.clone();
        let host = HostSnapshot {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            broker: broker(self.sessions.connection(), &self.sessions.main()),
            log_lines_lost: self.logs.lost(),
            services: Vec::new(),
        };

        async move {
            let services = with_dead_letters(services.await, &store).await;
            Ok(Answer::Snapshot(Box::new(HostSnapshot {
                services,
                ..host
            })))
        }
        .boxed()
    }

    /// Switches a service on or off, by the retained message that anybody else would publish for it.
    fn switch(&self, service: &str, payload: &'static str) -> AnswerFuture {
        match self.supervisor.enabled_topic(service) {
            Ok(topic) => self.publish(Message::new(topic, payload, Qos::AtLeastOnce, true)),
            Err(error) => ready(Err(error.into())),
        }
    }

    /// Hands a message to the session, if there is a connection.
    fn publish(&self, message: Message) -> AnswerFuture {
        let session = self.sessions.main();
        if !session.status().borrow().is_connected() {
            return ready(Err(RequestError::NotConnected));
        }

        let said = format!("{} bytes on {}", message.payload.len(), message.topic);
        async move {
            session.send(session::Command::AnnounceOnce(message)).await;
            Ok(Answer::Value(format!("published {said}").into()))
        }
        .boxed()
    }

    fn set_log_level(&self, service: Option<&str>, level: Level) -> AnswerFuture {
        if let Some(Err(error)) = service.map(|service| self.supervisor.service_ref(service)) {
            return ready(Err(error.into()));
        }

        self.logs.set_level(service, level);
        done("in force until the configuration changes".to_owned())
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

/// A request cannot be carried out.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the service has ended")]
    Ended,
    #[error("there is no connection to the broker")]
    NotConnected,
    #[error(transparent)]
    Topic(#[from] TopicError),
}

/// The answer to a request, as soon as there is one.
type AnswerFuture = BoxFuture<'static, Result<Answer, RequestError>>;

fn ready(answer: Result<Value, RequestError>) -> AnswerFuture {
    std::future::ready(answer.map(Answer::Value)).boxed()
}

/// The answer of a command that is carried out.
fn done(sentence: String) -> AnswerFuture {
    ready(Ok(sentence.into()))
}

/// Waits until a service has carried out a command.
async fn command_outcome(
    outcome: oneshot::Receiver<Result<Version, CommandError>>,
    done: &'static str,
) -> Result<Answer, RequestError> {
    let version = outcome.await.map_err(|_| RequestError::Ended)??;
    let sentence = format!("version {} {done}", version.short());
    Ok(Answer::Value(sentence.into()))
}

/// Describes the problems of the running host: quarantined filters, and services that hold up others.
fn status(session: &Handle, holding: Vec<String>, services: Vec<String>) -> Value {
    let filters = quarantined(session);
    let holding: Vec<Value> = holding
        .into_iter()
        .map(|service| {
            let others: Vec<&String> = services.iter().filter(|other| **other != service).collect();
            json!({"service": service, "others": others})
        })
        .collect();

    json!({"pid": std::process::id(), "quarantined": filters, "holding_up": holding})
}

/// Filters that are not subscribed to, because the broker ends the connection for them.
fn quarantined(session: &Handle) -> Vec<String> {
    let quarantine = session.quarantine();
    let filters = quarantine.borrow();
    filters.iter().map(ToString::to_string).collect()
}

/// Lists the dead letters of a service.
async fn dead_letters(store: Store, service: String) -> Result<Answer, RequestError> {
    let letters = store.dead_letters(&service).await?;
    Ok(Answer::Value(letters.iter().map(letter).collect()))
}

fn letter(letter: &DeadLetter) -> Value {
    let DeadLetter {
        message,
        reason,
        attempts,
        component,
        at,
        outgoing,
    } = letter;

    let reason = reason.chars().take(SHOWN).collect::<String>();
    json!({
        "topic": message.topic.as_str(),
        "qos": message.qos,
        "bytes": message.payload.len(),
        "reason": reason,
        "attempts": attempts,
        "version": component,
        "at": format_utc(*at),
        "outgoing": outgoing,
    })
}

/// Reprocesses the dead letters of a service.
async fn replay(
    store: Store,
    service: String,
    service_ref: ServiceRef,
) -> Result<Answer, RequestError> {
    let segment = store.requeue_dead_letters(&service).await?;
    let count = segment.map_or(0, |segment| segment.messages);
    if let Some(segment) = segment {
        service_ref.replay(segment).await;
    }
    let sentence = format!("{count} messages are handled again");
    Ok(Answer::Value(sentence.into()))
}

/// The history of a service, the oldest entry first.
fn describe_history(service: &str, history: &VersionHistory) -> Value {
    let events = history.entries().map(|entry| {
        json!({
            "version": entry.version.map(|version| version.to_string()),
            "at": format_utc(entry.at),
            "what": entry.event.as_str(),
            "note": entry.note,
        })
    });

    json!({
        "service": service,
        "on_probation": history.is_on_probation(),
        "running": history.running().map(|version| version.to_string()),
        "kept": history.former_versions().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "refused": history.rejected().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "events": events.collect::<Vec<_>>(),
    })
}

//! Requests of the control channel, which the command line sends to a running host. Commands go to the supervisor, queries are
//! answered here.

use std::path::Path;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;

use crate::control::{PendingRequest, Reply, Request, Server, SocketGuard, socket_of};
use crate::rollout::history::{VersionHistory, format_utc};
use crate::service::{CommandError, ServiceRef};
use crate::session::Handle;
use crate::store::{DeadLetter, Store, StoreError};
use crate::version::Version;

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
    _open: mpsc::Sender<PendingRequest>,
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
                    _open: open,
                    _bound: Some(bound),
                    serving: Some(serving),
                    answers: JoinSet::new(),
                }
            }
            Err(error) => {
                warn!("{error}; the command line cannot ask this host");
                Self {
                    asked,
                    _open: open,
                    _bound: None,
                    serving: None,
                    answers: JoinSet::new(),
                }
            }
        }
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
        let PendingRequest { request, reply } = pending;
        let answer = runtime.handle_request(request);
        self.answers.spawn(async move {
            let answer = match answer.await {
                Ok(value) => Reply::Ok(value),
                Err(error) => Reply::Error(error.to_string()),
            };
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
    fn handle_request(&mut self, request: Request) -> Answer {
        match request {
            Request::Services {} => ready(Ok(self.supervisor.names().into())),
            Request::Status {} => ready(Ok(status(
                &self.sessions.main(),
                self.supervisor.holding_up_others(),
                self.supervisor.names(),
            ))),
            Request::Snapshot {} => {
                let services = self.supervisor.snapshots(PATIENCE);
                async { Ok(serde_json::to_value(services.await)?) }.boxed()
            }
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
        }
    }
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
    #[error("the answer cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The answer to a request, as soon as there is one.
type Answer = BoxFuture<'static, Result<Value, RequestError>>;

fn ready(answer: Result<Value, RequestError>) -> Answer {
    std::future::ready(answer).boxed()
}

/// Waits until a service has carried out a command.
async fn command_outcome(
    outcome: oneshot::Receiver<Result<Version, CommandError>>,
    done: &'static str,
) -> Result<Value, RequestError> {
    let version = outcome.await.map_err(|_| RequestError::Ended)??;
    Ok(format!("version {} {done}", version.short()).into())
}

/// Describes the problems of the running host: quarantined filters, and services that hold up others.
fn status(session: &Handle, holding: Vec<String>, services: Vec<String>) -> Value {
    let filters: Vec<String> = session
        .quarantine()
        .borrow()
        .iter()
        .map(ToString::to_string)
        .collect();
    let holding: Vec<Value> = holding
        .into_iter()
        .map(|service| {
            let others: Vec<&String> = services.iter().filter(|other| **other != service).collect();
            json!({"service": service, "others": others})
        })
        .collect();
    json!({"pid": std::process::id(), "quarantined": filters, "holding_up": holding})
}

/// Lists the dead letters of a service.
async fn dead_letters(store: Store, service: String) -> Result<Value, RequestError> {
    let letters = store.dead_letters(&service).await?;
    Ok(letters.iter().map(letter).collect())
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
) -> Result<Value, RequestError> {
    let segment = store.requeue_dead_letters(&service).await?;
    let count = segment.map_or(0, |segment| segment.messages);
    if let Some(segment) = segment {
        service_ref.replay(segment).await;
    }
    Ok(format!("{count} messages are handled again").into())
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

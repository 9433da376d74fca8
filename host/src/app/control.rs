//! Requests of the control channel, which the command line sends to a running host. Commands go to the supervisor, queries are
//! answered here.

use std::path::Path;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tracing::warn;

use crate::control::{PendingRequest, Request, Server, SocketGuard, socket_of};
use crate::rollout::history::{VersionHistory, format_utc};
use crate::service::ServiceRef;
use crate::session::Handle;
use crate::store::{DeadLetter, Store};

use super::runtime::Runtime;

/// Characters of a reason that are shown.
const SHOWN: usize = 200;

/// Requests that may wait.
const WAITING: usize = 16;

/// Control channel of the host.
pub struct Control {
    asked: mpsc::Receiver<PendingRequest>,
    /// Keeps the channel open even without a socket.
    _open: mpsc::Sender<PendingRequest>,
    _bound: Option<SocketGuard>,
    serving: Option<AbortHandle>,
}

impl Control {
    /// Listens on a socket next to the state file. If that fails, a warning is logged and the host takes no requests.
    pub fn open(state_file: &Path, pool: &tokio::runtime::Handle) -> Self {
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
                }
            }
            Err(error) => {
                warn!("{error}; the command line cannot ask this host");
                Self {
                    asked,
                    _open: open,
                    _bound: None,
                    serving: None,
                }
            }
        }
    }

    /// The next request. Cancel-safe.
    pub async fn next(&mut self) -> PendingRequest {
        match self.asked.recv().await {
            Some(asked) => asked,
            // not possible while a sender is held here
            None => std::future::pending().await,
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.iter().for_each(AbortHandle::abort);
    }
}

impl Runtime<'_> {
    /// Handles a request; the answer may come later.
    pub fn handle_request(
        &mut self,
        PendingRequest {
            request,
            reply: answer,
        }: PendingRequest,
    ) {
        let now = match request {
            Request::Services {} => Ok(self.supervisor.names().into()),
            Request::Status {} => Ok(status(
                &self.sessions.main(),
                self.supervisor.holding_up_others(),
                self.supervisor.names(),
            )),
            Request::History { service } => self
                .supervisor
                .history(&service)
                .map(|history| describe_history(&service, &history))
                .map_err(|error| error.to_string()),
            Request::Rollback { service, to } => {
                return self.supervisor.roll_back(&service, to.as_deref(), answer);
            }
            Request::Letters { service } => match self.supervisor.service_ref(&service) {
                Ok(_) => {
                    return drop(tokio::spawn(dead_letters(
                        self.deps.shared.store.clone(),
                        service,
                        answer,
                    )));
                }
                Err(error) => Err(error.to_string()),
            },
            Request::Replay { service } => match self.supervisor.service_ref(&service) {
                Ok(service_ref) => {
                    return drop(tokio::spawn(replay(
                        self.deps.shared.store.clone(),
                        service,
                        service_ref,
                        answer,
                    )));
                }
                Err(error) => Err(error.to_string()),
            },
            Request::Restart { service } => return self.supervisor.restart(&service, answer),
        };
        // the caller may have gone
        drop(answer.send(now));
    }
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

/// Channel for the answer to a request. The caller may have gone, so errors of it are ignored.
type Answer = oneshot::Sender<Result<Value, String>>;

/// Lists the dead letters of a service.
async fn dead_letters(store: Store, service: String, answer: Answer) {
    let letters = store
        .dead_letters(&service)
        .await
        .map_err(|error| error.to_string());
    drop(answer.send(letters.map(|letters| letters.iter().map(letter).collect())));
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
async fn replay(store: Store, service: String, service_ref: ServiceRef, answer: Answer) {
    let outcome = match store.requeue_dead_letters(&service).await {
        Ok(segment) => {
            let count = segment.map_or(0, |segment| segment.messages);
            if let Some(segment) = segment {
                service_ref.replay(segment).await;
            }
            Ok(format!("{count} messages are handled again").into())
        }
        Err(error) => Err(error.to_string()),
    };
    drop(answer.send(outcome));
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

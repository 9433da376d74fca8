//! Requests of the control channel, which the command line sends to a running host. Commands go to the supervisor, queries are
//! answered here.

use std::path::Path;

use futures_util::future::FutureExt;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;

use crate::config::Level;
use crate::control::{
    Answer, Caller, PendingRequest, Reply, Request, Server, SocketGuard, Upload, Uploads, socket_of,
};
use crate::message::{Message, Qos};
use crate::rollout::archive::Archive;
use crate::rollout::history::{VersionHistory, format_utc};
use crate::service::{CommandError, ServiceRef};
use crate::service_ctx::ServiceCtx;
use crate::session;
use crate::store::Store;
use crate::topic::Topic;
use crate::version::Version;

use super::answer::{AnswerFuture, RequestError};
use super::audit::audit;
use super::runtime::Runtime;
use super::snapshots::quarantined;
use super::{details, letters};

/// Requests that may wait.
const WAITING: usize = 16;

/// Control channel of the host.
pub(super) struct Control {
    asked: mpsc::Receiver<PendingRequest>,
    /// Keeps the channel open even without a socket.
    open: mpsc::Sender<PendingRequest>,
    uploads: Uploads,
    _bound: Option<SocketGuard>,
    serving: Option<AbortHandle>,
    /// Answers that take time; each ends with its request.
    answers: JoinSet<()>,
}

impl Control {
    /// Listens on a socket next to the state file. If that fails, a warning is logged and the host takes no requests.
    pub(super) fn open(
        state_file: &Path,
        archive: &Archive,
        pool: &tokio::runtime::Handle,
    ) -> Self {
        let (open, asked) = mpsc::channel(WAITING);
        let uploads = Uploads::new(archive.clone());
        let _inside = pool.enter();
        let (bound, serving) = match Server::open(&socket_of(state_file)) {
            Ok((server, bound)) => {
                let serving = pool.spawn(server.serve(open.clone(), uploads.clone()));
                (Some(bound), Some(serving.abort_handle()))
            }
            Err(error) => {
                warn!("{error}; the command line cannot ask this host");
                (None, None)
            }
        };

        Self {
            asked,
            open,
            uploads,
            _bound: bound,
            serving,
            answers: JoinSet::new(),
        }
    }

    /// A sender of requests, for other surfaces.
    pub(super) fn requests(&self) -> mpsc::Sender<PendingRequest> {
        self.open.clone()
    }

    /// Takes the components that come with requests of other surfaces.
    pub(super) fn uploads(&self) -> Uploads {
        self.uploads.clone()
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
            upload,
            caller,
            reply,
        } = pending;
        let audited = request.is_change().then(|| request.to_string());
        let answer = match (&caller, request.is_recording()) {
            (Caller::Web { .. } | Caller::Mqtt { .. }, true) => refuse(RequestError::SocketOnly),
            _ => runtime.handle_request(request, upload),
        };
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
    /// Describes the problems of the running host: quarantined filters, and services that hold up others; and versions that wait.
    fn describe_problems(&self) -> Value {
        let filters = quarantined(&self.sessions.main());
        let services = self.supervisor.names();
        let holding = self.supervisor.holding_up_others().into_iter();
        let holding: Vec<Value> = holding
            .map(|service| {
                let others: Vec<&String> =
                    services.iter().filter(|other| **other != service).collect();
                json!({"service": service, "others": others})
            })
            .collect();

        let available = self.supervisor.available_versions().into_iter();
        let available: Vec<Value> = available
            .map(|(service, available)| {
                json!({"service": service, "version": available.version, "since": available.since})
            })
            .collect();

        json!({
            "pid": std::process::id(),
            "quarantined": filters,
            "holding_up": holding,
            "available": available,
        })
    }

    /// Begins to handle a request; the answer may come later.
    fn handle_request(&mut self, request: Request, upload: Option<Upload>) -> AnswerFuture {
        match request {
            Request::Services {} => ready(Ok(Value::from(self.supervisor.names()))),
            Request::Status {} => ready(Ok(self.describe_problems())),
            Request::Snapshot {} => self.snapshot(),
            Request::Logs {
                service,
                level,
                follow,
                after,
            } => ready(self.logs(service, level, follow, after)),
            Request::Tail { service } => ready(self.tail(service)),
            Request::History { service } => self.history(&service),
            Request::Section { service } => self.describe(&service, details::section),
            Request::State { service } => self.describe(&service, details::state),
            Request::Letters { service } => self.with_service(service, |service, store, _| {
                letters::list(store, service).boxed()
            }),
            Request::Replay { service } => self
                .with_service(service, |service, store, service_ref| {
                    letters::replay(store, service, service_ref).boxed()
                }),
            Request::DeleteLetter { service, letter } => self
                .with_service(service, |service, store, _| {
                    letters::delete(store, service, letter).boxed()
                }),
            Request::Record {
                service,
                restart,
                count,
            } => self.record(service, restart, count),
            Request::RecordLetter { service, letter } => self.record_letter(service, letter),
            Request::Upload {
                service, signature, ..
            } => self.check_upload(&service, signature, upload),
            Request::Deploy { service, version } => self.deploy(&service, version),
            Request::Shadow { service } => ready(self.shadow(&service)),
            Request::StartShadow { service, version } => self.start_shadow(&service, version),
            Request::StopShadow { service } => ready(self.stop_shadow(&service)),
            Request::Update { service } => self.update(&service),
            Request::Rollback { service, to } => self.roll_back(&service, to.as_deref()),
            Request::Restart { service } => self.restart(&service),
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
                Err(error) => refuse(error),
            },
        }
    }

    fn history(&self, service: &str) -> AnswerFuture {
        match self.supervisor.history(service) {
            Ok(history) => ready(Ok(describe_history(service, &history))),
            Err(error) => refuse(error),
        }
    }

    /// Answers with a description of a service.
    fn describe(&self, service: &str, describe: fn(&ServiceCtx) -> Value) -> AnswerFuture {
        match self.supervisor.service_ctx(service) {
            Ok(ctx) => ready(Ok(describe(ctx))),
            Err(error) => refuse(error),
        }
    }

    /// Begins an answer about a service that exists.
    pub(super) fn with_service(
        &self,
        service: String,
        begin: impl FnOnce(String, Store, ServiceRef) -> AnswerFuture,
    ) -> AnswerFuture {
        match self.supervisor.service_ref(&service) {
            Ok(service_ref) => begin(service, self.deps.shared.store.clone(), service_ref),
            Err(error) => refuse(error),
        }
    }

    fn update(&mut self, service: &str) -> AnswerFuture {
        let (answer, outcome) = oneshot::channel();
        let done = match self.supervisor.update(service, answer) {
            Ok(None) => "runs",
            Ok(Some(_)) => "runs as a shadow, and takes over at the end of swap.shadow",
            Err(error) => return refuse(error),
        };
        command_outcome(outcome, done).boxed()
    }

    fn roll_back(&mut self, service: &str, to: Option<&str>) -> AnswerFuture {
        let (answer, outcome) = oneshot::channel();
        self.supervisor.roll_back(service, to, answer);
        command_outcome(outcome, "runs again").boxed()
    }

    fn restart(&mut self, service: &str) -> AnswerFuture {
        let (answer, outcome) = oneshot::channel();
        self.supervisor.restart(service, answer);
        command_outcome(outcome, "was started again").boxed()
    }

    /// Switches a service on or off, by the retained message that anybody else would publish for it.
    fn switch(&self, service: &str, payload: &'static str) -> AnswerFuture {
        match self.supervisor.enabled_topic(service) {
            Ok(topic) => self.publish(Message::new(topic, payload, Qos::AtLeastOnce, true)),
            Err(error) => refuse(error),
        }
    }

    /// Hands a message to the session, if there is a connection.
    fn publish(&self, message: Message) -> AnswerFuture {
        let session = self.sessions.main();
        if !session.status().borrow().is_connected() {
            return refuse(RequestError::NotConnected);
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
            return refuse(error);
        }

        self.logs.set_level(service, level);
        done("in force until the configuration changes".to_owned())
    }
}

fn ready(answer: Result<impl Into<Answer>, RequestError>) -> AnswerFuture {
    std::future::ready(answer.map(Into::into)).boxed()
}

pub(super) fn refuse(error: impl Into<RequestError>) -> AnswerFuture {
    std::future::ready(Err(error.into())).boxed()
}

/// The answer of a command that is carried out.
fn done(sentence: String) -> AnswerFuture {
    ready(Ok(Value::from(sentence)))
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

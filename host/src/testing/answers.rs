//! Answers to the requests of a service under test.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::guest::{Request, RequestCommand, RequestFailure, Requests};
use crate::message::{Message, Qos};
use crate::service_ctx::ServiceCtx;

/// The end of the channel of requests, with the answers by topic.
pub(super) struct Answers {
    commands: mpsc::Receiver<RequestCommand>,
    by_topic: BTreeMap<String, Bytes>,
}

impl Answers {
    /// Connects a service: requests to a topic of `by_topic`, full or below the base topic, get that payload, and others time out.
    pub(super) fn connect(
        ctx: Arc<ServiceCtx>,
        by_topic: BTreeMap<String, Bytes>,
    ) -> (Arc<ServiceCtx>, Self) {
        let (sender, commands) = mpsc::channel(1);
        let properties = Arc::default();
        let ctx = ServiceCtx {
            requests: Some(Requests::new(sender, properties)),
            ..(*ctx).clone()
        };
        let base = ctx.config.base.clone();
        let by_topic = by_topic
            .into_iter()
            .map(|(topic, payload)| match base.topic(&topic) {
                Ok(full) if !topic.starts_with(base.as_str()) => {
                    (full.as_str().to_owned(), payload)
                }
                _ => (topic, payload),
            })
            .collect();

        let answers = Self { commands, by_topic };
        (Arc::new(ctx), answers)
    }

    /// Properties have no values in a test, and there is no other service of the host.
    fn on_command(&self, command: RequestCommand) {
        match command {
            RequestCommand::Send(request) => self.answer(request),
            RequestCommand::Watch(_)
            | RequestCommand::Unwatch(_)
            | RequestCommand::Answer(_)
            | RequestCommand::Serve(_) => {}
        }
    }

    fn answer(&self, request: Request) {
        let topic = request.message.topic;
        let answer = match self.by_topic.get(topic.as_str()) {
            Some(payload) => Ok(Message::new(
                topic,
                payload.clone(),
                Qos::AtLeastOnce,
                false,
            )),
            None => Err(RequestFailure::TimedOut),
        };

        // the guest may have reached its time limit
        let _ = request.answer.send(answer);
    }
}

/// Runs a call, and answers its requests.
pub(super) async fn answer<T>(answers: &mut Answers, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    loop {
        tokio::select! {
            outcome = &mut call => return outcome,
            Some(command) = answers.commands.recv() => answers.on_command(command),
        }
    }
}

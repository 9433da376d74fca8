//! Typed calls: answers that skip the broker, errors for calls that are given up, and other services of this host as callers.

use super::Task;
use crate::guest::{LocalService, OptionalExport, RequestCommand};
use crate::mailbox::Delivery;
use crate::message::{Message, Publication};
use crate::service::local_call::is_local_answer;
use crate::trace_context;
use crate::typed::answer::{CallError, Code, refusal};
use crate::typed::binding::{Binding, Member};

impl Task {
    /// Hands the answers among `publishes` to callers on this host.
    pub(super) async fn answer_locally(&mut self, publishes: &mut Vec<Publication>) {
        let answers = publishes.extract_if(.., |publication| is_local_answer(&publication.message));
        let answers: Vec<Message> = answers.map(|publication| publication.message).collect();
        for answer in answers {
            self.hand_over(answer).await;
        }
    }

    async fn hand_over(&mut self, answer: Message) {
        if let Some(requests) = &self.ctx.requests {
            requests.send(RequestCommand::Answer(answer)).await;
        }
    }

    /// Answers a call with an error, because its message is given up.
    pub(super) async fn refuse_call(&mut self, delivery: &Delivery, reason: &str) {
        let topic = &delivery.message.topic;
        // bound again, because the instance may be gone; this is rare
        let binding = self.runner.component.as_ref();
        let binding = binding.and_then(|component| component.bind(&self.ctx.config.typed).ok());
        let member = binding.and_then(|binding: Binding| binding.member(topic));
        if !matches!(member, Some(Member::Operation(..) | Member::Set(..))) {
            return;
        }

        let error = CallError::new(Code::Fault, reason);
        let mut answer = refusal(&delivery.message, &error);
        if let Some(answer) = &mut answer {
            trace_context::carry_on(&delivery.message, answer);
        }
        match answer {
            Some(answer) if is_local_answer(&answer) => self.hand_over(answer).await,
            Some(answer) => {
                self.outputs
                    .publish(vec![answer.into()], self.queue.origin())
                    .await
            }
            None => {}
        }
    }

    /// Has callers on this host find the running instance.
    pub(super) async fn serve_locally(&mut self, binding: &Binding) {
        let served = binding.served.iter();
        let prefixes = served.map(|served| served.mapping.prefix.clone()).collect();
        let command = RequestCommand::Serve(LocalService {
            service: self.outputs.id,
            prefixes,
            mailbox: self.queue.sender(),
        });
        if let Some(requests) = &self.ctx.requests {
            requests.send(command).await;
        }
    }

    /// Whether the guest is called for something that it may have no export for. The properties that it serves are published at each
    /// connection, whether it wants to know of it or not.
    pub(super) fn needs_call(&self, export: OptionalExport) -> bool {
        self.runner.exports(export) || (export == OptionalExport::Connected && self.serves())
    }

    /// Whether other services of this host may find this one.
    pub(super) fn serves(&self) -> bool {
        let component = self.runner.component.as_ref();
        component.is_some_and(|component| !component.interfaces().exports.is_empty())
    }
}

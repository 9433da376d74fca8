//! Serves the interfaces that a guest exports: calls of operations, requests to set properties, signals of called interfaces, and
//! the values of properties.
//!
//! Such a message is a call of the guest as any other one is; only the function differs. The answer is one of the call's effects. An
//! operation that returns an error has no other effect than its answer. A message that does not fit its member is answered with an
//! error and never reaches the guest.

use std::time::Instant;

use bytes::Bytes;

use crate::config::VoidAnswer;
use crate::fault_kind::FaultKind;
use crate::guest::call_state::Current;
use crate::guest::instance::Instance;
use crate::message::{Message, OnlyIfChanged, Publication, SubscriptionChange, Terms};
use crate::topic::Topic;
use crate::typed::answer::{self, CallError, Code};
use crate::typed::binding::{CalledInterface, Member, ServedInterface};
use crate::typed::json;
use crate::typed::mapping::{ErrorType, Operation, Property, Setter};
use crate::typed::types::{Field, Type};
use crate::typed::value::Value;

use super::exported::ExportedFunction;
use super::form::types;
use super::values::TypeMismatch;

impl Instance {
    /// The member of a typed interface that a message on `topic` is for; `None`: it is for `handle`.
    pub(in crate::guest) fn member(&self, topic: &Topic) -> Option<Member> {
        self.typed.as_ref()?.binding.member(topic)
    }

    /// Calls the function of a member, and puts the answer into the effects of the call.
    pub(in crate::guest) async fn call_member(
        &mut self,
        member: Member,
        message: Message,
        attempt: u32,
    ) -> wasmtime::Result<Result<(), String>> {
        let current = Current {
            message: message.clone(),
            attempt,
        };
        self.store.data_mut().open(Some(current), Vec::new());
        if is_expired(&message) {
            // nobody waits for the answer any more
            self.count(FaultKind::Expired);
            return Ok(Ok(()));
        }

        let binding = self.store.data().binding.clone();
        match member {
            Member::Operation(interface, at) => {
                let served = &binding.served[interface];
                let operation = &served.mapping.operations[at];
                self.call_operation(served, operation, &message).await?;
            }
            Member::Set(interface, at) => {
                let served = &binding.served[interface];
                let property = &served.mapping.properties[at];
                self.set_property(served, property, &message).await?;
            }
            Member::Signal(interface, at) => {
                self.handle_signal(&binding.called[interface], at, &message)
                    .await?;
            }
            Member::Unknown(interface) => {
                let prefix = &binding.served[interface].mapping.prefix;
                let text = format!("{prefix} has no member for this topic");
                self.refuse(&message, &CallError::new(Code::UnknownMember, text));
            }
        }

        Ok(Ok(()))
    }

    async fn call_operation(
        &mut self,
        served: &ServedInterface,
        operation: &Operation,
        message: &Message,
    ) -> wasmtime::Result<()> {
        let arguments = match self.arguments(&operation.parameters, message) {
            Ok(arguments) => arguments,
            Err(error) => {
                self.refuse(message, &error);
                return Ok(());
            }
        };

        let exported = ExportedFunction {
            interface: served.export,
            function: operation.function,
            value: operation.answer.as_ref(),
            error: operation.error.as_ref(),
        };

        let types = types(&operation.parameters);
        let returned = self.invoke(exported, &types, arguments).await?;
        match (returned, &operation.error) {
            (Ok(value), _) => self.answer(served, operation, value, message)?,
            (Err(value), Some(error)) => self.answer_error(error, value, message),
            (Err(_), None) => return Err(TypeMismatch.into()),
        }
        Ok(())
    }

    /// Puts the answer into the effects; a result that has no form as a payload takes the other effects back.
    fn answer(
        &mut self,
        served: &ServedInterface,
        operation: &Operation,
        value: Option<Value>,
        message: &Message,
    ) -> wasmtime::Result<()> {
        let payload = match (&operation.answer, value) {
            (Some(ty), Some(value)) => match self.encode(ty, &value) {
                Ok(payload) => payload,
                Err(error) => {
                    self.store.data_mut().roll_back();
                    self.refuse(message, &error);
                    return Ok(());
                }
            },
            _ => match void_payload(served.void_answer) {
                Some(payload) => payload,
                None => return Ok(()),
            },
        };

        self.send(answer::answer(message, payload));
        Ok(())
    }

    /// Takes the effects of the call back, and puts the answer with the operation's own error in their place.
    fn answer_error(&mut self, ty: &ErrorType, value: Option<Value>, message: &Message) {
        self.store.data_mut().roll_back();
        let mut error = CallError::new(Code::Error, "the operation returned an error");
        if let (Some(ty), Some(value)) = (&ty.0, value) {
            match self.encode(ty, &value) {
                Ok(payload) => {
                    error.text = match value {
                        Value::String(text) => text,
                        _ => String::from_utf8_lossy(&payload).into_owned(),
                    };
                    error.payload = payload;
                }
                Err(invalid) => error = invalid,
            }
        }

        self.send(answer::refusal(message, &error));
    }

    async fn set_property(
        &mut self,
        served: &ServedInterface,
        property: &Property,
        message: &Message,
    ) -> wasmtime::Result<()> {
        let Some(Setter { function, error }) = &property.setter else {
            let text = format!("the property {} cannot be set", property.name.wire);
            self.refuse(message, &CallError::new(Code::ReadOnly, text));
            return Ok(());
        };
        let limits = self.store.data().json_limits();
        let value = match json::decode(&property.ty, &message.payload, limits) {
            Ok(value) => value,
            Err(error) => {
                let error = CallError::new(Code::InvalidArguments, error.to_string());
                self.refuse(message, &error);
                return Ok(());
            }
        };

        let exported = ExportedFunction {
            interface: served.export,
            function: *function,
            value: None,
            error: error.as_ref(),
        };

        let returned = self.invoke(exported, &[&property.ty], vec![value]).await?;
        match (returned, error) {
            (Err(value), Some(error)) => self.answer_error(error, value, message),
            _ => {
                let payload = void_payload(served.void_answer);
                let payload = payload.unwrap_or(Bytes::from_static(b"null"));
                self.send(answer::answer(message, payload));
            }
        }

        Ok(())
    }

    /// A retained signal is an old one: a peer has published it in this way by mistake.
    async fn handle_signal(
        &mut self,
        called: &CalledInterface,
        at: usize,
        message: &Message,
    ) -> wasmtime::Result<()> {
        let signal = &called.mapping.signals[at];
        let Some(handler) = called.handler.filter(|_| !message.retain) else {
            return Ok(());
        };
        match self.arguments(&signal.parameters, message) {
            Ok(arguments) => {
                let exported = ExportedFunction {
                    interface: handler,
                    function: signal.function,
                    value: None,
                    error: None,
                };

                let types = types(&signal.parameters);
                // without a type for it, there is no outcome
                let _ = self.invoke(exported, &types, arguments).await?;
            }
            Err(error) => self.refuse(message, &error),
        }

        Ok(())
    }

    /// Subscribes to the topics of the members, as an effect of `start`.
    pub(in crate::guest) fn subscribe_members(&mut self) {
        let data = self.store.data_mut();
        // a binding without topics to subscribe to is refused when it is made
        let subscriptions = data.binding.subscriptions().unwrap_or_default();
        let changes = subscriptions.into_iter().map(SubscriptionChange::Subscribe);
        data.call.effects.subscriptions.extend(changes);
    }

    /// Publishes the properties whose values differ from the last published ones. Called after a call that succeeded, as a part of
    /// it.
    pub(in crate::guest) async fn publish_properties(&mut self) -> wasmtime::Result<()> {
        let binding = self.store.data().binding.clone();
        for (interface, served) in binding.served.iter().enumerate() {
            for (at, property) in served.mapping.properties.iter().enumerate() {
                let Some(payload) = self.property(served, property).await? else {
                    continue;
                };
                let Some(typed) = &mut self.typed else {
                    return Ok(());
                };
                let last = &mut typed.published[interface][at];
                if last.as_ref() == Some(&payload) {
                    continue;
                }
                *last = Some(payload.clone());
                let message = Message::new(property.topic.clone(), payload, served.qos, true);
                let publication = unless_repeated(message);
                self.store
                    .data_mut()
                    .call
                    .effects
                    .publishes
                    .push(publication);
            }
        }

        Ok(())
    }

    /// Has all properties published again at the end of this call: the connection to the broker was established.
    pub(in crate::guest) fn forget_published(&mut self) {
        if let Some(typed) = &mut self.typed {
            typed.forget_published();
        }
    }

    /// Whether there are properties to publish.
    pub(in crate::guest) fn has_properties(&self) -> bool {
        let typed = self.typed.as_ref();
        typed.is_some_and(|typed| typed.binding.has_properties())
    }

    /// The value of a property as a payload; `None`: the getter returned an error, or the value has no form as a payload.
    async fn property(
        &mut self,
        served: &ServedInterface,
        property: &Property,
    ) -> wasmtime::Result<Option<Bytes>> {
        let exported = ExportedFunction {
            interface: served.export,
            function: property.getter,
            value: Some(&property.ty),
            error: property.error.as_ref(),
        };

        let Ok(Some(value)) = self.invoke(exported, &[], Vec::new()).await? else {
            return Ok(None);
        };
        match self.encode(&property.ty, &value) {
            Ok(payload) => Ok(Some(payload)),
            Err(_) => {
                self.count(FaultKind::Malformed);
                Ok(None)
            }
        }
    }

    fn arguments(&self, parameters: &[Field], message: &Message) -> Result<Vec<Value>, CallError> {
        let limits = self.store.data().json_limits();
        json::decode_arguments(parameters, &message.payload, limits)
            .map_err(|error| CallError::new(Code::InvalidArguments, error.to_string()))
    }

    /// A value as a payload, or the error that says why it has no form as one.
    fn encode(&self, ty: &Type, value: &Value) -> Result<Bytes, CallError> {
        let limits = self.store.data().json_limits();
        json::encode(ty, value, limits)
            .map(Bytes::from)
            .map_err(|error| CallError::new(Code::InvalidResult, error.to_string()))
    }

    /// Answers a message that does not fit its member, and counts it.
    fn refuse(&mut self, message: &Message, error: &CallError) {
        self.count(FaultKind::Malformed);
        self.send(answer::refusal(message, error));
    }

    fn send(&mut self, answer: Option<Message>) {
        let publishes = &mut self.store.data_mut().call.effects.publishes;
        publishes.extend(answer.map(Publication::from));
    }

    fn count(&self, kind: FaultKind) {
        self.store.data().ctx.state.meter().exceeded(kind);
    }
}

fn is_expired(message: &Message) -> bool {
    let properties = message.properties.as_deref();
    let end = properties.and_then(|properties| properties.expires_at);
    end.is_some_and(|end| end <= Instant::now())
}

fn void_payload(answer: VoidAnswer) -> Option<Bytes> {
    match answer {
        VoidAnswer::Zero => Some(Bytes::from_static(b"0")),
        VoidAnswer::Null => Some(Bytes::from_static(b"null")),
        VoidAnswer::Nothing => None,
    }
}

/// Leaves a message out that the broker was given already and still has: a new instance publishes all its properties.
fn unless_repeated(message: Message) -> Publication {
    Publication {
        message,
        terms: Some(Box::new(Terms {
            token: None,
            only_if_changed: Some(OnlyIfChanged::Always),
            offline: None,
            kept: None,
            at: Instant::now(),
        })),
    }
}

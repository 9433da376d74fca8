//! Calls of imported interfaces over the network: operations, values of properties, requests to set them, and signals.
//!
//! An operation is a request, which is sent at once. Requests to set a property, signals, and operations that wait for no answer are
//! effects of the guest call.

use bytes::Bytes;
use wasmtime::StoreContextMut;

use crate::guest::api::request::exchange;
use crate::guest::bindings::miqro::service::messaging::MessagingError;
use crate::guest::interruption::INTERRUPTED;
use crate::guest::remote_call::RemoteCallFailed;
use crate::guest::request::RequestFailure;
use crate::guest::store::StoreData;
use crate::message::{Message, Properties, Qos};
use crate::topic::Topic;
use crate::typed::answer::{self, CallError, Code};
use crate::typed::binding::{CalledInterface, Target};
use crate::typed::error_value::error_value;
use crate::typed::json;
use crate::typed::mapping::{ErrorType, Operation, Property};
use crate::typed::types::Field;
use crate::typed::value::Value;

use super::values::{Returned, TypeMismatch};

/// A function that a component imports: the positions of its interface and of the function.
#[derive(Debug, Clone, Copy)]
pub(in crate::guest) struct ImportedFunction {
    pub(in crate::guest) interface: usize,
    pub(in crate::guest) function: usize,
}

/// A signal, or a request to set a property, that was not sent.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{topic}: {reason}")]
struct NotSent {
    topic: Topic,
    reason: String,
}

/// Runs the call of an imported function.
///
/// # Errors
/// When the call fails and the function has no way to say so; then the guest call ends.
pub(in crate::guest) async fn call(
    mut store: StoreContextMut<'_, StoreData>,
    function: ImportedFunction,
    arguments: Vec<Value>,
) -> wasmtime::Result<Returned> {
    let data = store.data_mut();
    let binding = data.binding.clone();
    let target = binding.imports[function.interface][function.function];

    match target {
        Target::Operation(interface, at) => {
            let called = &binding.called[interface];
            operation(data, called, &called.mapping.operations[at], &arguments).await
        }
        Target::Get(interface, at) => {
            let called = &binding.called[interface];
            get(data, called, &called.mapping.properties[at]).await
        }
        Target::Set(interface, at) => {
            let called = &binding.called[interface];
            set(data, called, &called.mapping.properties[at], &arguments)
        }
        Target::Emit(interface, at) => {
            let served = &binding.served[interface];
            let signal = &served.mapping.signals[at];
            let payload = encode_arguments(data, &signal.parameters, &arguments);
            let payload = payload.map_err(|error| not_sent(&signal.topic, error.text))?;
            publish(data, &signal.topic, payload, served.qos)?;
            Ok(Ok(None))
        }
    }
}

async fn operation(
    data: &mut StoreData,
    called: &CalledInterface,
    operation: &Operation,
    arguments: &[Value],
) -> wasmtime::Result<Returned> {
    let topic = &operation.topic;
    let error = operation.error.as_ref();
    let payload = match encode_arguments(data, &operation.parameters, arguments) {
        Ok(payload) => payload,
        Err(failure) => return failed(data, topic, error, failure),
    };
    if operation.answer.is_none() && !called.awaits_void {
        publish(data, topic, payload, called.qos)?;
        return Ok(Ok(None));
    }
    if called.is_own {
        let prefix = &called.mapping.prefix;
        let text = format!(
            "this service serves {prefix} itself, and cannot answer while it waits; call the function directly"
        );
        return failed(data, topic, error, CallError::new(Code::Unavailable, text));
    }

    let mut message = Message::new(topic.clone(), payload, called.qos, false);
    message.properties = Some(Box::new(Properties {
        message_expiry: Properties::expiry_after(called.deadline),
        ..Properties::default()
    }));
    match answered(data, called, operation, message).await {
        Ok(value) => Ok(Ok(value)),
        Err(failure) => failed(data, topic, error, failure),
    }
}

/// Sends a call and returns the value of its answer.
async fn answered(
    data: &mut StoreData,
    called: &CalledInterface,
    operation: &Operation,
    message: Message,
) -> Result<Option<Value>, CallError> {
    data.hold(&message).map_err(refused)?;
    let answer = exchange(data, message, called.deadline, called.is_local).await;
    let answer = answer.map_err(|failure| match failure {
        RequestFailure::Unavailable(why) => CallError::new(Code::Unavailable, why),
        RequestFailure::TimedOut => {
            let text = format!("no answer came within {:?}", called.deadline);
            CallError::new(Code::TimedOut, text)
        }
    })?;

    let payload = answer::outcome(&answer)?;
    let Some(ty) = &operation.answer else {
        return Ok(None);
    };
    json::decode(ty, payload, data.json_limits())
        .map(Some)
        .map_err(|error| CallError::new(Code::InvalidResult, format!("the answer: {error}")))
}

/// The value of a property: from the cache, or the first one that comes.
async fn get(
    data: &mut StoreData,
    called: &CalledInterface,
    property: &Property,
) -> wasmtime::Result<Returned> {
    let error = property.error.as_ref();
    let failure = match known(data, called, property).await {
        Ok(value) => return Ok(Ok(Some(value))),
        Err(failure) => failure,
    };
    // a type with room for no value
    if failure.code == Code::Unavailable && property.ty.is_nullable() {
        return Ok(Ok(Some(Value::Option(None))));
    }
    failed(data, &property.topic, error, failure)
}

async fn known(
    data: &mut StoreData,
    called: &CalledInterface,
    property: &Property,
) -> Result<Value, CallError> {
    let payload = match data.inputs.recorded_property(&property.topic) {
        Some(recorded) => recorded,
        None => {
            let payload = read(data, called, property).await?;
            data.inputs.on_property(&property.topic, payload.as_ref());
            payload
        }
    };

    let unknown = || CallError::new(Code::Unavailable, "the value is not known");
    let payload = payload.ok_or_else(unknown)?;

    json::decode(&property.ty, &payload, data.json_limits())
        .map_err(|error| CallError::new(Code::InvalidResult, format!("the value: {error}")))
}

/// The value of a property in the cache, or the first one that comes in time.
async fn read(
    data: &mut StoreData,
    called: &CalledInterface,
    property: &Property,
) -> Result<Option<Bytes>, CallError> {
    let Some(requests) = data.ctx.requests.clone() else {
        return Ok(None);
    };
    if let Some(payload) = requests.properties().get(&property.topic) {
        return Ok(Some(payload));
    }

    let wait = data.wait_clock.begin();
    let known = requests.properties().known(&property.topic);
    let known = tokio::time::timeout(called.deadline, known);
    let payload = data.ctx.state.interruption().wait(known).await;
    drop(wait);
    let interrupted = || CallError::new(Code::Unavailable, INTERRUPTED);
    Ok(payload.ok_or_else(interrupted)?.ok())
}

fn set(
    data: &mut StoreData,
    called: &CalledInterface,
    property: &Property,
    arguments: &[Value],
) -> wasmtime::Result<Returned> {
    let topic = &property.set_topic;
    let error = property
        .setter
        .as_ref()
        .and_then(|setter| setter.error.as_ref());
    let value = arguments.first().ok_or(TypeMismatch)?;
    match json::encode(&property.ty, value, data.json_limits()) {
        Ok(payload) => {
            publish(data, topic, payload, called.qos)?;
            Ok(Ok(None))
        }
        Err(reason) => {
            let failure = CallError::new(Code::InvalidArguments, reason.to_string());
            failed(data, topic, error, failure)
        }
    }
}

fn encode_arguments(
    data: &StoreData,
    parameters: &[Field],
    arguments: &[Value],
) -> Result<Vec<u8>, CallError> {
    json::encode_arguments(parameters, arguments, data.json_limits())
        .map_err(|error| CallError::new(Code::InvalidArguments, error.to_string()))
}

/// Puts a message into the effects of the guest call.
fn publish(
    data: &mut StoreData,
    topic: &Topic,
    payload: Vec<u8>,
    qos: Qos,
) -> wasmtime::Result<()> {
    let message = Message::new(topic.clone(), payload, qos, false);
    data.hold(&message)
        .map_err(|error| not_sent(topic, refused(error).text))?;
    data.call.effects.publishes.push(message.into());
    Ok(())
}

fn not_sent(topic: &Topic, reason: String) -> NotSent {
    NotSent {
        topic: topic.clone(),
        reason,
    }
}

fn refused(error: MessagingError) -> CallError {
    let (MessagingError::InvalidTopic(text)
    | MessagingError::Denied(text)
    | MessagingError::InvalidProperty(text)
    | MessagingError::Limit(text)) = error;
    CallError::new(Code::Unavailable, text)
}

/// The result of a function that failed, if its type has room for the error.
fn failed(
    data: &StoreData,
    topic: &Topic,
    ty: Option<&ErrorType>,
    error: CallError,
) -> wasmtime::Result<Returned> {
    match ty.and_then(|ty| error_value(ty, &error, data.json_limits())) {
        Some(value) => Ok(Err(value)),
        None => Err(RemoteCallFailed {
            topic: topic.clone(),
            error,
        }
        .into()),
    }
}

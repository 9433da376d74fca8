//! `messaging.request`: the one host function that acts before the call has ended, because the guest waits for the answer.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::guest::bindings::miqro::service::messaging::{
    MessagingError, RequestError, RequestOptions, Response,
};
use crate::guest::interruption::INTERRUPTED;
use crate::guest::request::{Request, RequestCommand, RequestFailure};
use crate::guest::store::StoreData;
use crate::message::{Message, Qos};
use crate::trace_context;

use super::properties;

/// How long a guest waits that does not say it.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a guest may wait.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn request(
    data: &mut StoreData,
    topic: String,
    payload: Vec<u8>,
    options: Option<RequestOptions>,
) -> Result<Response, RequestError> {
    let deadline = options
        .as_ref()
        .map_or(DEADLINE, |options| Duration::from_millis(options.deadline))
        .min(LONGEST);
    let message = message(data, topic, payload, options).map_err(RequestError::Refused)?;
    match exchange(data, message, deadline, false).await {
        Ok(message) => Ok(Response {
            payload: message.payload.to_vec(),
            properties: message.properties.as_deref().map(Into::into),
        }),
        Err(RequestFailure::TimedOut) => Err(RequestError::TimedOut),
        Err(RequestFailure::Unavailable(why)) => Err(RequestError::Unavailable(why)),
    }
}

/// Sends a request and waits for its answer. `is_local`: a service of this host may get it without the broker.
///
/// # Errors
/// When it cannot be sent, or no answer comes in time.
pub(in crate::guest) async fn exchange(
    data: &mut StoreData,
    message: Message,
    deadline: Duration,
    is_local: bool,
) -> Result<Message, RequestFailure> {
    if let Some(answer) = data.inputs.recorded_answer(&message) {
        return answer;
    }
    let recorded = data.inputs.is_recorded().then(|| message.clone());
    let answer = send(data, message, deadline, is_local).await;
    if let Some(request) = recorded {
        data.inputs.on_answer(&request, &answer);
    }
    answer
}

async fn send(
    data: &mut StoreData,
    mut message: Message,
    deadline: Duration,
    is_local: bool,
) -> Result<Message, RequestFailure> {
    let unavailable = |why: &str| RequestFailure::Unavailable(why.to_owned());
    let requests = data.ctx.requests.clone();
    let requests = requests.ok_or_else(|| unavailable("this host carries no requests"))?;
    data.ctx.state.meter().requested(message.payload.len());

    if let Some(current) = &data.call.current {
        trace_context::carry_on(&current.message, &mut message);
    }
    let (answer, answered) = oneshot::channel();
    let request = Request {
        message,
        deadline,
        is_local,
        answer,
    };

    let wait = data.wait_clock.begin();
    let exchanged = async {
        if requests.send(RequestCommand::Send(request)).await {
            answered.await.ok()
        } else {
            None
        }
    };

    let outcome = data.ctx.state.interruption().wait(exchanged).await;
    drop(wait);
    let Some(outcome) = outcome else {
        return Err(unavailable(INTERRUPTED));
    };
    outcome.unwrap_or_else(|| Err(unavailable("the host is stopping")))
}

fn message(
    data: &mut StoreData,
    topic: String,
    payload: Vec<u8>,
    options: Option<RequestOptions>,
) -> Result<Message, MessagingError> {
    let (global, properties) = options.map_or((false, None), |options| {
        (options.global, options.properties)
    });
    if properties
        .as_ref()
        .is_some_and(|given| given.response_topic.is_some() || given.correlation_data.is_some())
    {
        let text =
            "response topic and correlation data of a request are the host's own; leave them out"
                .to_owned();
        return Err(MessagingError::InvalidProperty(text));
    }

    let topic = data.publish_topic(topic, global)?;
    let mut message = Message::new(topic, payload, Qos::AtLeastOnce, false);
    message.properties = properties.map(properties::validate).transpose()?.flatten();
    data.hold(&message)?;
    Ok(message)
}

//! `messaging.request`: the one host function that acts before the call has ended, because the guest waits for the answer.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::guest::bindings::miqro::service::messaging::{
    MessagingError, RequestError, RequestOptions, Response,
};
use crate::guest::request::{Request, RequestFailure};
use crate::guest::store::StoreData;
use crate::message::{Message, Qos};

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
    let Some(requests) = data.ctx.requests.clone() else {
        return Err(RequestError::Unavailable(
            "this host carries no requests".to_owned(),
        ));
    };
    data.ctx.state.meter().requested(message.payload.len());
    let (answer, answered) = oneshot::channel();
    let wait = data.wait_clock.begin();
    let sent = requests
        .send(Request {
            message,
            deadline,
            answer,
        })
        .await;
    let outcome = if sent.is_ok() {
        answered.await.ok()
    } else {
        None
    };
    drop(wait);
    match outcome {
        Some(Ok(message)) => Ok(Response {
            payload: message.payload.to_vec(),
            properties: message.properties.as_deref().map(Into::into),
        }),
        Some(Err(RequestFailure::TimedOut)) => Err(RequestError::TimedOut),
        Some(Err(RequestFailure::Unavailable(why))) => Err(RequestError::Unavailable(why)),
        None => Err(RequestError::Unavailable("the host is stopping".to_owned())),
    }
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

//! Calls that skip the broker, and their answers.

use crate::guest::LOCAL_RESPONSES;
use crate::message::Message;

/// Whether a message is a call that came without the broker.
pub(super) fn is_local(message: &Message) -> bool {
    let properties = message.properties.as_deref();
    let topic = properties.and_then(|properties| properties.response_topic.as_ref());
    topic.is_some_and(|topic| topic.as_str() == LOCAL_RESPONSES)
}

/// Whether a message is the answer to such a call.
pub(super) fn is_local_answer(message: &Message) -> bool {
    message.topic.as_str() == LOCAL_RESPONSES
}

//! Services of this host that take requests without the broker.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

use crate::guest::{LOCAL_RESPONSES, LocalService};
use crate::mailbox::{self, Delivery, PushOutcome};
use crate::message::{Message, Receipt};
use crate::router::ServiceId;
use crate::topic::Topic;

/// The services, by the topic of each interface that they serve: `io.world/Hello`.
#[derive(Debug, Default)]
pub(super) struct LocalServices(HashMap<Topic, (ServiceId, mailbox::Sender)>);

impl LocalServices {
    /// Replaces the interfaces of a service.
    pub(super) fn serve(&mut self, local: LocalService) {
        let LocalService {
            service,
            prefixes,
            mailbox,
        } = local;
        self.0.retain(|_, (other, _)| *other != service);
        let served = prefixes
            .into_iter()
            .map(|prefix| (prefix, (service, mailbox.clone())));
        self.0.extend(served);
    }

    /// Puts a call into the mailbox of the service that serves it. Returns the service, and the receipts of older messages that were
    /// dropped for the call; `None`: nobody serves it, or there is no room.
    pub(super) fn deliver(&self, message: Message) -> Option<(ServiceId, Vec<Receipt>)> {
        let (prefix, _) = message.topic.as_str().rsplit_once("/rpc/")?;
        let prefix = Topic::new(prefix.to_owned()).ok()?;
        let (service, mailbox) = self.0.get(&prefix)?;

        match mailbox.deliver(Delivery::new(message, None)) {
            PushOutcome::Taken => Some((*service, Vec::new())),
            PushOutcome::Replaced(dropped) => {
                let receipts = dropped.iter().filter_map(|delivery| delivery.receipt);
                Some((*service, receipts.collect()))
            }
            PushOutcome::Refused(_) => None,
        }
    }
}

/// The call with a response topic that never reaches a broker.
pub(super) fn with_local_response_topic(
    call: &Message,
    correlation: Bytes,
    end: Instant,
) -> Option<Message> {
    let mut call = call.clone();
    let properties = call.properties.get_or_insert_default();
    properties.response_topic = Some(Topic::new(LOCAL_RESPONSES).ok()?);
    properties.correlation_data = Some(correlation);
    properties.expires_at = Some(end);
    Some(call)
}

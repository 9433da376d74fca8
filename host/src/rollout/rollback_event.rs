//! The message that is published when a version is rolled back.

use serde_json::json;

use crate::message::{Message, Qos};
use crate::topic::{BaseTopic, TopicError};
use crate::version::Version;

use super::history::format_utc;

/// A version was rolled back.
pub struct RollbackEvent<'a> {
    /// The service.
    pub service: &'a str,
    /// The version that was rolled back.
    pub from: Option<Version>,
    /// The version that runs again.
    pub to: Version,
    /// The last fault, or the command.
    pub reason: &'a str,
    /// The faults in its probation.
    pub faults: u32,
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
}

impl RollbackEvent<'_> {
    /// The message on `<base>rollback`. A service without a base topic publishes it below its default one.
    ///
    /// # Errors
    /// When the base topic leaves no room for it.
    pub fn to_message(&self, base: &BaseTopic) -> Result<Message, TopicError> {
        let topic = if base.is_global() {
            BaseTopic::of_service(self.service)?.topic("rollback")?
        } else {
            base.topic("rollback")?
        };
        let text = json!({
            "service": self.service,
            "from": self.from.map(|version| version.to_string()),
            "to": self.to.to_string(),
            "reason": self.reason,
            "faults": self.faults,
            "at": format_utc(self.at),
        });

        Ok(Message::new(
            topic,
            text.to_string(),
            Qos::AtLeastOnce,
            false,
        ))
    }
}

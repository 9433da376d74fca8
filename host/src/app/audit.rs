//! The audit log: one line for each command that changes something.

use serde_json::Value;
use tracing::{info, warn};

use crate::control::{Answer, Caller, Reply};

/// Target of log lines about commands.
const AUDIT: &str = "miqro_host::audit";

/// Logs a command, its caller, and its outcome.
pub(super) fn audit(command: &str, caller: &Caller, answer: &Reply<Answer>) {
    match answer {
        Reply::Ok(Answer::Value(Value::String(done))) => {
            info!(target: AUDIT, "{command} by {caller}: {done}");
        }
        Reply::Ok(_) => info!(target: AUDIT, "{command} by {caller}: done"),
        Reply::Error(error) => warn!(target: AUDIT, "{command} by {caller}: {error}"),
    }
}

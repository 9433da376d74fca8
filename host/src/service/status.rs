//! Status of a service, as the rest of the host sees it.

/// Status of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(into = "&'static str")]
pub enum Status {
    /// Not yet started, or starting again.
    Starting,
    /// Handling messages and timers.
    Running,
    /// Waiting before the next start after a fault.
    Waiting,
    /// Restarted as often as `limits.restarts` allows; waiting for another component or for `miqro-host restart`.
    Failed,
    /// Stopped for good.
    Stopped,
}

impl From<Status> for &'static str {
    /// The status in one word, as all surfaces show it.
    fn from(status: Status) -> Self {
        match status {
            Status::Starting => "starting",
            Status::Running => "running",
            Status::Waiting => "waiting",
            Status::Failed => "failed",
            Status::Stopped => "stopped",
        }
    }
}

impl Status {
    /// Whether messages to the service are being handled: the value of `service/<name>/online`.
    pub fn is_online(self) -> bool {
        self == Self::Running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_service_is_online() {
        let online = [
            Status::Starting,
            Status::Running,
            Status::Waiting,
            Status::Failed,
            Status::Stopped,
        ]
        .map(Status::is_online);
        assert_eq!(online, [false, true, false, false, false]);
    }
}

//! `miqro-host replay`: processes the dead letters of a service again, lists them, or deletes one.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::ServiceTarget;
use super::print::lines;
use super::remote::Hosts;
use crate::control::Request;

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The host keeps messages that a service could not handle, up to limits.dead_letters. They are delivered to that service
only, the oldest first, behind the messages that already wait for it. A message that fails again becomes a dead letter
again. Messages of the service itself that the broker does not accept are listed, but not sent again.

Examples:
  miqro-host replay --list echo        list them with their identities and reasons
  miqro-host replay echo               process them again when the cause is mended
  miqro-host replay --delete ID echo   delete one of them for good"
)]
pub(super) struct Replay {
    #[command(flatten)]
    service: ServiceTarget,
    /// Only list the messages
    #[arg(long)]
    list: bool,
    /// Delete the dead letter with this identity, as shown by --list
    #[arg(long, value_name = "ID", conflicts_with = "list")]
    delete: Option<String>,
    /// Print JSON; needs --list
    #[arg(long, requires = "list")]
    json: bool,
}

impl Replay {
    /// Processes the dead letters again, lists them, or deletes one.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let service = self.service.name.clone();
        if let Some(letter) = self.delete {
            let request = Request::DeleteLetter { service, letter };
            return self.service.request_and_print(hosts, &request);
        }
        if !self.list {
            return self
                .service
                .request_and_print(hosts, &Request::Replay { service });
        }

        let query = Request::Letters { service };
        self.service
            .query_and_print(hosts, &query, self.json, |letters| lines(letters, line))
    }
}

/// Describes a dead letter in one line.
fn line(letter: &Value) -> String {
    let word = |key: &str| letter[key].as_str().unwrap_or_default().replace('\n', " ");
    let attempts = match letter["outgoing"].as_bool() {
        Some(true) => "never sent".to_owned(),
        _ => format!("{} attempts", letter["attempts"]),
    };
    format!(
        "{}  {}  {}, {} bytes, QoS {}, {attempts}: {}",
        word("id"),
        word("at"),
        word("topic"),
        letter["bytes"],
        letter["qos"],
        word("reason")
    )
}

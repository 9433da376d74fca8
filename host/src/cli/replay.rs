//! Surface: `miqro-host replay`. In: the name of a service. Out: what it has given up is handled again, or shown. Owns nothing.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::ask::{NOBODY, Service};
use super::print::print_line;
use crate::control::Request;

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The host keeps the messages that a service has given up, limits.dead_letters of them. They go back to that service
alone, the oldest first, behind what waits for it, and count as new: what fails again is given up again. What the service
published itself and was never sent, because the broker ends the connection for it, is only shown.

Examples:
  miqro-host replay --list echo   what there is, and why
  miqro-host replay echo          once the cause is mended"
)]
pub struct Replay {
    #[command(flatten)]
    service: Service,
    /// Only show what would be handled again
    #[arg(long)]
    list: bool,
    /// As JSON; with --list
    #[arg(long, requires = "list")]
    json: bool,
}

impl Replay {
    /// Has it handled again, or shows it.
    pub fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let service = self.service.name.clone();
        if !self.list {
            return self.service.tell(config, &Request::Replay { service });
        }
        let request = Request::Letters { service };
        let Some(letters) = self.service.ask(config, &request)? else {
            return Ok(ExitCode::from(NOBODY));
        };
        match self.json {
            true => print_line(format_args!("{letters:#}"))?,
            false => letters
                .as_array()
                .into_iter()
                .flatten()
                .try_for_each(|letter| print_line(line(letter)))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// One dead letter for people.
fn line(letter: &Value) -> String {
    let word = |key: &str| letter[key].as_str().unwrap_or_default().replace('\n', " ");
    let attempts = match letter["outgoing"].as_bool() {
        Some(true) => "never sent".to_owned(),
        _ => format!("{} attempts", letter["attempts"]),
    };
    format!(
        "{}  {}, {} bytes, QoS {}, {attempts}: {}",
        word("at"),
        word("topic"),
        letter["bytes"],
        letter["qos"],
        word("reason")
    )
}

//! `miqro-host watch`: prints properties and signals of interfaces as they arrive.

use std::num::NonZeroU64;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use super::client::Client;
use super::components;
use super::print::{print_error, print_line};
use super::receiver::Receiver;
use super::values::seconds;
use super::wait::{sleep_for, stop_signal};
use crate::config::{Config, Selection};
use crate::message::Message;
use crate::session::Handle;
use crate::topic::Filter;
use crate::typed::description::Description;

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host watch hello                       all interfaces of a service of ./miqro.yml
  miqro-host watch io.world/Hello              one interface of any module
  miqro-host watch hello -n 1 --json           the first value or signal, as a JSON object

A line is a property with its value, or a signal with its arguments:
  io.world/Hello last = {\"content\": \"hi\"}
  io.world/Hello justSaid [{\"content\": \"hi\"}]")]
pub(super) struct Watch {
    /// Interface: NAME or NAME/interface; NAME is a service of the configuration, or a module
    #[arg(value_name = "INTERFACE")]
    interface: String,
    /// End after this number of lines
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<NonZeroU64>,
    /// End after this number of seconds; the exit code is 1 when --count was not reached
    #[arg(short = 'W', long = "wait", value_name = "SECONDS", value_parser = seconds)]
    wait: Option<Duration>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: Client,
}

impl Watch {
    /// Prints until there are as many lines as wanted, the time is up, or a signal arrives.
    ///
    /// # Errors
    /// When there is no such interface, the broker cannot be reached, or standard output cannot be written.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let filters = self.filters(config)?;
        let connection = self.client.connection(config, "watch")?;
        let lines = self.client.with_session(connection, async |session| {
            self.print_lines(session, &filters).await
        })?;

        match self.count {
            Some(count) if lines < count.get() => {
                print_error(format_args!("{lines} of {count} lines arrived in time"));
                Ok(ExitCode::FAILURE)
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    /// The filters of all properties and signals.
    fn filters(&self, config: Option<&Path>) -> anyhow::Result<Vec<Filter>> {
        let name = self.interface.as_str();
        let (owner, interface) = match name.rsplit_once('/') {
            Some((owner, interface)) => (owner, Some(interface)),
            None => (name, None),
        };
        let config = Config::load(config, Selection::All)?.config;
        let mut services = config.services.iter();
        let service = services.find(|service| service.name == owner && service.component.is_some());

        let prefixes = match service {
            Some(service) => {
                let binding = components::bind(service)?;
                let interfaces = Description::new(owner, None, &binding).interfaces;
                let wanted: Vec<String> = interfaces
                    .iter()
                    .map(|interface| &interface.mapping)
                    .filter(|mapping| {
                        interface.is_none_or(|name| components::is_named(mapping, name))
                    })
                    .map(|mapping| mapping.prefix.as_str().to_owned())
                    .collect();

                anyhow::ensure!(!wanted.is_empty(), "there is no interface {name}");
                wanted
            }
            None => vec![format!("{owner}/{}", interface.unwrap_or("+"))],
        };

        let filters = prefixes.iter().flat_map(|prefix| {
            ["prop", "sig"].map(|kind| Filter::new(&format!("{prefix}/{kind}/+")))
        });
        Ok(filters.collect::<Result<_, _>>()?)
    }

    /// Returns the number of lines.
    async fn print_lines(&self, session: &Handle, filters: &[Filter]) -> anyhow::Result<u64> {
        let mut receiver = Receiver::open(session, filters).await;
        let mut lines = 0;
        let printing = async {
            while let Some(message) = receiver.next().await {
                print_line(self.line(&message))?;
                lines += 1;
                if self.count.is_some_and(|count| lines >= count.get()) {
                    break;
                }
            }

            anyhow::Ok(())
        };

        tokio::select! {
            outcome = printing => outcome?,
            () = sleep_for(self.wait) => {}
            signal = stop_signal() => signal.context("waiting for signals")?,
        }
        Ok(lines)
    }

    fn line(&self, message: &Message) -> String {
        let topic = message.topic.as_str();
        // the filters have three levels at the end: interface, kind and member
        let (rest, member) = topic.rsplit_once('/').unwrap_or((topic, ""));
        let (interface, kind) = rest.rsplit_once('/').unwrap_or((rest, ""));
        let is_property = kind == "prop";
        let payload = String::from_utf8_lossy(&message.payload);

        if self.json {
            let kind = if is_property { "property" } else { "signal" };
            let value = serde_json::from_slice(&message.payload)
                .unwrap_or_else(|_| serde_json::Value::from(payload.as_ref()));
            return json!({ "interface": interface, kind: member, "value": value }).to_string();
        }

        let sign = if is_property { " = " } else { " " };
        format!("{interface} {member}{sign}{payload}")
    }
}

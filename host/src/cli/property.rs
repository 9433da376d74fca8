//! `miqro-host get` and `miqro-host set`: properties of interfaces over MQTT.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use super::call::{deliver, print_call_error};
use super::client::Client;
use super::endpoint::Endpoint;
use super::member::MemberName;
use super::print::print_line;
use super::receiver::Receiver;
use super::values::seconds;
use crate::message::{Message, Qos};
use crate::topic::Filter;
use crate::typed::answer;

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host get hello/hello.last            a service of ./miqro.yml
  miqro-host get io.world/Hello.last         any other module

The value is printed as JSON. The exit code is 1 when the value is not known: nobody has published it.")]
pub(super) struct Get {
    /// Property: NAME/interface.property; NAME is a service of the configuration, or a module
    #[arg(value_name = "PROPERTY")]
    property: MemberName,
    /// Seconds to wait for the value
    #[arg(short = 'W', long = "wait", value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    wait: Duration,
    #[command(flatten)]
    client: Client,
}

/// Arguments of `set`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host set hello/hello.last '{\"content\": \"hi\"}'    a service of ./miqro.yml: the value is checked
  miqro-host set demo/Counter.count 7                      any other module

A service of the configuration says whether it has set the property. Others, such as those of ApiGear, send no answer: then the
command ends when the broker has the request, unless --confirm is given.")]
pub(super) struct Set {
    /// Property: NAME/interface.property; NAME is a service of the configuration, or a module
    #[arg(value_name = "PROPERTY")]
    property: MemberName,
    /// Value, as JSON
    #[arg(value_name = "VALUE")]
    value: String,
    /// Wait for the answer of a service that is not in the configuration
    #[arg(long, conflicts_with = "no_wait")]
    confirm: bool,
    /// Send the request and do not wait for an answer
    #[arg(long)]
    no_wait: bool,
    /// Seconds to wait for the answer
    #[arg(short = 'W', long = "wait", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    wait: Duration,
    #[command(flatten)]
    client: Client,
}

impl Get {
    /// Prints the value.
    ///
    /// # Errors
    /// When there is no such property, the broker cannot be reached, or the value is not known.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let endpoint = Endpoint::find(config, &self.property)?;
        let topic = endpoint.value(&self.property.member)?;
        let filter = Filter::new(topic.as_str())?;
        let connection = self.client.connection(config, "get")?;

        let value = self.client.with_session(connection, async |session| {
            let mut receiver = Receiver::open(session, &[filter]).await;
            match tokio::time::timeout(self.wait, receiver.next()).await {
                Ok(value) => value.context("the session has ended"),
                Err(_) => bail!(
                    "no value of {topic} within {} s: nobody has published it",
                    self.wait.as_secs_f64()
                ),
            }
        })?;

        print_line(String::from_utf8_lossy(&value.payload))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    /// Sends the request.
    ///
    /// # Errors
    /// When there is no such property, the value does not fit it, the broker cannot be reached, or no answer comes in time.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let endpoint = Endpoint::find(config, &self.property)?;
        let (topic, payload) = endpoint.set(&self.property.member, &self.value)?;
        let connection = self.client.connection(config, "set")?;
        let waits = self.confirm || endpoint.answers_set() && !self.no_wait;
        let message = Message::new(topic, payload, Qos::AtLeastOnce, false);
        let answer = deliver(
            &self.client,
            connection,
            message,
            waits.then_some(self.wait),
        )?;

        match answer.as_ref().map(answer::outcome) {
            Some(Err(error)) => Ok(print_call_error(&error)),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

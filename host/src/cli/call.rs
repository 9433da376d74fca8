//! `miqro-host call`: calls an operation of an interface over MQTT, and prints its result.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;

use super::client::Client;
use super::endpoint::Endpoint;
use super::member::MemberName;
use super::print::{print_error, print_line};
use super::receiver::Receiver;
use super::values::seconds;
use crate::config::{Connection, Protocol};
use crate::message::{Message, Properties, Qos};
use crate::router::ServiceId;
use crate::session::{Command, Commit, Handle};
use crate::topic::{Filter, Topic};
use crate::typed::answer::{self, CallError, Code};

/// Arguments of `call`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host call hello/hello.say '[{\"content\": \"hi\"}, \"now\"]'      a service of ./miqro.yml: arguments are checked
  miqro-host call io.world/Hello.say '[{\"content\": \"hi\"}, 0]'       any other module, with the names on the wire
  miqro-host call --no-wait demo/Counter.reset                      an operation that sends no answer

The result is printed as JSON. When the answer is an error, it is printed on standard error, and the exit code is 1.")]
pub(super) struct Call {
    /// Operation: NAME/interface.operation; NAME is a service of the configuration, or a module
    #[arg(value_name = "OPERATION")]
    operation: MemberName,
    /// Arguments, a JSON array
    #[arg(value_name = "ARGUMENTS", default_value = "[]")]
    arguments: String,
    /// Send the call and do not wait for its answer
    #[arg(long)]
    no_wait: bool,
    /// Seconds to wait for the answer
    #[arg(short = 'W', long = "wait", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    wait: Duration,
    #[command(flatten)]
    client: Client,
}

impl Call {
    /// Calls the operation.
    ///
    /// # Errors
    /// When there is no such operation, the arguments do not fit it, the broker cannot be reached, or no answer comes in time.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let endpoint = Endpoint::find(config, &self.operation)?;
        let (topic, payload) = endpoint.call(&self.operation.member, &self.arguments)?;
        let connection = self.client.connection(config, "call")?;
        let call = Message::new(topic, payload, Qos::AtLeastOnce, false);
        let wait = (!self.no_wait).then_some(self.wait);
        let Some(answer) = deliver(&self.client, connection, call, wait)? else {
            return Ok(ExitCode::SUCCESS);
        };

        match answer::outcome(&answer) {
            Ok(payload) => {
                print_line(String::from_utf8_lossy(payload))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(print_call_error(&error)),
        }
    }
}

/// Sends `message`. With `wait`, waits so long for its answer and returns it; without, until the broker has the message.
///
/// # Errors
/// When the broker cannot be reached, is used with 3.1.1 although an answer is wanted, or no answer comes within `wait`.
pub(super) fn deliver(
    client: &Client,
    connection: Connection,
    mut message: Message,
    wait: Option<Duration>,
) -> anyhow::Result<Option<Message>> {
    let Some(wait) = wait else {
        client.with_session(connection, async |session| {
            send(session, message).await;
            Ok(())
        })?;
        return Ok(None);
    };

    if connection.session.protocol == Protocol::V311 {
        bail!(
            "an answer needs MQTT 5; this broker is used with 3.1.1 (--protocol 5, or --no-wait)"
        );
    }

    let reply_topic = Topic::new(format!("{}/{}/result", message.topic, connection.client_id))?;
    message.properties = Some(Box::new(Properties {
        response_topic: Some(reply_topic),
        correlation_data: Some(Bytes::from(format!("{:016x}", fastrand::u64(..)))),
        message_expiry: Properties::expiry_after(wait),
        ..Properties::default()
    }));

    client
        .with_session(connection, async |session| {
            request(session, message, wait).await
        })
        .map(Some)
}

/// Sends a message; the end of the session waits until the broker has it.
async fn send(session: &Handle, message: Message) {
    let commit = Commit {
        publishes: vec![message.into()],
        ..Commit::new(ServiceId(0))
    };
    session.send(Command::Commit(commit)).await;
}

/// Sends `call` and waits for the message on its response topic that has its correlation data.
///
/// # Errors
/// When none comes within `wait`.
async fn request(session: &Handle, call: Message, wait: Duration) -> anyhow::Result<Message> {
    let properties = call.properties.clone().unwrap_or_default();
    let filter = properties.response_topic.as_ref().map(Topic::as_str);
    let filter = Filter::new(filter.unwrap_or_default())?;
    let mut receiver = Receiver::open(session, &[filter]).await;
    let topic = call.topic.clone();
    send(session, call).await;

    let answer = async {
        loop {
            let message = receiver.next().await?;
            let correlation = message.properties.as_ref();
            let correlation = correlation.and_then(|found| found.correlation_data.as_ref());
            if correlation == properties.correlation_data.as_ref() {
                break Some(message);
            }
        }
    };

    match tokio::time::timeout(wait, answer).await {
        Ok(Some(answer)) => Ok(answer),
        _ => bail!("no answer to {topic} within {} s", wait.as_secs_f64()),
    }
}

/// Prints the error that an answer carries, on standard error; returns the exit code.
pub(super) fn print_call_error(error: &CallError) -> ExitCode {
    if error.code == Code::Error {
        // the error of the operation itself is a value
        print_error("miqro-host: the operation returned an error:");
        print_error(String::from_utf8_lossy(&error.payload));
    } else {
        print_error(format_args!("miqro-host: {error}"));
    }

    ExitCode::FAILURE
}

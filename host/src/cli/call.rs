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
use crate::config::Protocol;
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
        if connection.session.protocol == Protocol::V311 && !self.no_wait {
            bail!(
                "an answer needs MQTT 5; this broker is used with 3.1.1 (--protocol 5, or --no-wait)"
            );
        }

        let mut call = Message::new(topic, payload, Qos::AtLeastOnce, false);
        if self.no_wait {
            self.client.with_session(connection, async |session| {
                send(session, call).await;
                Ok(())
            })?;
            return Ok(ExitCode::SUCCESS);
        }

        let reply_topic = Topic::new(format!("{}/{}/result", call.topic, connection.client_id))?;
        call.properties = Some(Box::new(request_properties(reply_topic, self.wait)));
        let answer = self.client.with_session(connection, async |session| {
            request(session, call, self.wait).await
        })?;
        match answer::outcome(&answer) {
            Ok(payload) => {
                print_line(String::from_utf8_lossy(payload))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(print_call_error(&error)),
        }
    }
}

/// The properties of a request that waits so long for its answer.
pub(super) fn request_properties(reply_topic: Topic, wait: Duration) -> Properties {
    let whole_seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Properties {
        response_topic: Some(reply_topic),
        correlation_data: Some(Bytes::from(format!("{:016x}", fastrand::u64(..)))),
        message_expiry: u32::try_from(whole_seconds).ok(),
        ..Properties::default()
    }
}

/// Sends a message; the end of the session waits until the broker has it.
pub(super) async fn send(session: &Handle, message: Message) {
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
pub(super) async fn request(
    session: &Handle,
    call: Message,
    wait: Duration,
) -> anyhow::Result<Message> {
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

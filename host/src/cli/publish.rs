//! `miqro-host pub`: publishes one message, or one for each line of standard input, and waits until the broker has it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::client::Client;
use super::reply::ReplySubscription;
use super::values::{filter, mqtt_text, qos, topic, user_property};
use crate::config::Protocol;
use crate::message::{Message, Properties, Qos};
use crate::router::ServiceId;
use crate::session::{Command, Commit, Handle};
use crate::topic::{Filter, Topic};

/// Lines that may be read ahead of the session.
const LINES_AHEAD: usize = 64;

/// Arguments of `pub`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host pub service/echo/echo hello              one message to the broker of ./miqro.yml or /etc/miqro.yml
  miqro-host pub -q 1 -r state/lamp on                acknowledged, and retained by the broker
  miqro-host pub -r state/lamp --empty                clear the retained message
  miqro-host pub camera/image --file picture.jpg
  miqro-host pub service/echo/echo hello --answers 'service/echo/#'   and show the reply
  seq 1000 | miqro-host pub numbers --stdin-lines
  miqro-host pub --url mqtts://user@broker.example add '[1,2]' --response-topic reply/1")]
pub(super) struct Publish {
    /// Topic of the message
    #[arg(value_name = "TOPIC", value_parser = topic)]
    topic: Topic,
    #[command(flatten)]
    payload: Payload,
    /// Quality of service: 0, 1 or 2
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = qos)]
    qos: Qos,
    /// Have the broker retain the message for later subscribers
    #[arg(short, long)]
    retain: bool,
    /// Wait for a reply on this filter and show it; fail when none arrives within --timeout
    #[arg(long, value_name = "FILTER", value_parser = filter, conflicts_with = "stdin_lines")]
    answers: Option<Filter>,
    #[command(flatten)]
    properties: PropertyOptions,
    #[command(flatten)]
    client: Client,
}

/// The payload: exactly one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Payload {
    /// Payload of the message
    #[arg(value_name = "PAYLOAD")]
    text: Option<String>,
    /// Send the content of a file, or of standard input with -
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Send each line of standard input as a message
    #[arg(short = 'l', long)]
    stdin_lines: bool,
    /// Send an empty payload
    #[arg(short = 'n', long)]
    empty: bool,
}

/// MQTT 5 properties of the message.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Properties (MQTT 5)")]
struct PropertyOptions {
    /// User property; can be given several times
    #[arg(short = 'D', long = "property", value_name = "NAME=VALUE", value_parser = user_property)]
    user_properties: Vec<(String, String)>,
    /// Topic for the response
    #[arg(long, value_name = "TOPIC", value_parser = topic)]
    response_topic: Option<Topic>,
    /// Data that the response repeats
    #[arg(long, value_name = "TEXT")]
    correlation_data: Option<String>,
    /// MIME type of the payload
    #[arg(long, value_name = "TYPE", value_parser = mqtt_text)]
    content_type: Option<String>,
    /// Seconds after which the broker no longer delivers it
    #[arg(long, value_name = "SECONDS")]
    expiry: Option<u32>,
}

impl PropertyOptions {
    fn properties(&self) -> Option<Box<Properties>> {
        let properties = Properties {
            response_topic: self.response_topic.clone(),
            correlation_data: self.correlation_data.clone().map(Bytes::from),
            content_type: self.content_type.clone(),
            message_expiry: self.expiry,
            expires_at: None,
            arrived_at: None,
            utf8: false,
            user_properties: self.user_properties.clone(),
        };

        (properties != Properties::default()).then(|| Box::new(properties))
    }
}

impl Publish {
    /// Publishes and waits until the broker has it.
    ///
    /// # Errors
    /// When the broker cannot be reached, refuses the connection, or does not acknowledge in time, or the payload cannot be read.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let connection = self.client.connection(config, "pub")?;
        let properties = self.properties.properties();
        if connection.session.protocol == Protocol::V311 && properties.is_some() {
            bail!("properties need MQTT 5; this broker is used with 3.1.1 (--protocol 5)");
        }
        let template = Message {
            properties,
            ..Message::new(self.topic, Bytes::new(), self.qos, self.retain)
        };

        if self.payload.stdin_lines {
            self.client.with_session(connection, async |session| {
                send_lines(session, &template).await
            })?;
        } else {
            let payload = self.payload.read()?;
            let message = Message {
                payload,
                ..template
            };
            let timeout = self.client.timeout();
            self.client.with_session(connection, async |session| {
                send_and_wait(session, message, self.answers, timeout).await
            })?;
        }

        Ok(ExitCode::SUCCESS)
    }
}

impl Payload {
    fn read(self) -> anyhow::Result<Bytes> {
        match self.file {
            Some(file) if file == Path::new("-") => {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes)
                    .context("standard input")?;
                Ok(bytes.into())
            }
            Some(file) => Ok(std::fs::read(&file)
                .with_context(|| file.display().to_string())?
                .into()),
            None => Ok(self.text.unwrap_or_default().into()),
        }
    }
}

async fn send(session: &Handle, message: Message) {
    let commit = Commit {
        publishes: vec![message.into()],
        ..Commit::new(ServiceId(0))
    };
    session.send(Command::Commit(commit)).await;
}

/// Publishes a message and, with a filter for replies, prints the first reply.
async fn send_and_wait(
    session: &Handle,
    message: Message,
    replies: Option<Filter>,
    timeout: Duration,
) -> anyhow::Result<()> {
    let Some(filter) = replies else {
        send(session, message).await;
        return Ok(());
    };

    let request = message.topic.clone();
    let subscription = ReplySubscription::open(session, filter).await;
    send(session, message).await;

    subscription.print_first(&request, timeout).await
}

/// Publishes each line of standard input. A thread reads it, because that blocks; it ends with the input or with this function.
async fn send_lines(session: &Handle, template: &Message) -> anyhow::Result<()> {
    let (lines, mut read) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in BufReader::new(std::io::stdin()).split(b'\n') {
            let failed = line.is_err();
            if lines.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });

    while let Some(line) = read.recv().await {
        let mut line = line.context("standard input")?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        send(
            session,
            Message {
                payload: line.into(),
                ..template.clone()
            },
        )
        .await;
    }

    Ok(())
}

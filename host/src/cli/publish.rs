//! Surface: `miqro-host pub`. In: a topic and what to send there. Out: one message, or one for each line of standard input, and an
//! exit code that says whether the broker has them. Owns nothing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::answers::Answers;
use super::client::Client;
use super::subscribe::filter;
use crate::config::Protocol;
use crate::message::{Message, Properties, Qos};
use crate::router::ServiceId;
use crate::session::{Command, Commit, Handle};
use crate::text;
use crate::topic::{Filter, Topic};

/// Lines that are read ahead of the session.
const LINES_AHEAD: usize = 64;

/// Arguments of `pub`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host pub service/echo/echo hello              one message to the broker of ./miqro.yml or /etc/miqro.yml
  miqro-host pub -q 1 -r state/lamp on                acknowledged, and kept by the broker for later subscribers
  miqro-host pub -r state/lamp --empty                forget the retained message
  miqro-host pub camera/image --file picture.jpg
  miqro-host pub service/echo/echo hello --answers 'service/echo/#'   and show what comes back
  seq 1000 | miqro-host pub numbers --stdin-lines
  miqro-host pub --url mqtts://user@broker.example add '[1,2]' --response-topic reply/1")]
pub struct Publish {
    /// The topic
    #[arg(value_name = "TOPIC", value_parser = topic)]
    topic: Topic,
    #[command(flatten)]
    payload: Payload,
    /// Quality of service: 0, 1 or 2
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = qos)]
    qos: Qos,
    /// Let the broker keep the message for later subscribers
    #[arg(short, long)]
    retain: bool,
    /// Wait for an answer on this filter, show it, and fail when none comes within --timeout
    #[arg(long, value_name = "FILTER", value_parser = filter, conflicts_with = "stdin_lines")]
    answers: Option<Filter>,
    #[command(flatten)]
    properties: Given,
    #[command(flatten)]
    client: Client,
}

/// What to send: exactly one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Payload {
    /// The payload
    #[arg(value_name = "PAYLOAD")]
    text: Option<String>,
    /// Send the content of a file; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Send each line of standard input as a message
    #[arg(short = 'l', long)]
    stdin_lines: bool,
    /// Send an empty payload
    #[arg(short = 'n', long)]
    empty: bool,
}

/// MQTT 5 properties.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Properties (MQTT 5)")]
struct Given {
    /// User property; may be given several times
    #[arg(short = 'D', long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    user_properties: Vec<(String, String)>,
    /// Where to send a response
    #[arg(long, value_name = "TOPIC", value_parser = topic)]
    response_topic: Option<Topic>,
    /// What the response has to repeat
    #[arg(long, value_name = "TEXT")]
    correlation_data: Option<String>,
    /// MIME type of the payload
    #[arg(long, value_name = "TYPE", value_parser = property)]
    content_type: Option<String>,
    /// Seconds after which the broker shall no longer deliver it
    #[arg(long, value_name = "SECONDS")]
    expiry: Option<u32>,
}

fn topic(text: &str) -> Result<Topic, String> {
    Topic::new(text.to_owned()).map_err(|error| error.to_string())
}

/// Reads a quality of service.
pub(super) fn qos(text: &str) -> Result<Qos, String> {
    let wrong = || "accepted: 0, 1, 2".to_owned();
    Qos::try_from(text.parse::<u8>().map_err(|_| wrong())?).map_err(|_| wrong())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "write NAME=VALUE".to_owned())?;
    Ok((property(name)?, property(value)?))
}

/// Reads a text property.
fn property(text: &str) -> Result<String, String> {
    match text::forbidden(text) {
        Some(character) => Err(format!(
            "contains {}, which MQTT forbids",
            text::name(character)
        )),
        None => Ok(text.to_owned()),
    }
}

impl Given {
    fn properties(&self) -> Option<Box<Properties>> {
        let properties = Properties {
            response_topic: self.response_topic.clone(),
            correlation_data: self.correlation_data.clone().map(Bytes::from),
            content_type: self.content_type.clone(),
            message_expiry: self.expiry,
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
    /// The broker cannot be reached, refuses the connection, or does not acknowledge in time; or there is nothing to send.
    pub fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let connection = self.client.connection(config, "pub")?;
        let properties = self.properties.properties();
        if connection.protocol == Protocol::V311 && properties.is_some() {
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
            let (answers, patience) = (self.answers, self.client.timeout());
            self.client.with_session(connection, async |session| {
                let question = template.topic.clone();
                let answers = match answers {
                    Some(filter) => Some(Answers::open(session, filter).await),
                    None => None,
                };
                send(
                    session,
                    Message {
                        payload,
                        ..template
                    },
                )
                .await;
                match answers {
                    Some(answers) => answers.first(&question, patience).await,
                    None => Ok(()),
                }
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

/// Standard input can only be read by waiting, so a thread does it; it ends with the input or with this function.
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

//! `miqro-host sub`: prints the messages that arrive, one a line.

use std::io::{ErrorKind, IsTerminal, StdoutLock, Write};
use std::num::NonZeroU64;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::client::Client;
use super::format::Format;
use super::print::print_error;
use super::values::{filter, qos, seconds};
use super::wait::{sleep_for, stop_signal};
use crate::config::WhenFull;
use crate::mailbox::{Limits, Mailbox, Next, mailbox};
use crate::message::{Message, Qos, Receipt, Subscription};
use crate::router::ServiceId;
use crate::session::{Command, Commit, Handle};
use crate::topic::Filter;

/// The only receiver of this session.
const RECEIVER: ServiceId = ServiceId(0);

/// Messages that may wait for standard output.
const MAILBOX: Limits = Limits {
    messages: 10_000,
    bytes: usize::MAX,
    when_full: WhenFull::Hold,
};

/// Arguments of `sub`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host sub -v 'service/#'                       topic and payload of everything below service/
  miqro-host sub -n 1 -W 5 service/echo/online        one message, or exit code 1 after 5 seconds
  miqro-host sub --json '#'                           one JSON object a message, with properties
  miqro-host sub --format '%t %q %x' 'sensor/+/raw'   letters: %t topic, %p payload, %x payload in hexadecimal,
      %q QoS, %r retained (1 or 0), %R response topic, %D correlation data, %C content type, %E expiry in seconds,
      %P user properties, %n line end, %% percent sign")]
pub(super) struct Subscribe {
    /// Topic filters; + and # are wildcards
    #[arg(value_name = "FILTER", required = true, value_parser = filter)]
    filters: Vec<Filter>,
    /// Maximum quality of service: 0, 1 or 2
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = qos)]
    qos: Qos,
    /// End after this number of messages
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<NonZeroU64>,
    /// End after this number of seconds; the exit code is 1 when --count was not reached
    #[arg(short = 'W', long = "wait", value_name = "SECONDS", value_parser = seconds)]
    wait: Option<Duration>,
    /// Show only retained messages
    #[arg(long, conflicts_with = "no_retained")]
    retained_only: bool,
    /// Hide retained messages
    #[arg(long)]
    no_retained: bool,
    /// Show the topic before each payload
    #[arg(short, long, conflicts_with_all = ["format", "json"])]
    verbose: bool,
    /// Format of a line; see below
    #[arg(short = 'F', long, value_name = "TEXT", conflicts_with = "json", value_parser = Format::parse)]
    format: Option<Format>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: Client,
}

/// Reason for the end of the command.
#[derive(Debug, PartialEq, Eq)]
enum EndReason {
    /// As many messages as wanted, or a signal.
    Complete,
    /// The time was up after this number of messages.
    TimedOut(u64),
    /// Standard output has no reader any more.
    Closed,
}

impl Subscribe {
    /// Prints messages until there are as many as wanted, the time is up, or a signal arrives.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses the connection, or standard output cannot be written.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let connection = self.client.connection(config, "sub")?;
        let end = self
            .client
            .with_session(connection, async |session| self.receive(session).await)?;
        match (end, self.count) {
            (EndReason::TimedOut(seen), Some(count)) if seen < count.get() => {
                print_error(format_args!("{seen} of {count} messages arrived in time"));
                Ok(ExitCode::FAILURE)
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    async fn receive(&self, session: &Handle) -> anyhow::Result<EndReason> {
        let (sender, mut mailbox) = mailbox(MAILBOX);
        let subscription = |filter: &Filter| Subscription {
            filter: filter.clone(),
            qos: self.qos,
        };
        let subscriptions = self.filters.iter().map(subscription).collect();
        session
            .send(Command::Attach {
                service: RECEIVER,
                mailbox: sender,
                subscriptions,
                retained: false,
            })
            .await;

        let mut seen = 0;
        let end = tokio::select! {
            end = self.print_messages(session, &mut mailbox, &mut seen) => end,
            () = sleep_for(self.wait) => Ok(EndReason::TimedOut(0)),
            signal = stop_signal() => signal.map(|()| EndReason::Complete).context("waiting for signals"),
        };

        let lost = mailbox.counters().dropped_newest;
        if lost > 0 {
            print_error(format_args!(
                "{lost} messages with QoS 0 were lost because standard output was not read fast enough"
            ));
        }

        match end? {
            EndReason::TimedOut(_) => Ok(EndReason::TimedOut(seen)),
            end => Ok(end),
        }
    }

    async fn print_messages(
        &self,
        session: &Handle,
        mailbox: &mut Mailbox,
        seen: &mut u64,
    ) -> anyhow::Result<EndReason> {
        let mut out = Output {
            stdout: std::io::stdout().lock(),
            escapes: std::io::stdout().is_terminal(),
        };
        loop {
            let delivery = match mailbox.next().await {
                Next::Delivery(delivery) => delivery,
                Next::Congested | Next::Timers | Next::Notice(_) | Next::Unreadable(_) => continue,
                Next::Closed => return Ok(EndReason::Complete),
            };

            if self.is_wanted(&delivery.message) {
                match out.message(self, &delivery.message) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                        return Ok(EndReason::Closed);
                    }
                    outcome => outcome.context("standard output")?,
                }

                *seen += 1;
            }

            if let Some(receipt) = delivery.receipt {
                session.send(acknowledge(receipt)).await;
            }
            if self.count.is_some_and(|count| *seen >= count.get()) {
                return Ok(EndReason::Complete);
            }
        }
    }

    fn is_wanted(&self, message: &Message) -> bool {
        if message.retain {
            !self.no_retained
        } else {
            !self.retained_only
        }
    }

    fn line(&self, message: &Message) -> Vec<u8> {
        match &self.format {
            _ if self.json => Format::json(message),
            Some(format) => format.message(message),
            None if self.verbose => {
                [message.topic.as_str().as_bytes(), b" ", &message.payload].concat()
            }
            None => message.payload.to_vec(),
        }
    }
}

fn acknowledge(receipt: Receipt) -> Command {
    Command::Commit(Commit {
        receipt: Some(receipt),
        ..Commit::new(RECEIVER)
    })
}

/// Standard output. Each line is written at once, because a person or a program waits for it.
struct Output {
    stdout: StdoutLock<'static>,
    /// Escape control characters, because this is a terminal.
    escapes: bool,
}

impl Output {
    fn message(&mut self, arguments: &Subscribe, message: &Message) -> std::io::Result<()> {
        let mut line = arguments.line(message);
        if self.escapes {
            line = escape_control_characters(&line).into_bytes();
        }
        line.push(b'\n');
        self.stdout.write_all(&line)
    }
}

fn escape_control_characters(line: &[u8]) -> String {
    let mut text = String::new();
    for character in String::from_utf8_lossy(line).chars() {
        match character {
            '\n' | '\t' => text.push(character),
            control if control.is_control() => text.extend(control.escape_debug()),
            other => text.push(other),
        }
    }

    text
}

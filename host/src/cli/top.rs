//! `miqro-host top`: the services of a running host in a terminal, refreshed each second, and the commands for the selected one.

mod model;
mod view;

use std::io::{IsTerminal, Stdout, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ratatui::Terminal;
use ratatui::backend::TermionBackend;
use ratatui::termion::event::Key;
use ratatui::termion::input::TermRead;
use ratatui::termion::raw::{IntoRawMode, RawTerminal};
use ratatui::termion::screen::{AlternateScreen, IntoAlternateScreen};
use serde_json::Value;

use super::admin::{COMMAND_TIMEOUT, EXIT_NOT_RUNNING, QUERY_TIMEOUT};
use super::remote::Hosts;
use super::stream::only_host;
use crate::control::{ClientError, Endpoint, Request};
use model::{Action, Model};

/// Time between two snapshots.
const PERIOD: Duration = Duration::from_secs(1);

/// Events that wait for the screen.
const QUEUE: usize = 16;

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Keys:
  up and down, j and k   select a service
  s                      sort by the next column
  /                      show services whose name has a text; Enter keeps it, Esc ends it
  r                      restart the service
  e                      switch the service on or off
  q                      end

Restarts and switches ask before they do it.")]
pub(super) struct Top {
    /// State file of the host [default: that of the configuration, or else of the only host in the default directories]
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,
}

/// An event for the screen.
enum Event {
    Key(Key),
    /// No more keys come.
    EndOfInput,
    /// The host's answer to a query, and the time of its arrival.
    Snapshot(anyhow::Result<Value>, Instant),
    /// The host's answer to a command.
    Answer(String),
}

type Screen = Terminal<TermionBackend<AlternateScreen<RawTerminal<Stdout>>>>;

impl Top {
    /// Shows the services until a key ends it.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        ensure!(
            stdin().is_terminal() && stdout().is_terminal(),
            "expected a terminal; `miqro-host list` prints the services once"
        );
        let Some(endpoint) = only_host(self.state_file.as_deref(), hosts)? else {
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };

        let (sender, events) = sync_channel(QUEUE);
        let (commands, requests) = sync_channel(1);
        start("keys", {
            let sender = sender.clone();
            move || read_keys(&sender)
        })?;
        start("snapshots", {
            let (endpoint, sender) = (endpoint.clone(), sender.clone());
            move || read_snapshots(&endpoint, &sender)
        })?;
        start("commands", move || {
            send_commands(&endpoint, &requests, &sender)
        })?;

        let output = stdout()
            .into_raw_mode()
            .and_then(IntoAlternateScreen::into_alternate_screen)
            .context("the terminal")?;
        let mut screen = Terminal::new(TermionBackend::new(output)).context("the terminal")?;
        show(&mut screen, &events, &commands)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .with_context(|| format!("no thread for {name}"))?;
    Ok(())
}

/// Draws until a key ends it.
fn show(
    screen: &mut Screen,
    events: &Receiver<Event>,
    commands: &SyncSender<Request>,
) -> anyhow::Result<()> {
    let mut model = Model::default();
    screen.hide_cursor()?;
    loop {
        screen.draw(|frame| view::draw(frame, &model))?;
        match events.recv().context("no more events")? {
            Event::Snapshot(Ok(host), at) => model.on_snapshot(&host, at),
            Event::Snapshot(Err(error), _) => model.on_no_answer(format!("{error:#}")),
            Event::Answer(answer) => model.on_answer(answer),
            Event::EndOfInput => return Ok(()),
            Event::Key(key) => match model.on_key(key) {
                Action::None => {}
                Action::End => return Ok(()),
                Action::Send(request) => {
                    if commands.try_send(request).is_err() {
                        model.on_answer("the host has not answered the last command yet".into());
                    }
                }
            },
        }
    }
}

fn read_keys(events: &SyncSender<Event>) {
    for key in stdin().keys().map_while(Result::ok) {
        if events.send(Event::Key(key)).is_err() {
            return;
        }
    }
    // the screen may have ended
    let _ = events.send(Event::EndOfInput);
}

fn read_snapshots(endpoint: &Endpoint, events: &SyncSender<Event>) {
    loop {
        let asked = Instant::now();
        let snapshot = query(endpoint);
        if events
            .send(Event::Snapshot(snapshot, Instant::now()))
            .is_err()
        {
            return;
        }
        std::thread::sleep(PERIOD.saturating_sub(asked.elapsed()));
    }
}

fn query(endpoint: &Endpoint) -> anyhow::Result<Value> {
    match endpoint.send(&Request::Snapshot {}, QUERY_TIMEOUT) {
        Ok(host) => Ok(host),
        Err(ClientError::NotListening(_)) => bail!("no host runs"),
        Err(error) => Err(error.into()),
    }
}

fn send_commands(endpoint: &Endpoint, requests: &Receiver<Request>, events: &SyncSender<Event>) {
    for request in requests {
        let answer = match endpoint.send(&request, COMMAND_TIMEOUT) {
            Ok(answer) => answer.as_str().unwrap_or("done").to_owned(),
            Err(error) => error.to_string(),
        };
        if events.send(Event::Answer(answer)).is_err() {
            return;
        }
    }
}

//! The greeting of `miqro-host run`: the address of the broker, the services, and a command that makes one of them reply.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tracing::warn;

use super::print::print;
use crate::app::StartReport;
use crate::config::Connection;
use crate::message::Subscription;
use crate::topic::BaseTopic;

/// Texts of the greeting that may wait.
const QUEUE: usize = 3;

/// Prints the greeting in a thread of its own: the host works even when nobody reads standard output.
pub(super) struct Greeting {
    texts: SyncSender<String>,
    has_suggested: Cell<bool>,
}

impl Greeting {
    /// Starts the thread.
    pub(super) fn new() -> Self {
        let (texts, received) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("greeting".to_owned())
            .spawn(move || print_all(&received));
        if let Err(error) = thread {
            warn!("cannot print the greeting: no thread for it: {error}");
        }
        Self {
            texts,
            has_suggested: Cell::new(false),
        }
    }

    /// Prints the address of the broker and the services.
    pub(super) fn greet(&self, started: &StartReport<'_>) {
        self.print(greeting(started));
    }

    /// Prints the address of the web page and the token for it.
    pub(super) fn show_page(&self, address: SocketAddr, token: &str) {
        self.print(format!(
            "web page on http://{address}/, for this run with the token {token}\n"
        ));
    }

    /// Prints a command that makes a service reply, or shows its messages, unless there was one for another service.
    pub(super) fn suggest(
        &self,
        connection: &Connection,
        base: &BaseTopic,
        subscriptions: &[Subscription],
    ) {
        if self.has_suggested.replace(true) {
            return;
        }

        let command = request_command(connection, base, subscriptions)
            .unwrap_or_else(|| listen_command(connection, base));
        self.print(format!(
            "to try it, copy into another terminal:\n  {command}\n"
        ));
    }

    fn print(&self, text: String) {
        // there is room for each of the three texts, unless there is no thread, which was reported
        let _ = self.texts.try_send(text);
    }
}

fn print_all(texts: &Receiver<String>) {
    for text in texts {
        if let Err(error) = print(text) {
            warn!("cannot print the greeting: {error:#}");
            return;
        }
    }
}

fn greeting(started: &StartReport<'_>) -> String {
    let address = format!("{}:{}", started.connection.host, started.connection.port);
    let mut text = if started.embedded {
        format!("embedded broker listening on {address}\n")
    } else {
        format!("connecting to the broker on {address}\n")
    };
    for service in started.services {
        text.push_str(&format!(
            "service {} below {}\n",
            service.ctx.config.name, service.ctx.config.base
        ));
    }

    text
}

/// A command that makes a service reply, for its first subscription without wildcards. The one to `enabled` is the host's own.
fn request_command(
    connection: &Connection,
    base: &BaseTopic,
    subscriptions: &[Subscription],
) -> Option<String> {
    let filter = subscriptions
        .iter()
        .map(|subscription| subscription.filter.as_str())
        .find(|filter| {
            !filter.contains(['+', '#', '$'])
                && filter.strip_prefix(base.as_str()) != Some("enabled")
        })?;
    let below = filter
        .rsplit_once('/')
        .map_or("#".to_owned(), |(base, _)| format!("{base}/#"));

    let client = client_command(connection, "pub");
    Some(format!("{client} --answers '{below}' {filter} hello"))
}

/// A command that shows the messages of a service.
fn listen_command(connection: &Connection, base: &BaseTopic) -> String {
    format!("{} '{base}#'", client_command(connection, "sub"))
}

/// The beginning of a command that connects to the broker of the host.
fn client_command(connection: &Connection, command: &str) -> String {
    let program = std::env::args().next();
    let program = program.unwrap_or_else(|| "miqro-host".to_owned());
    let host = &connection.host;
    let port = connection.port;
    format!("{program} {command} --host {host} --port {port}")
}

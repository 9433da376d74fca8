//! The text message service: it offers the HTTP interface of a Teltonika router (RutOS) over MQTT. It takes a text on
//! `send/single/<number>` or `send/group/<group>` and an index on `delete`, and publishes the router's answer on
//! `sent/single/<number>`, `sent/group/<group>` and `deleted`, or the reason on `failed/..`. Each message that the router
//! received is published once, on `received`, as JSON. Seen messages are kept in the state, so that they do not repeat after a
//! restart.
//!
//! ```yaml
//! rutos_sms:
//!   component: guests/sms.wasm
//!   host: 192.168.1.1
//!   port: 80
//!   username: user1
//!   password: user_pass
//!   poll: 20s
//!   timeout: 10s
//!   delete_after: {days: 1}      # by the router's clock; without it nothing is deleted
//!   grants:
//!     http: ["192.168.1.1:80"]      # no scheme; a host alone stands for all its ports
//! ```

mod list;
mod router;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use miqro_sdk::prelude::*;
use serde::Deserialize;

use crate::list::Text;
use crate::router::Router;

/// Key of the state for the identities of seen messages.
const SEEN: &str = "seen";

#[derive(Deserialize)]
struct Settings {
    #[serde(flatten)]
    router: Router,
    #[serde(default = "poll")]
    poll: Span,
    #[serde(default)]
    delete_after: Option<Span>,
}

fn poll() -> Span {
    Span(Duration::from_secs(20))
}

struct Sms {
    settings: Settings,
}

/// The number or the group that gets a text.
struct Recipient<'a> {
    /// As in the topic.
    kind: &'static str,
    /// The router's parameter for it.
    parameter: &'static str,
    name: &'a str,
}

#[service]
impl Sms {
    #[new]
    fn new() -> Result<Self> {
        Ok(Self {
            settings: config::section()?,
        })
    }

    #[start]
    fn start(&mut self) -> Result {
        Loop::add("poll", self.settings.poll.0, Self::poll).map(drop)
    }

    #[handle("send/single/#")]
    fn send_single(&mut self, text: &str, message: &Message<'_>, number: &str) -> Result {
        let to = Recipient {
            kind: "single",
            parameter: "number",
            name: number,
        };
        self.send(&to, text, message)
    }

    #[handle("send/group/#")]
    fn send_group(&mut self, text: &str, message: &Message<'_>, group: &str) -> Result {
        let to = Recipient {
            kind: "group",
            parameter: "group",
            name: group,
        };
        self.send(&to, text, message)
    }

    #[handle("delete")]
    fn delete(&mut self, index: &str) -> Result {
        self.delete_message(index.trim())
    }

    /// No error comes of a text that could not be sent: the host would try again, and perhaps send it twice.
    fn send(&self, to: &Recipient<'_>, text: &str, message: &Message<'_>) -> Result {
        if message.is_retained() {
            warn!("a retained text is an old one and is not sent"; topic = message.topic());
            return Ok(());
        }
        match self
            .settings
            .router
            .ask("sms_send", &[(to.parameter, to.name), ("text", text)])
        {
            Ok(answer) => publish(&format!("sent/{}/{}", to.kind, to.name), answer),
            Err(error) => failed(&format!("{}/{}", to.kind, to.name), &error),
        }
    }

    fn delete_message(&self, index: &str) -> Result {
        match self.settings.router.ask("sms_delete", &[("number", index)]) {
            Ok(answer) => publish("deleted", answer),
            Err(error) => failed("delete", &error),
        }
    }

    /// Publishes new messages, and forgets those that the router no longer has, so that the list of seen messages stays short.
    fn poll(&mut self) -> Result {
        let list = match self.settings.router.ask("sms_list", &[]) {
            Ok(list) => list,
            Err(error) => {
                warn!("the router does not list its messages: {}", error);
                return Ok(());
            }
        };

        let texts = list::read(&list);
        if texts.is_empty() {
            // no messages, or a fault that looks like success: seen messages must not be forgotten for that
            return Ok(());
        }
        let seen: BTreeSet<String> = state::get(SEEN)?.unwrap_or_default();
        let new = texts.iter().filter(|text| !seen.contains(&text.identity()));
        new.clone()
            .try_for_each(|text| message("received").qos(1).send(Json(text)).map(drop))?;
        let present: BTreeSet<String> = texts.iter().map(Text::identity).collect();
        if present != seen {
            state::set(SEEN, &present)?;
        }
        texts
            .iter()
            .filter(|text| self.is_old(text))
            .try_for_each(|text| self.delete_message(&text.index))
    }

    fn is_old(&self, text: &Text) -> bool {
        let Some(Span(age)) = self.settings.delete_after else {
            return false;
        };
        text.received()
            .is_some_and(|received| clock::wall().saturating_sub(received) > age)
    }
}

fn failed(what: &str, error: &Error) -> Result {
    warn!("the router did not do it: {}", error; what = what);
    publish(&format!("failed/{what}"), error.to_string())
}

//! The address of a broker elsewhere and the transport to it: the keys of `broker` that the embedded broker does not have.

use std::net::{IpAddr, SocketAddr};

use super::key::Key;
use super::quotes;
use super::section::Section;
use super::value::ConfigValue;
use super::{Connection, Transport};

/// The keys, as far as they are written.
pub(super) struct Address<'a> {
    /// Name or address of the broker; present for a broker elsewhere.
    pub host: Option<ConfigValue<'a>>,
    port: Option<ConfigValue<'a>>,
    transport: Option<ConfigValue<'a>>,
    path: Option<ConfigValue<'a>>,
    bind_address: Option<ConfigValue<'a>>,
    bind_port: Option<ConfigValue<'a>>,
}

/// A text that is not a part of an address.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddressError {
    /// The address of a listener.
    #[error(
        "expected an address and a port such as 127.0.0.1:1883, 0.0.0.0:1883 or \"[::]:1883\", found {0:?}"
    )]
    Listen(String),
    /// A host name with a typographic quote in it.
    #[error("{0:?} has {quote} in it; write the name alone", quote = quotes::describe(*.1))]
    Quote(String, char),
    /// A host name.
    #[error(
        "expected a host name, found {0:?}; write the name alone (localhost) and the rest as port, transport and path"
    )]
    Host(String),
    /// A local address.
    #[error("expected the IP address to connect from, found {0:?}")]
    Bind(String),
    /// The path of a WebSocket request.
    #[error("expected a path such as /mqtt, found {0:?}")]
    Path(String),
}

/// A transport by its two properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TransportKind {
    tls: bool,
    websocket: bool,
}

const TRANSPORTS: [(&str, TransportKind); 4] = [
    ("tcp", transport_kind(false, false)),
    ("tls", transport_kind(true, false)),
    ("ws", transport_kind(false, true)),
    ("wss", transport_kind(true, true)),
];

const fn transport_kind(tls: bool, websocket: bool) -> TransportKind {
    TransportKind { tls, websocket }
}

impl<'a> Address<'a> {
    /// Takes the keys from `broker`.
    pub(super) fn take(section: &mut Section<'a>) -> Self {
        Self {
            host: section.take("host"),
            port: section.take("port"),
            transport: section.take("transport"),
            path: section.take("path"),
            bind_address: section
                .take("bind_address")
                .filter(|value| value.text() != Some("")),
            bind_port: section
                .take("bind_port")
                .filter(|value| value.integer() != Some(0)),
        }
    }

    /// All keys that are written, but `host`.
    pub(super) fn present(&self) -> impl Iterator<Item = &ConfigValue<'a>> {
        [
            &self.port,
            &self.transport,
            &self.path,
            &self.bind_address,
            &self.bind_port,
        ]
        .into_iter()
        .flatten()
    }

    /// Sets the fields of `connection`; `has_tls` says whether the file has a `tls` section.
    pub(super) fn apply(&self, has_tls: bool, connection: &mut Connection) {
        if let Some(host) = self.host.as_ref().and_then(|value| value.parse(parse_host)) {
            connection.host = host;
        }

        connection.transport = self.read_transport(has_tls);
        connection.port = match &self.port {
            Some(value) => value.number(1..=u16::MAX).unwrap_or(1883),
            None => default_port(&connection.transport),
        };
        connection.bind_address = self
            .bind_address
            .as_ref()
            .and_then(|value| value.parse(parse_bind_address));

        if let Some(value) = &self.bind_port
            && value.number(1..=u16::MAX).is_some()
        {
            value.warning(
                "is ignored: the system chooses the local port, which lets the host reconnect at once",
            );
        }
    }

    fn read_transport(&self, has_tls: bool) -> Transport {
        let written = self.transport.as_ref().and_then(|value| {
            let kind = value.word(&TRANSPORTS)?;
            if has_tls && !kind.tls {
                let instead = if kind.websocket { "wss" } else { "tls" };
                value.error(format!(
                    "is without TLS, but there is a tls section; write {instead}, or leave tls out"
                ));
            }

            Some(kind)
        });

        let kind = written.unwrap_or(transport_kind(has_tls, false));

        if let Some(path) = &self.path
            && !kind.websocket
        {
            path.error("is for transport: ws and transport: wss only");
        }
        match (kind.tls, kind.websocket) {
            (false, false) => Transport::Tcp,
            (true, false) => Transport::Tls,
            (false, true) => Transport::WebSocket(self.read_request_path()),
            (true, true) => Transport::SecureWebSocket(self.read_request_path()),
        }
    }

    fn read_request_path(&self) -> String {
        let written = self
            .path
            .as_ref()
            .and_then(|value| value.parse(parse_request_path));
        written.unwrap_or_else(|| "/mqtt".to_owned())
    }
}

/// The keys for the reference.
pub(super) fn keys() -> Vec<Key> {
    vec![
        Key::new(
            "host",
            "Name or IP address of a broker elsewhere. Without it the host runs the embedded broker.",
            "host name or IP address",
        )
        .example("localhost"),
        Key::new("port", "The port of the broker.", "number, 1 to 65535")
            .default("1883; 8883 with `tls`, 80 with `ws`, 443 with `wss`")
            .example("1883"),
        Key::new(
            "transport",
            "The transport of the connection: TCP (`tcp`), TLS over TCP (`tls`), WebSocket (`ws`), or WebSocket over TLS (`wss`).",
            "`tcp`, `tls`, `ws`, `wss`",
        )
        .default("`tls` with a `tls` section, or else `tcp`")
        .example("wss"),
        Key::new(
            "path",
            "The path of the WebSocket request; for `ws` and `wss` only.",
            "path that begins with /",
        )
        .default("`/mqtt`")
        .example("/mqtt"),
        Key::new(
            "bind_address",
            "The local address to connect from.",
            "IP address",
        )
        .example("0.0.0.0"),
        Key::new(
            "bind_port",
            "Accepted for MIQRO's sake and ignored: the system chooses the local port.",
            "number, 0 to 65535",
        )
        .example("0"),
    ]
}

fn default_port(transport: &Transport) -> u16 {
    match transport {
        Transport::Tcp => 1883,
        Transport::Tls => 8883,
        Transport::WebSocket(_) => 80,
        Transport::SecureWebSocket(_) => 443,
    }
}

/// Parses the address that the embedded broker listens on.
pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, AddressError> {
    text.parse()
        .map_err(|_| AddressError::Listen(text.to_owned()))
}

/// Parses the name or the IP address of a broker. An address of IPv6 may be in brackets.
pub(super) fn parse_host(text: &str) -> Result<String, AddressError> {
    if let Some(quote) = quotes::find(text) {
        return Err(AddressError::Quote(text.to_owned(), quote));
    }

    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let is_name = !bare.is_empty() && !bare.contains(is_no_part_of_names);
    if is_name || bare.parse::<IpAddr>().is_ok() {
        Ok(bare.to_owned())
    } else {
        Err(AddressError::Host(text.to_owned()))
    }
}

/// Whether `c` is a delimiter of URLs, or invisible.
fn is_no_part_of_names(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '/' | ':' | '@' | '?' | '#')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn parse_bind_address(text: &str) -> Result<IpAddr, AddressError> {
    text.parse()
        .map_err(|_| AddressError::Bind(text.to_owned()))
}

fn parse_request_path(text: &str) -> Result<String, AddressError> {
    let is_path = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if is_path {
        Ok(text.to_owned())
    } else {
        Err(AddressError::Path(text.to_owned()))
    }
}

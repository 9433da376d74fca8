//! Pure: where a broker is and what carries the bytes. In: the keys of `broker` that only a broker elsewhere has. Out: the
//! fields of `Connection` that they set. Owns nothing.

use std::net::{IpAddr, SocketAddr};

use super::given::Given;
use super::quotes;
use super::section::Section;
use super::{Connection, Transport};

/// The keys, as far as they are given.
pub(super) struct Address<'a> {
    /// Name or address of the broker; present for a broker elsewhere.
    pub host: Option<Given<'a>>,
    port: Option<Given<'a>>,
    transport: Option<Given<'a>>,
    path: Option<Given<'a>>,
    bind_address: Option<Given<'a>>,
    bind_port: Option<Given<'a>>,
}

impl<'a> Address<'a> {
    /// Takes the keys from `broker`.
    pub fn take(section: &mut Section<'a>) -> Self {
        Self {
            host: section.take("host"),
            port: section.take("port"),
            transport: section.take("transport"),
            path: section.take("path"),
            bind_address: section
                .take("bind_address")
                .filter(|given| given.text() != Some("")),
            bind_port: section
                .take("bind_port")
                .filter(|given| given.int() != Some(0)),
        }
    }

    /// All given keys but `host`.
    pub fn all(&self) -> impl Iterator<Item = &Given<'a>> {
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

    /// Sets the fields of `connection`; `tls` says whether the file has a `tls` section.
    pub fn apply(&self, tls: bool, connection: &mut Connection) {
        if let Some(host) = self.host.as_ref().and_then(|given| given.read(host)) {
            connection.host = host;
        }
        connection.transport = self.transport(tls);
        connection.port = match &self.port {
            Some(given) => given.number(1..=u16::MAX).unwrap_or(1883),
            None => default_port(&connection.transport),
        };
        connection.bind_address = self
            .bind_address
            .as_ref()
            .and_then(|given| given.read(bind_address));
        if let Some(given) = self
            .bind_port
            .as_ref()
            .filter(|given| given.number(1..=u16::MAX).is_some())
        {
            given.warning("is ignored: the system chooses the local port, which lets the host reconnect at once");
        }
    }

    fn transport(&self, tls: bool) -> Transport {
        let word = self.transport.as_ref().and_then(|given| {
            let secure = given.word(&[
                ("tcp", (false, false)),
                ("tls", (true, false)),
                ("ws", (false, true)),
                ("wss", (true, true)),
            ])?;
            if tls && !secure.0 {
                let instead = if secure.1 { "wss" } else { "tls" };
                given.problem(format!(
                    "is without TLS, but there is a tls section; write {instead}, or leave tls out"
                ));
            }
            Some(secure)
        });
        let (secure, web) = word.unwrap_or((tls, false));
        if let Some(path) = self.path.as_ref().filter(|_| !web) {
            path.problem("is for transport: ws and transport: wss only");
        }
        match (secure, web) {
            (false, false) => Transport::Tcp,
            (true, false) => Transport::Tls,
            (false, true) => Transport::WebSocket(self.request_path()),
            (true, true) => Transport::SecureWebSocket(self.request_path()),
        }
    }

    fn request_path(&self) -> String {
        let path = self
            .path
            .as_ref()
            .and_then(|given| given.read(request_path));
        path.unwrap_or_else(|| "/mqtt".to_owned())
    }
}

/// The address that the embedded broker listens on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let hint =
        "write an address and a port, for example 127.0.0.1:1883, 0.0.0.0:1883 or \"[::]:1883\"";
    text.parse()
        .map_err(|_| format!("{text:?} is no address to listen on; {hint}"))
}

fn default_port(transport: &Transport) -> u16 {
    match transport {
        Transport::Tcp => 1883,
        Transport::Tls => 8883,
        Transport::WebSocket(_) => 80,
        Transport::SecureWebSocket(_) => 443,
    }
}

/// The name or address of a broker.
pub(super) fn host(text: &str) -> Result<String, String> {
    if let Some(quote) = quotes::within(text) {
        return Err(format!(
            "{text:?} has {} in it; write the name alone",
            quotes::named(quote)
        ));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let invisible = |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    let wrong = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '/' | ':' | '@' | '?' | '#')
            || invisible(c)
    };
    if bare.parse::<IpAddr>().is_ok() || !(bare.is_empty() || bare.contains(wrong)) {
        return Ok(bare.to_owned());
    }
    Err(format!(
        "{text:?} is no host name; write the name alone (localhost) and the rest as port, transport and path"
    ))
}

fn bind_address(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no IP address; write the local address to connect from"))
}

fn request_path(text: &str) -> Result<String, String> {
    let fine = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if fine {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no path; write for example /mqtt"))
    }
}

//! Pure: what a service may reach. In: the section `grants`. Out: `Grants`; which imports of a component need which of them. Owns
//! nothing.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::given::Given;
use super::place::Place;
use super::quotes;
use super::section::Section;
use super::yaml;
use crate::topic::Filter;

/// What a service may reach outside its base topic. Nothing by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Filters of topics that it may publish to.
    pub publish: Vec<Filter>,
    /// Filters that it may subscribe to.
    pub subscribe: Vec<Filter>,
    /// Directories that it sees.
    pub directories: Vec<Directory>,
    /// Hosts that it may send HTTP requests to.
    pub http: Vec<HttpGrant>,
    /// Where it may connect and send to.
    pub sockets: Vec<SocketGrant>,
    /// Environment variables that it sees.
    pub environment: Vec<String>,
}

/// A directory of this machine that a service sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// Under which path the guest sees it.
    pub guest: String,
    /// Whether the guest may change what is in it.
    pub write: bool,
}

/// A host that a service may send HTTP requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// Name or address, in lower case.
    pub host: String,
    /// The only port; `None`: every one.
    pub port: Option<u16>,
}

/// Where a service may connect to, or send datagrams to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketGrant {
    /// Over what.
    pub protocol: SocketProtocol,
    /// Name or address, in lower case.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for SocketProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Tcp { "tcp" } else { "udp" })
    }
}

impl std::fmt::Display for SocketGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            protocol,
            host,
            port,
        } = self;
        if host.contains(':') {
            write!(f, "{protocol}:[{host}]:{port}")
        } else {
            write!(f, "{protocol}:{host}:{port}")
        }
    }
}

/// What a component may want to be granted: the import that lets it use that, the key below `grants`, and an example of its value.
pub const NEEDS: [(&str, &str, &str); 6] = [
    ("miqro:service/messaging", "publish", "[some/topic]"),
    ("miqro:service/messaging", "subscribe", "['some/#']"),
    (
        "wasi:filesystem",
        "directories",
        "[{path: /srv/data, guest: /data}]",
    ),
    ("wasi:http", "http", "[host.example]"),
    ("wasi:sockets", "sockets", "['tcp:host.example:502']"),
    ("wasi:cli/environment", "environment", "[NAME]"),
];

impl Grants {
    /// Whether there is anything below `key`.
    pub fn has(&self, key: &str) -> bool {
        match key {
            "publish" => !self.publish.is_empty(),
            "subscribe" => !self.subscribe.is_empty(),
            "directories" => !self.directories.is_empty(),
            "http" => !self.http.is_empty(),
            "sockets" => !self.sockets.is_empty(),
            "environment" => !self.environment.is_empty(),
            _ => false,
        }
    }
}

impl HttpGrant {
    /// Whether it is for this host and port.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port.is_none_or(|own| own == port)
    }
}

impl std::fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            None => f.write_str(&self.host),
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
        }
    }
}

/// Reads the section; relative paths start from the directory of the file.
pub(super) fn grants(mut section: Section<'_>, place: &Place) -> Grants {
    let mut filters = |key| section.take(key).map_or_else(Vec::new, granted);
    let (publish, subscribe) = (filters("publish"), filters("subscribe"));
    let list =
        |given: Option<Given<'_>>, wanted: &str, read: &dyn Fn(Given<'_>) -> Option<Directory>| {
            given.map_or_else(Vec::new, |given| {
                given.list(wanted).into_iter().filter_map(read).collect()
            })
        };
    let directories = list(
        section.take("directories"),
        "[/proc, {path: /srv/data, guest: /data, write: true}]",
        &|given| directory(given, place),
    );
    let http = section.take("http").map_or_else(Vec::new, |given| {
        let items = given.list("[weather.example, '192.168.1.1:8080']");
        items
            .into_iter()
            .filter_map(|given| given.read(http))
            .collect()
    });
    let sockets = section.take("sockets").map_or_else(Vec::new, |given| {
        let items = given.list("['tcp:192.168.1.5:502', 'udp:ntp.example:123']");
        items
            .into_iter()
            .filter_map(|given| given.read(socket))
            .collect()
    });
    let environment = section.take("environment").map_or_else(Vec::new, |given| {
        given
            .list("[TZ, LANG]")
            .into_iter()
            .filter_map(|given| given.text().map(str::to_owned))
            .collect()
    });
    section.finish();
    Grants {
        publish,
        subscribe,
        directories,
        http,
        sockets,
        environment,
    }
}

fn granted(given: Given<'_>) -> Vec<Filter> {
    let filter = |given: Given<'_>| given.read(plain_filter);
    given
        .list("[home/lamp/set, alarm/#]")
        .into_iter()
        .filter_map(filter)
        .collect()
}

fn plain_filter(text: &str) -> Result<Filter, String> {
    let filter = Filter::new(text).map_err(|error| error.to_string())?;
    if filter.pattern() != filter.as_str() {
        return Err(format!(
            "{text:?} is a shared subscription; a grant is a filter alone and covers shared ones too"
        ));
    }
    Ok(filter)
}

/// A path that the guest sees under the same name, or a section that says more.
fn directory(given: Given<'_>, place: &Place) -> Option<Directory> {
    if !matches!(given.node.value, yaml::Value::Map(_)) {
        let text = given.text()?;
        return Some(Directory {
            path: place.path(text),
            guest: text.to_owned(),
            write: false,
        });
    }
    let mut section = given.section();
    let path = section.take("path");
    if path.is_none() {
        section.problem("has no path");
    }
    let guest = section.take("guest");
    let write = section
        .take("write")
        .map_or(Some(false), |given| given.flag());
    section.finish();
    let path = path?.text()?;
    let guest = guest.map_or(Some(path), |given| given.text())?;
    Some(Directory {
        path: place.path(path),
        guest: guest.to_owned(),
        write: write?,
    })
}

/// A host, or host and port; an IPv6 address in brackets where a port follows.
fn http(text: &str) -> Result<HttpGrant, String> {
    let wrong = || {
        format!(
            "{text:?} is no host; write for example weather.example, 192.168.1.1:8080 or '[::1]:80'"
        )
    };
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(HttpGrant {
            host: text.to_ascii_lowercase(),
            port: None,
        });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    if host.is_empty() || host.contains(['/', ' ', '@', '*']) || quotes::within(&host).is_some() {
        return Err(wrong());
    }
    Ok(HttpGrant { host, port })
}

/// Protocol, host and port; an IPv6 address in brackets.
fn socket(text: &str) -> Result<SocketGrant, String> {
    let wrong = || {
        format!("{text:?} is no socket; write for example tcp:192.168.1.5:502 or 'udp:[::1]:53'")
    };
    let (protocol, place) = text.split_once(':').ok_or_else(wrong)?;
    let protocol = match protocol {
        "tcp" => SocketProtocol::Tcp,
        "udp" => SocketProtocol::Udp,
        _ => return Err(wrong()),
    };
    match http(place) {
        Ok(HttpGrant {
            host,
            port: Some(port),
        }) if port > 0 => Ok(SocketGrant {
            protocol,
            host,
            port,
        }),
        _ => Err(wrong()),
    }
}

/// The grants as the file would have them.
pub(super) fn show(grants: &Grants) -> Value {
    let filters = |filters: &[Filter]| {
        filters
            .iter()
            .map(|f| f.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let directories: Vec<Value> = grants.directories.iter().map(show_directory).collect();
    let http: Vec<String> = grants.http.iter().map(ToString::to_string).collect();
    let sockets: Vec<String> = grants.sockets.iter().map(ToString::to_string).collect();
    json!({
        "publish": filters(&grants.publish), "subscribe": filters(&grants.subscribe), "directories": directories,
        "http": http, "sockets": sockets, "environment": grants.environment,
    })
}

fn show_directory(directory: &Directory) -> Value {
    let path = std::path::absolute(&directory.path).unwrap_or_else(|_| directory.path.clone());
    json!({"path": path.display().to_string(), "guest": directory.guest, "write": directory.write})
}

//! The section `grants` of a service: how it is read and rendered.

use serde_json::{Value, json};

use super::grant::{Directory, Grants, HttpGrant, SocketGrant, SocketProtocol};
use super::key::Key;
use super::quotes;
use super::section::Section;
use super::value::ConfigValue;
use super::yaml;
use crate::topic::{Filter, TopicError};

/// A text that does not grant anything.
#[derive(Debug, thiserror::Error)]
enum GrantError {
    /// A host for HTTP requests.
    #[error("expected a host such as weather.example, 192.168.1.1:8080 or '[::1]:80', found {0:?}")]
    Host(String),
    /// A socket.
    #[error("expected a socket such as tcp:192.168.1.5:502 or 'udp:[::1]:53', found {0:?}")]
    Socket(String),
    /// The filter of a shared subscription.
    #[error("{0:?} is a shared subscription; a grant is a filter alone and covers shared ones too")]
    SharedSubscription(String),
    /// A filter.
    #[error(transparent)]
    Filter(#[from] TopicError),
}

/// Reads the section; relative paths start from the directory of the file.
pub(super) fn read_grants(mut section: Section<'_>) -> Grants {
    let grants = Grants {
        publish: read_list(&mut section, "publish", FILTERS, |value| {
            value.parse(parse_filter)
        }),
        subscribe: read_list(&mut section, "subscribe", FILTERS, |value| {
            value.parse(parse_filter)
        }),
        directories: read_list(&mut section, "directories", DIRECTORIES, read_directory),
        http: read_list(&mut section, "http", HOSTS, |value| value.parse(parse_http)),
        sockets: read_list(&mut section, "sockets", SOCKETS, |value| {
            value.parse(parse_socket)
        }),
        environment: read_list(&mut section, "environment", VARIABLES, |value| {
            value.text().map(str::to_owned)
        }),
    };

    section.finish();
    grants
}

const FILTERS: &str = "[home/lamp/set, alarm/#]";
const DIRECTORIES: &str = "[/proc, {path: /srv/data, guest: /data, write: true}]";
const HOSTS: &str = "[weather.example, '192.168.1.1:8080']";
const SOCKETS: &str = "['tcp:192.168.1.5:502', 'udp:ntp.example:123']";
const VARIABLES: &str = "[TZ, LANG]";

fn read_list<T>(
    section: &mut Section<'_>,
    key: &'static str,
    example: &str,
    read: impl Fn(ConfigValue<'_>) -> Option<T>,
) -> Vec<T> {
    let items = section
        .take(key)
        .map_or_else(Vec::new, |value| value.into_list(example));
    items.into_iter().filter_map(read).collect()
}

fn parse_filter(text: &str) -> Result<Filter, GrantError> {
    let filter = Filter::new(text)?;
    if filter.pattern() == filter.as_str() {
        Ok(filter)
    } else {
        Err(GrantError::SharedSubscription(text.to_owned()))
    }
}

/// Reads a path that the guest sees under the same name, or a section that says more.
fn read_directory(value: ConfigValue<'_>) -> Option<Directory> {
    if !matches!(value.node.value, yaml::Value::Map(_)) {
        return Some(Directory {
            path: value.path()?,
            guest: value.text()?.to_owned(),
            write: false,
        });
    }

    let mut section = value.into_section();
    let path = section.take_required("path");
    let guest = section.take("guest");
    let write = section
        .take("write")
        .map_or(Some(false), |value| value.flag());
    section.finish();

    let path = path?;
    Some(Directory {
        path: path.path()?,
        guest: guest.unwrap_or(path).text()?.to_owned(),
        write: write?,
    })
}

/// Parses a host, or a host and a port; an address of IPv6 is in brackets where a port follows.
fn parse_http(text: &str) -> Result<HttpGrant, GrantError> {
    let error = || GrantError::Host(text.to_owned());
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(HttpGrant {
            host: text.to_ascii_lowercase(),
            port: None,
        });
    }

    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| error())?)),
        None => (text, None),
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();

    if host.is_empty() || host.contains(['/', ' ', '@', '*']) || quotes::find(&host).is_some() {
        return Err(error());
    }
    Ok(HttpGrant { host, port })
}

/// Parses a protocol, a host and a port; an address of IPv6 is in brackets.
fn parse_socket(text: &str) -> Result<SocketGrant, GrantError> {
    let error = || GrantError::Socket(text.to_owned());
    let (protocol, address) = text.split_once(':').ok_or_else(error)?;
    let protocol = match protocol {
        "tcp" => SocketProtocol::Tcp,
        "udp" => SocketProtocol::Udp,
        _ => return Err(error()),
    };

    match parse_http(address) {
        Ok(HttpGrant {
            host,
            port: Some(port),
        }) if port > 0 => Ok(SocketGrant {
            protocol,
            host,
            port,
        }),
        _ => Err(error()),
    }
}

/// The grants as the file would have them.
pub(super) fn render(grants: &Grants) -> Value {
    let filters =
        |filters: &[Filter]| -> Vec<Value> { filters.iter().map(|f| f.as_str().into()).collect() };
    let directories: Vec<Value> = grants.directories.iter().map(render_directory).collect();
    let http: Vec<String> = grants.http.iter().map(ToString::to_string).collect();
    let sockets: Vec<String> = grants.sockets.iter().map(ToString::to_string).collect();

    json!({
        "publish": filters(&grants.publish),
        "subscribe": filters(&grants.subscribe),
        "directories": directories,
        "http": http,
        "sockets": sockets,
        "environment": grants.environment,
    })
}

fn render_directory(directory: &Directory) -> Value {
    let path = std::path::absolute(&directory.path).unwrap_or_else(|_| directory.path.clone());
    json!({"path": path.display().to_string(), "guest": directory.guest, "write": directory.write})
}

/// The keys for the reference.
pub(super) fn keys() -> Vec<Key> {
    vec![
        Key::new(
            "publish",
            "Filters of the topics that the service may publish to, besides those below its `data_topic`.",
            "list of topic filters",
        )
        .example("[home/lamp/set]"),
        Key::new(
            "subscribe",
            "Filters that the service may subscribe to, besides those below its `data_topic`.",
            "list of topic filters",
        )
        .example("['home/#']"),
        Key::new(
            "directories",
            "Directories that the service sees. An item is a path, or a section.",
            "list of paths and sections",
        )
        .example(DIRECTORIES)
        .keys(directory_keys()),
        Key::new(
            "http",
            "Hosts that the service may send HTTP requests to: on every port, or on one. To reach this machine, write its name or \
             address: other names never lead to it.",
            "list of hosts, each with or without a port",
        )
        .example(HOSTS),
        Key::new(
            "sockets",
            "Addresses that the service may connect to and send datagrams to. To reach this machine, write its name or address. \
             Nobody can connect to a service.",
            "list of `tcp:HOST:PORT` and `udp:HOST:PORT`",
        )
        .example(SOCKETS),
        Key::new(
            "environment",
            "Environment variables that the service sees.",
            "list of names",
        )
        .example("[TZ]"),
    ]
}

fn directory_keys() -> Vec<Key> {
    vec![
        Key::new("path", "The path of the directory on this machine.", "path").example("/srv/data"),
        Key::new("guest", "The path under which the service sees it.", "text")
            .default("the same as `path`")
            .example("/data"),
        Key::new(
            "write",
            "Whether the service may change what is in it.",
            "`true`, `false`",
        )
        .default("`false`")
        .example("true"),
    ]
}

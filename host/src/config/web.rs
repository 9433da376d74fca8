//! The section `web`: the HTTP server for operators and metrics.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use sha2::{Digest, Sha256};

use super::address;
use super::credentials::{Secret, read_secret};
use super::format::set;
use super::key::Key;
use super::value::ConfigValue;
use super::yaml::Value;

/// The default port.
const PORT: u16 = 8180;

/// Tokens of fewer bytes can be guessed.
const SHORTEST_TOKEN: usize = 16;

const ROLES: [(&str, Role); 2] = [("read", Role::Read), ("operate", Role::Operate)];

/// The HTTP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Web {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// Whether a proxy in front of it encrypts the connections of clients.
    pub behind_proxy: bool,
    /// Further names by which clients may ask for it, without ports, in lower case.
    pub hosts: Vec<String>,
    /// The clients that may use it; empty: everybody who reaches it may read.
    pub tokens: Vec<WebToken>,
}

/// A client of the HTTP server.
#[derive(Clone, PartialEq, Eq)]
pub struct WebToken {
    /// The name in the audit log.
    pub name: String,
    /// The actions that it may take.
    pub role: Role,
    /// SHA-256 of its token.
    pub digest: [u8; 32],
}

impl fmt::Debug for WebToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.name)
    }
}

/// Actions of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads only.
    Read,
    /// Also sends commands.
    Operate,
}

impl Role {
    /// The word in the file.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Read => ROLES[0].0,
            Self::Operate => ROLES[1].0,
        }
    }
}

/// Reads the section.
pub(super) fn read_web(value: ConfigValue<'_>) -> Web {
    let mut web = Web {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
        behind_proxy: false,
        hosts: Vec::new(),
        tokens: Vec::new(),
    };

    let mut section = value.clone().into_section();

    let listen = section.take("listen");
    if let Some(listen) = &listen {
        set(listen.parse(address::parse_listen), &mut web.listen);
    }
    if let Some(proxy) = section.take("behind_proxy") {
        set(proxy.flag(), &mut web.behind_proxy);
    }
    if let Some(hosts) = section.take("hosts") {
        let hosts = hosts.into_list("[house.example.org]");
        let names = hosts
            .iter()
            .filter_map(|host| host.parse(address::parse_host));
        web.hosts = names.map(|name| name.to_ascii_lowercase()).collect();
    }

    // tokens were meant to be there, although errors may have left none
    let mut has_tokens = false;
    if let Some(tokens) = section.take("tokens") {
        has_tokens = !matches!(&tokens.node.value, Value::List(items) if items.is_empty());
        web.tokens = read_tokens(tokens);
    }
    section.finish();

    if !web.listen.ip().is_loopback() {
        let place = listen.as_ref().unwrap_or(&value);
        check_public(&web, has_tokens, place);
    } else if web.behind_proxy && !has_tokens {
        value.error("behind a proxy others can reach it: write tokens for it");
    }

    web
}

/// Reports what an address lacks that others can reach.
fn check_public(web: &Web, has_tokens: bool, place: &ConfigValue<'_>) {
    let address = web.listen;
    if !web.behind_proxy {
        place.error(format!(
            "{address} can be reached by others, and tokens would cross the network in clear text: have a proxy with TLS in front of \
             it and write behind_proxy: true, or listen on 127.0.0.1:{PORT}"
        ));
    }

    if !has_tokens {
        place.error(format!(
            "{address} can be reached by others: write tokens for it, or listen on 127.0.0.1:{PORT}"
        ));
    }
}

fn read_tokens(value: ConfigValue<'_>) -> Vec<WebToken> {
    let mut tokens: Vec<WebToken> = Vec::new();
    for item in value.into_list("[{name: anna, role: operate, token_file: anna.token}]") {
        let Some(token) = read_token(&item) else {
            continue;
        };
        let taken = tokens
            .iter()
            .find(|other| other.name == token.name || other.digest == token.digest);
        match taken {
            Some(other) => item.error(format!("has the name or the token of {:?}", other.name)),
            None => tokens.push(token),
        }
    }

    tokens
}

fn read_token(item: &ConfigValue<'_>) -> Option<WebToken> {
    let mut section = item.clone().into_section();
    let name = section.take_required("name");
    let role = section.take("role");
    let token = read_secret(&mut section, ["token", "token_file", "token_env"]);
    section.finish();

    let role = match role {
        Some(role) => role.word(&ROLES)?,
        None => Role::Read,
    };
    let name = name?.text()?.to_owned();
    match token {
        Secret::Absent => {
            item.error("has no token; write token_file, token_env or token");
            None
        }
        Secret::Invalid => None,
        Secret::Text(token, place) => {
            if token.len() < SHORTEST_TOKEN {
                place.warning(format!(
                    "can be guessed: expected {SHORTEST_TOKEN} bytes or more, found {}; `openssl rand -hex 32` makes a good one",
                    token.len()
                ));
            }

            let digest = Sha256::digest(token).into();
            Some(WebToken { name, role, digest })
        }
    }
}

/// The key of the section for the reference.
pub(super) fn key() -> Key {
    let tokens = Key::new(
        "tokens",
        "The clients that may use it, each with a token of its own. Without tokens everybody who reaches the address may read, and \
         nobody may send commands.",
        "list of sections",
    )
    .default("everybody may read")
    .example("[{name: anna, token: 0123456789abcdef0123}]")
    .keys(token_keys());
    let keys = vec![
        Key::new(
            "listen",
            "The address and the port that it listens on. An address that others can reach demands `behind_proxy` and `tokens`.",
            "IP address and port",
        )
        .default("`127.0.0.1:8180`")
        .example("127.0.0.1:8180"),
        Key::new(
            "behind_proxy",
            "Whether a proxy in front of it speaks TLS with the clients. The address of a client is then the last one in \
             `X-Forwarded-For`.",
            "`true` or `false`",
        )
        .default("`false`")
        .example("false"),
        Key::new(
            "hosts",
            "Further names by which clients may ask for it, without ports; requests with another `Host` are refused. `localhost`, the \
             loopback addresses and the address of `listen` are always accepted.",
            "list of names",
        )
        .default("none")
        .example("[house.example.org]"),
        tokens,
    ];

    Key::new(
        "web",
        "The HTTP server for operators and metrics; see [Observability](observability.md). Without this section there is none.",
        "section",
    )
    .keys(keys)
    .needs_restart(true)
}

fn token_keys() -> Vec<Key> {
    vec![
        Key::new("name", "The name in the audit log.", "text").example("anna"),
        Key::new(
            "role",
            "`read`: metrics and snapshots; `operate`: commands as well.",
            "`read` or `operate`",
        )
        .default("`read`")
        .example("operate"),
        Key::new("token", "The token. It is better kept in a file.", "text")
            .example("0123456789abcdef0123"),
        Key::new(
            "token_file",
            "A file with the token. A line end at its end does not count.",
            "path",
        )
        .example("/etc/miqro-host/anna.token"),
        Key::new(
            "token_env",
            "An environment variable with the token.",
            "name",
        )
        .example("MIQRO_TOKEN"),
    ]
}

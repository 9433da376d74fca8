//! The section `web`: the HTTP server for operators and metrics.

mod token;
mod user;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::address;
use super::format::set;
use super::key::Key;
use super::section::Section;
use super::value::ConfigValue;
use super::yaml::Value;
pub use token::WebToken;
use token::read_tokens;
pub use user::WebUser;
use user::read_users;

/// The default port.
const PORT: u16 = 8180;

const ROLES: [(&str, Role); 2] = [("read", Role::Read), ("operate", Role::Operate)];

/// The HTTP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Web {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// Its certificate and key, if it speaks TLS itself.
    pub tls: Option<WebTls>,
    /// Whether a proxy in front of it encrypts the connections of clients.
    pub behind_proxy: bool,
    /// Further names by which clients may ask for it, without ports, in lower case.
    pub hosts: Vec<String>,
    /// The clients that may use it with a token. Without these and users, everybody who reaches it may read.
    pub tokens: Vec<WebToken>,
    /// The people who may use it with a password.
    pub users: Vec<WebUser>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            tls: None,
            behind_proxy: false,
            hosts: Vec::new(),
            tokens: Vec::new(),
            users: Vec::new(),
        }
    }
}

/// Files by which the HTTP server identifies itself (PEM).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTls {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
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
    let mut web = Web::default();
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

    if let Some(tls) = section.take("tls") {
        web.tls = read_tls(tls.into_section());
    }

    // clients were meant to be there, although errors may have left none
    let mut has_clients = false;
    let is_written = |list: &ConfigValue<'_>| !matches!(&list.node.value, Value::List(items) if items.is_empty());
    if let Some(tokens) = section.take("tokens") {
        has_clients |= is_written(&tokens);
        web.tokens = read_tokens(tokens);
    }
    if let Some(users) = section.take("users") {
        has_clients |= is_written(&users);
        web.users = read_users(users);
    }
    section.finish();

    if !web.listen.ip().is_loopback() {
        let place = listen.as_ref().unwrap_or(&value);
        check_public(&web, has_clients, place);
    } else if web.behind_proxy && !has_clients {
        value.error("behind a proxy others can reach it: write users or tokens for it");
    }

    web
}

/// Reads the section `tls` in the words of the broker's section. The files are opened when the server starts, and again when they
/// change.
fn read_tls(mut section: Section<'_>) -> Option<WebTls> {
    let certfile = section.take_required("certfile");
    let keyfile = section.take("keyfile");
    section.finish();

    let certificate = certfile?.path()?;
    let key = match keyfile {
        Some(keyfile) => keyfile.path()?,
        None => certificate.clone(),
    };
    Some(WebTls { certificate, key })
}

/// Reports what an address lacks that others can reach.
fn check_public(web: &Web, has_clients: bool, place: &ConfigValue<'_>) {
    let address = web.listen;
    if !web.behind_proxy && web.tls.is_none() {
        place.error(format!(
            "{address} can be reached by others, and passwords and tokens would cross the network in clear text: write tls: \
             {{certfile: ..., keyfile: ...}}, or have a proxy with TLS in front of it and write behind_proxy: true, or listen on \
             127.0.0.1:{PORT}"
        ));
    }

    if !has_clients {
        place.error(format!(
            "{address} can be reached by others: write users or tokens for it, or listen on 127.0.0.1:{PORT}"
        ));
    }
}

/// The key of the section for the reference.
pub(super) fn key() -> Key {
    let tokens = Key::new(
        "tokens",
        "The clients that may use it, each with a token of its own. Without tokens and users everybody who reaches the address may \
         read, and nobody may send commands.",
        "list of sections",
    )
    .default("everybody may read")
    .example("[{name: anna, token: 0123456789abcdef0123}]")
    .keys(token::keys());
    let users = Key::new(
        "users",
        "The people who may log in at the page, each with a password.",
        "list of sections",
    )
    .default("none")
    .example(user::EXAMPLE)
    .keys(user::keys());
    let keys = vec![
        Key::new(
            "listen",
            "The address and the port that it listens on. An address that others can reach demands `tls` or `behind_proxy`, and `users` or `tokens`.",
            "IP address and port",
        )
        .default("`127.0.0.1:8180`")
        .example("127.0.0.1:8180"),
        tls_key(),
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
        users,
    ];

    Key::new(
        "web",
        "The HTTP server for operators and metrics; see [Observability](observability.md). Without this section there is none.",
        "section",
    )
    .keys(keys)
    .needs_restart(true)
}

fn role_key() -> Key {
    Key::new(
        "role",
        "`read`: metrics and snapshots; `operate`: commands as well.",
        "`read` or `operate`",
    )
    .default("`read`")
    .example("operate")
}

fn tls_key() -> Key {
    Key::new(
        "tls",
        "The certificate of the server: it then speaks HTTPS. The files are read again when they change.",
        "section",
    )
    .example("{certfile: web.pem}")
    .keys(vec![
        Key::new("certfile", "A file with the certificate chain (PEM).", "path")
            .example("/etc/miqro-host/web.crt"),
        Key::new("keyfile", "A file with its key (PEM).", "path")
            .default("the same as `certfile`")
            .example("/etc/miqro-host/web.key"),
    ])
}

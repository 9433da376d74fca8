//! The sections `broker`, `auth` and `tls`. Without the address of a broker elsewhere, the broker is the embedded one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{self, Address};
use super::credentials::{self, read_credentials, read_users};
use super::format::Format;
use super::key::Key;
use super::nested::NestedSection;
use super::section::Section;
use super::tls::{self, read_tls};
use super::value::ConfigValue;
use super::yaml::Value;
use super::{Broker, BrokerLimits, Connection, Credentials, EmbeddedBroker, connection};

/// The port of MQTT.
const PORT: u16 = 1883;

/// Reads the three sections.
pub(super) fn read_broker(root: &mut Section<'_>) -> Broker {
    let auth = root.take("auth");
    // an empty section stands for TLS with the system's roots
    let tls = root.take_present("tls");
    let mut section = root.take_section("broker");
    let embedded = section.take_present("embedded");
    let connection = connection::read_session(&mut section);
    let address = Address::take(&mut section);
    section.finish();

    match (&address.host, embedded) {
        (Some(_), None) => read_remote(connection, &address, auth, tls),
        (host, embedded) => {
            if let (Some(host), Some(_)) = (host, &embedded) {
                host.error("write either host (a broker elsewhere) or embedded (the broker inside this host)");
            }
            refuse_remote_keys(&address, auth.as_ref(), tls.as_ref(), embedded.is_some());
            read_embedded(connection, embedded)
        }
    }
}

fn read_remote(
    mut connection: Connection,
    address: &Address<'_>,
    auth: Option<ConfigValue<'_>>,
    tls: Option<ConfigValue<'_>>,
) -> Broker {
    address.apply(tls.is_some(), &mut connection);
    if let Some(value) = tls {
        connection.tls = read_tls(value.into_section());
    }
    connection.credentials = auth.and_then(read_auth);
    Broker::Remote(connection)
}

fn read_auth(value: ConfigValue<'_>) -> Option<Credentials> {
    let mut section = value.into_section();
    let credentials = read_credentials(&mut section, &credentials::MIQRO);
    section.finish();
    credentials
}

/// Reports keys that mean nothing to the embedded broker: somebody who writes `auth` or `tls` counts on it.
fn refuse_remote_keys(
    address: &Address<'_>,
    auth: Option<&ConfigValue<'_>>,
    tls: Option<&ConfigValue<'_>>,
    has_embedded: bool,
) {
    let conflict = if has_embedded {
        "is for a broker elsewhere, and broker.embedded is the broker inside this host"
    } else {
        "is for a broker elsewhere, and broker.host is missing"
    };

    for value in address.present() {
        value.error(conflict);
    }
    if let Some(auth) = auth {
        auth.error(format!(
            "{conflict}; users of the embedded broker: broker.embedded.users"
        ));
    }
    if let Some(tls) = tls {
        tls.error(format!("{conflict}; the embedded broker speaks no TLS"));
    }
}

fn read_embedded(mut connection: Connection, embedded: Option<ConfigValue<'_>>) -> Broker {
    let mut broker = EmbeddedBroker {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
        listen_is_default: true,
        data_dir: None,
        users: Vec::new(),
        limits: BrokerLimits::default(),
    };

    if let Some(value) = embedded {
        read_embedded_section(value.into_section(), &mut broker);
    }

    connection.host = reachable_address(broker.listen.ip()).to_string();
    connection.port = broker.listen.port();
    // the first user is the host's own, so that `pub` and `sub` in another process can log in as well
    connection.credentials = broker.users.first().cloned();
    Broker::Embedded(broker, connection)
}

fn read_embedded_section(mut section: Section<'_>, broker: &mut EmbeddedBroker) {
    let listen = section.take("listen");
    broker.data_dir = section.take("data_dir").and_then(|value| value.path());
    if let Some(value) = section.take("limits") {
        NestedSection.read(value, &mut broker.limits);
    }

    // users were meant to be there, although errors may have left none
    let mut has_users = false;
    if let Some(value) = section.take("users") {
        has_users = !matches!(&value.node.value, Value::List(items) if items.is_empty());
        broker.users = read_users(value);
    }
    section.finish();

    let Some(value) = listen else { return };
    if let Some(address) = value.parse(address::parse_listen) {
        broker.listen = address;
        broker.listen_is_default = false;
        if !address.ip().is_loopback() && !has_users {
            value.error(format!(
                "{address} can be reached by others: write users for it, or listen on 127.0.0.1:1883"
            ));
        }
    }
}

/// The address at which a client on this machine finds a listener on `ip`.
fn reachable_address(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// The keys of the three sections for the reference.
pub(super) fn keys() -> Vec<Key> {
    let mut keys = address::keys();
    keys.push(embedded_key());
    keys.extend(connection::keys());

    vec![
        Key::new(
            "broker",
            "The broker, and how the host connects to it. `host`, `port`, `transport`, `path` and `bind_address` are for a broker \
             elsewhere, `embedded` is for the broker inside the host; all other keys are for both.",
            "section",
        )
        .keys(keys),
        Key::new(
            "auth",
            "User name and password at a broker elsewhere. Each is written here, or comes from a file or an environment variable, \
             which keeps it out of the configuration.",
            "section",
        )
        .keys(credentials::keys()),
        Key::new(
            "tls",
            "TLS to a broker elsewhere. The section alone, even an empty one, switches it on.",
            "section",
        )
        .keys(tls::keys()),
    ]
}

fn embedded_key() -> Key {
    let limits = Key::new(
        "limits",
        "The load that clients may put on it. The defaults are for a machine with 512 MB.",
        "section",
    );
    let keys = vec![
        Key::new(
            "listen",
            "The address and the port that it listens on. An address that others can reach demands `users`.",
            "IP address and port",
        )
        .default("`127.0.0.1:1883`, or the next free port")
        .example("127.0.0.1:1883")
        .needs_restart(true),
        Key::new(
            "data_dir",
            "A directory for sessions and retained messages.",
            "path",
        )
        .default("in memory only")
        .example("/var/lib/miqro-host")
        .needs_restart(true),
        Key::new(
            "users",
            "The users that may connect. The host itself logs in as the first one.",
            "list of sections",
        )
        .default("everybody may connect")
        .example("[{username: anna, password: secret}]")
        .needs_restart(true)
        .keys(credentials::keys()),
        limits
            .needs_restart(true)
            .keys(<BrokerLimits as super::settings::Settings>::keys()),
    ];

    Key::new(
        "embedded",
        "The broker inside the host, in place of `host`.",
        "section",
    )
    .keys(keys)
}

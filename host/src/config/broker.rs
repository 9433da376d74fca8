//! Pure: the sections `broker`, `auth` and `tls`. In: the top of the file. Out: `Broker`. Owns nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{self, Address};
use super::credentials::{MIQRO, credentials, users};
use super::format::{Format, Nested};
use super::given::Given;
use super::place::Place;
use super::section::Section;
use super::tls::tls;
use super::yaml::Value;
use super::{Broker, BrokerLimits, Connection, Credentials, EmbeddedBroker, Tls, connection};

/// The port of MQTT.
const PORT: u16 = 1883;

/// Reads the three sections. Without a broker elsewhere it is the embedded one.
pub(super) fn broker(root: &mut Section<'_>, place: &Place) -> Broker {
    let auth = root.take("auth");
    let tls_given = root.take_present("tls");
    let mut section = root.section("broker");
    let embedded = section.take_present("embedded");
    let connection = connection::connection(&mut section);
    let address = Address::take(&mut section);
    section.finish();
    match (&address.host, embedded) {
        (Some(_), None) => remote(connection, address, auth, tls_given, place),
        (host, embedded) => {
            if let (Some(host), Some(_)) = (host, &embedded) {
                host.problem("write either host (a broker elsewhere) or embedded (the broker inside this host)");
            }
            only_remote(&address, &auth, &tls_given, embedded.is_some());
            embed(connection, embedded, place)
        }
    }
}

fn remote(
    mut connection: Connection,
    address: Address<'_>,
    auth: Option<Given<'_>>,
    tls_given: Option<Given<'_>>,
    place: &Place,
) -> Broker {
    address.apply(tls_given.is_some(), &mut connection);
    connection.tls = tls_given.map_or_else(Tls::default, |given| tls(given.section(), place));
    connection.credentials = auth.and_then(|given| login(given, place));
    Broker::Remote(connection)
}

fn login(given: Given<'_>, place: &Place) -> Option<Credentials> {
    let mut section = given.section();
    let credentials = credentials(&mut section, MIQRO, place);
    section.finish();
    credentials
}

/// Keys that mean nothing to the embedded broker are refused: somebody who writes `auth` or `tls` counts on it.
fn only_remote(
    address: &Address<'_>,
    auth: &Option<Given<'_>>,
    tls: &Option<Given<'_>>,
    embedded: bool,
) {
    let instead = if embedded {
        "and broker.embedded is the broker inside this host"
    } else {
        "and broker.host is missing"
    };
    for given in address.all() {
        given.problem(format!("is for a broker elsewhere, {instead}"));
    }
    if let Some(auth) = auth {
        auth.problem(format!(
            "is for a broker elsewhere, {instead}; users of the embedded broker: broker.embedded.users"
        ));
    }
    if let Some(tls) = tls {
        tls.problem(format!(
            "is for a broker elsewhere, {instead}; the embedded broker speaks no TLS"
        ));
    }
}

fn embed(mut connection: Connection, embedded: Option<Given<'_>>, place: &Place) -> Broker {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let (users_given, limits) = (Vec::new(), BrokerLimits::default());
    let mut broker = EmbeddedBroker {
        listen: default,
        listen_is_default: true,
        data_dir: None,
        users: users_given,
        limits,
    };
    if let Some(given) = embedded {
        let mut section = given.section();
        let listen = section.take("listen");
        broker.data_dir = section
            .take("data_dir")
            .and_then(|given| Some(place.path(given.text()?)));
        if let Some(given) = section.take("limits") {
            Nested.read(given, &mut broker.limits);
        }
        let mut users_wrong = false;
        if let Some(given) = section.take("users") {
            users_wrong = !matches!(&given.node.value, Value::List(items) if items.is_empty());
            broker.users = users(given, place);
        }
        section.finish();
        if let Some((given, address)) =
            listen.and_then(|given| Some((given.clone(), given.read(address::listen)?)))
        {
            (broker.listen, broker.listen_is_default) = (address, false);
            if !address.ip().is_loopback() && broker.users.is_empty() && !users_wrong {
                given.problem(format!(
                    "{address} can be reached by others: write users for it, or listen on 127.0.0.1:1883"
                ));
            }
        }
    }
    connection.host = reachable(broker.listen.ip()).to_string();
    connection.port = broker.listen.port();
    // the first user is the host's own, so that `pub` and `sub` in another process can log in as well
    connection.credentials = broker.users.first().cloned();
    Broker::Embedded(broker, connection)
}

/// Where a client on this machine finds a listener on `ip`.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

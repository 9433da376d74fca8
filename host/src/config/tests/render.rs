//! The effective configuration: it shows no secret, and loads again to the same.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::option;
use proptest::prelude::*;

use super::typed;
use super::yaml::any_section;
use super::{load, quiet};
use crate::config::{
    Availability, Broker, BrokerLimits, CallLimits, Config, Connection, Credentials, Delivery,
    Directory, EmbeddedBroker, Grants, GuestConfig, HostSettings, HttpGrant, Level, Limits,
    LogFormat, Logging, MailboxLimits, MemoryLimits, OutboxLimits, Protocol, RateLimits,
    RetryLimits, Selection, Service, ServiceTimer, SessionSettings, SocketGrant, SocketProtocol,
    Swap, Tls, TotalLimits, Transport, Triggers, WaitRange, WhenClientFull, WhenFailing, WhenFull,
};
use crate::message::{Qos, Subscription};
use crate::offline::{OfflinePolicy, OfflineRule, Overflow};
use crate::signature::Key;
use crate::topic::{BaseTopic, Filter, Topic};

#[test]
fn no_secret_is_shown() {
    let yaml = quiet("broker: {host: b}\nauth: {username: anna, password: geheim}").to_yaml();
    assert!(
        yaml.contains("password: '***'") && yaml.contains("anna") && !yaml.contains("geheim"),
        "{yaml}"
    );
    let yaml = quiet("broker: {embedded: {users: [{username: anna, password: geheim}]}}").to_yaml();
    assert!(
        yaml.contains("password: '***'") && !yaml.contains("geheim"),
        "{yaml}"
    );
}

#[test]
fn defaults_load_again() {
    for text in [
        "",
        "broker: {host: b}\ntls:\n",
        "services: {echo: {component: a.wasm, subscriptions: [x]}}",
    ] {
        let config = quiet(text);
        assert_eq!(
            load(&config.to_yaml()).config,
            config,
            "{}",
            config.to_yaml()
        );
    }

    let yaml = quiet("").to_yaml();
    assert!(
        yaml.contains("# the embedded broker listens on 127.0.0.1:1883 or on the next free port"),
        "{yaml}"
    );
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_. ~yn<>&*!|%@`-]{1,12}".prop_filter("refused", |word| word != "<<")
}

fn path() -> impl Strategy<Value = PathBuf> {
    "[a-z0-9_ :#'é-]{1,12}".prop_map(|name| Path::new("/somewhere").join(name))
}

fn credentials() -> impl Strategy<Value = Credentials> {
    word().prop_map(|username| Credentials {
        username,
        password: Some("***".to_owned()),
    })
}

fn transport() -> impl Strategy<Value = (Transport, Tls)> {
    let tls = (
        option::of(path()),
        option::of((path(), path())),
        any::<bool>(),
        option::of(word()),
    );

    let tls = tls.prop_map(
        |(ca_certs, client_certificate, insecure, server_name)| Tls {
            ca_certs,
            client_certificate,
            insecure,
            server_name,
        },
    );

    let tls = tls.boxed();
    let request = "/[a-z?=&{}]{0,8}";
    prop_oneof![
        Just((Transport::Tcp, Tls::default())),
        tls.clone().prop_map(|tls| (Transport::Tls, tls)),
        request.prop_map(|path| (Transport::WebSocket(path), Tls::default())),
        (request, tls).prop_map(|(path, tls)| (Transport::SecureWebSocket(path), tls)),
    ]
}

prop_compose! {
    fn session()(
        (protocol, client_id, keepalive) in (any::<bool>(), word(), any::<u16>()),
        (session_expiry, clean_start) in (prop_oneof![0..3_000_000_000u32, Just(u32::MAX)], any::<bool>()),
        (receive_maximum, max_packet_size) in (1..=u16::MAX, 256..=268_435_460u32),
        (connect_timeout, a, b) in (millis(1..3_600_000), millis(1..1_000_000), millis(1..1_000_000)),
        (messages, bytes) in (1..1_000_000usize, 1024..1_000_000_000usize),
    ) -> Connection {
        let session = SessionSettings {
            protocol: if protocol { Protocol::V5 } else { Protocol::V311 },
            keepalive: Duration::from_secs(keepalive.into()),
            session_expiry: Duration::from_secs(session_expiry.into()),
            clean_start,
            receive_maximum,
            max_packet_size,
            connect_timeout,
            reconnect: WaitRange { min: a.min(b), max: a.max(b) },
            delivery_timeout: connect_timeout,
            outbox: OutboxLimits { messages, bytes },
        };

        Connection { client_id, session, ..Connection::default() }
    }
}

fn remote() -> impl Strategy<Value = Broker> {
    let host = prop_oneof!["[a-z0-9][a-z0-9.-]{0,12}", Just("::1".to_owned())];
    let address = (
        host,
        1..=u16::MAX,
        transport(),
        option::of(any::<IpAddr>()),
        option::of(credentials()),
    );

    (session(), address).prop_map(
        |(session, (host, port, (transport, tls), bind_address, credentials))| {
            Broker::Remote(Connection {
                host,
                port,
                transport,
                tls,
                bind_address,
                credentials,
                ..session
            })
        },
    )
}

prop_compose! {
    fn broker_limits()(
        connections in 1..1_000_000_usize, pending in 1..1_000_000_usize, connect_timeout in millis(1..3_600_000),
        sessions in 1..1_000_000_usize, subscriptions in 1..1_000_000_usize, disconnect in any::<bool>(),
        messages in 1..1_000_000_usize, bytes in 1024..1_000_000_usize,
    ) -> BrokerLimits {
        let when_full = if disconnect { WhenClientFull::Disconnect } else { WhenClientFull::Drop };
        let waiting = OutboxLimits { messages, bytes };
        let queue = OutboxLimits { messages: pending, bytes };
        let retained = OutboxLimits { messages, bytes: bytes + 1 };
        BrokerLimits { connections, pending, connect_timeout, sessions, subscriptions, waiting, when_full, queue, retained }
    }
}

fn embedded() -> impl Strategy<Value = Broker> {
    let listen = option::of((any::<bool>(), any::<u16>()));
    let users = prop::collection::hash_set(word(), 0..3);
    (
        session(),
        listen,
        option::of(path()),
        users,
        broker_limits(),
    )
        .prop_map(|(session, listen, data_dir, users, limits)| {
            let user = |username| Credentials {
                username,
                password: Some("***".to_owned()),
            };
            let users: Vec<Credentials> = users.into_iter().map(user).collect();
            let (v6, port) = listen.unwrap_or((false, 1883));
            let ip = if v6 { "::1" } else { "127.0.0.1" };
            let address = SocketAddr::new(ip.parse().unwrap(), port);
            let credentials = users.first().cloned();
            let broker = EmbeddedBroker {
                listen: address,
                listen_is_default: listen.is_none(),
                data_dir,
                users,
                limits,
            };

            Broker::Embedded(
                broker,
                Connection {
                    host: ip.to_owned(),
                    port,
                    credentials,
                    ..session
                },
            )
        })
}

prop_compose! {
    fn limits()(
        (memory, call, mailbox) in (65_536..10_000_000_000usize, millis(1..86_400_000), 1..1_000_000usize),
        when_full in prop::sample::select(vec![WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Hold]),
        (when_failing, restarts, window, dead_letters) in
            (prop::sample::select(vec![WhenFailing::InOrder, WhenFailing::OutOfOrder]), any::<u32>(), 1_u64..100_000, 0_usize..1_000_000),
        (attempts, a, b) in (1..=u32::MAX, millis(1..1_000_000), millis(1..1_000_000)),
        (publishes, payload) in (0..1_000_000usize, 1..268_435_455usize),
        (subscriptions, timers, state) in (2..1_000_000usize, 0..1_000_000usize, 0..1_000_000usize),
        (table, instances, mailbox_bytes, spool) in
            (0..1_000_000usize, 1..1_000usize, 1..10_000_000_000usize, 1..10_000_000_000usize),
        (publish_bytes, changes, log_lines) in (0..10_000_000_000usize, 0..1_000_000usize, 0..1_000_000usize),
        (publish_rate, log_rate, change_rate) in (1..1_000_000_000u64, 1..1_000_000_000u64, 1..1_000_000_000u64),
        (payload_rate, state_rate, state_keys) in (1..1_000_000_000_000u64, 1..1_000_000_000_000u64, 0..1_000_000usize),
    ) -> Limits {
        Limits {
            memory: MemoryLimits { bytes: memory, table_elements: table, instances },
            call: CallLimits { time: call, publishes, publish_bytes, payload, changes, log_lines },
            mailbox: MailboxLimits { messages: mailbox, bytes: mailbox_bytes, when_full, spool },
            retry: RetryLimits {
                attempts,
                when_failing,
                backoff: WaitRange { min: a.min(b), max: a.max(b) },
                restarts,
                restart_window: Duration::from_secs(window),
                dead_letters,
            },
            total: TotalLimits { subscriptions, timers, state, state_keys },
            rates: RateLimits {
                publishes: publish_rate,
                payload: payload_rate,
                log_lines: log_rate,
                state: state_rate,
                changes: change_rate,
            },
        }
    }
}

prop_compose! {
    fn swap()(
        (probation, messages, faults) in (millis(0..1_000_000), any::<u64>(), any::<u32>()),
        (versions, saved, shadow) in (0..=100usize, 0..1_000_000_000usize, millis(0..1_000_000)),
        automatic in any::<bool>(),
    ) -> Swap {
        Swap { automatic, probation, messages, faults, versions, saved, shadow }
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    "(\\$share/g/)?[a-z+]/[a-z #'-]{1,5}x(/#)?"
        .prop_filter_map("no filter", |text| Filter::new(&text).ok())
}

fn rule() -> impl Strategy<Value = Arc<OfflineRule>> {
    let overflow = prop::sample::select(vec![Overflow::DropOldest, Overflow::DropNewest]);
    let queue = (1..1_000_000usize, overflow, any::<bool>(), any::<bool>());
    let queue = queue.prop_map(|(limit, overflow, qos0, duplicates)| OfflinePolicy::Queue {
        limit,
        overflow,
        qos0,
        duplicates,
    });

    let policy = prop_oneof![
        Just(OfflinePolicy::Drop),
        Just(OfflinePolicy::KeepLast),
        queue
    ];
    (filter(), policy, any::<bool>()).prop_map(|(filter, policy, persist)| {
        Arc::new(OfflineRule {
            filter,
            policy,
            persist,
        })
    })
}

fn directory() -> impl Strategy<Value = Directory> {
    (path(), word(), any::<bool>()).prop_map(|(path, guest, write)| Directory {
        path,
        guest,
        write,
    })
}

fn http() -> impl Strategy<Value = HttpGrant> {
    let host = prop_oneof![
        "[a-z][a-z0-9.-]{0,12}",
        any::<IpAddr>().prop_map(|ip| ip.to_string())
    ];
    (host, option::of(any::<u16>())).prop_map(|(host, port)| HttpGrant { host, port })
}

fn socket() -> impl Strategy<Value = SocketGrant> {
    let host = prop_oneof![
        "[a-z][a-z0-9.-]{0,12}",
        any::<IpAddr>().prop_map(|ip| ip.to_string())
    ];
    (any::<bool>(), host, 1..=u16::MAX).prop_map(|(tcp, host, port)| SocketGrant {
        protocol: if tcp {
            SocketProtocol::Tcp
        } else {
            SocketProtocol::Udp
        },
        host,
        port,
    })
}

fn availability() -> impl Strategy<Value = Availability> {
    (word(), word(), word()).prop_map(|(topic, online, offline)| Availability {
        topic: Topic::new(topic).unwrap(),
        online,
        offline,
    })
}

fn triggers() -> impl Strategy<Value = Triggers> {
    let subscriptions = prop::collection::hash_map(filter(), 0..=2u8, 0..2);
    (subscriptions, timers()).prop_map(|(subscriptions, timers)| Triggers {
        subscriptions: subscriptions.into_iter().map(subscription).collect(),
        timers,
    })
}

fn timers() -> impl Strategy<Value = Vec<ServiceTimer>> {
    let periods = prop::collection::btree_map("[a-z]{1,9}", 1..u64::from(u32::MAX), 0..3);
    periods.prop_map(|periods| {
        let timers = periods.into_iter().map(|(name, period)| ServiceTimer {
            name,
            period: Duration::from_millis(period),
        });
        timers.collect()
    })
}

fn service(name: String) -> impl Strategy<Value = Service> {
    let grants = prop::collection::vec("[a-z+]/[a-z]{1,5}(/#)?", 0..3);
    let outage = (
        prop::collection::vec(rule(), 0..3),
        prop::collection::vec(availability(), 0..2),
        option::of(path()),
        prop::collection::vec(directory(), 0..2),
        prop::collection::vec(http(), 0..3),
        swap(),
        prop::collection::vec(socket(), 0..3),
        any::<bool>(),
        typed::any_typed(),
    );

    let parts = (
        option::of(path()),
        word(),
        triggers(),
        limits(),
        grants,
        option::of(level()),
        any_section(),
        outage,
    );

    parts.prop_map(
        move |(component, base, triggers, limits, grants, log_level, config, outage)| Service {
            name: name.clone(),
            component,
            base: BaseTopic::new(&base).unwrap(),
            triggers,
            limits,
            grants: Grants {
                publish: grants.iter().map(|f| Filter::new(f).unwrap()).collect(),
                subscribe: Vec::new(),
                directories: outage.3,
                http: outage.4,
                sockets: outage.6,
                environment: grants.clone(),
            },
            log_level,
            config: GuestConfig {
                json: config,
                secrets: Vec::new(),
            },
            delivery: Delivery {
                offline: outage.0,
                republish_retained: outage.7,
                dead_letter: BaseTopic::new(&base).unwrap().topic("lost").ok(),
                availability: outage.1,
            },
            import_state: outage.2,
            swap: outage.5,
            typed: outage.8,
        },
    )
}

fn subscription((filter, qos): (Filter, u8)) -> Subscription {
    Subscription {
        filter,
        qos: Qos::try_from(qos).unwrap(),
    }
}

fn level() -> impl Strategy<Value = Level> {
    prop::sample::select(vec![
        Level::Trace,
        Level::Debug,
        Level::Info,
        Level::Warning,
        Level::Error,
    ])
}

/// The second is the first with another number.
const KEYS: [&str; 2] = [
    "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
    "RWQg6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
];

prop_compose! {
    fn config()(
        broker in prop_oneof![remote(), embedded()],
        (level, json, stop_deadline) in (level(), any::<bool>(), millis(0..3_600_000)),
        (cache_dir, presence_connections) in (option::of(path()), 0..10_000usize),
        (prefix, state_file) in (word(), option::of(path())),
        (online_interval, statistics_interval) in (millis(0..3_600_000), millis(0..3_600_000)),
        (watch_interval, compile_timeout) in (millis(0..3_600_000), millis(1_000..3_600_000)),
        trust in prop::collection::vec(prop::sample::select(KEYS.map(|key| Key::read(key).unwrap()).to_vec()), 0..2),
        services in prop::collection::hash_set(word(), 0..3)
            .prop_flat_map(|names| names.into_iter().map(service).collect::<Vec<_>>()),
    ) -> Config {
        let format = if json { LogFormat::Json } else { LogFormat::Text };
        let ha_discovery_prefix = Topic::new(prefix).unwrap();
        let log = Logging { level, format };
        let file = Some(PathBuf::from("/somewhere/miqro.yml"));
        let host = HostSettings {
            stop_deadline,
            presence_connections,
            online_interval,
            statistics_interval,
            watch_interval,
            compile_timeout,
        };

        Config { file, broker, log, host, cache_dir, trust, state_file, web: None, mqtt_control: None, traces: None, ha_discovery_prefix, services }
    }
}

proptest! {
    #[test]
    fn rendered_configuration_loads_to_the_same_values(config in config()) {
        let yaml = config.to_yaml();
        let loaded = Config::read(&yaml, config.file.as_deref(), Selection::All);
        let loaded = loaded.map_err(|error| TestCaseError::fail(format!("{error}\n{yaml}")))?;
        prop_assert_eq!(&loaded.config, &config, "{}", yaml);
    }
}

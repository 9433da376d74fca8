//! Bounds of the resources that clients of the embedded broker can use: each is reached by sockets
//! that speak just enough MQTT, and the broker continues to serve others.
#![cfg(feature = "embedded-broker")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::time::Duration;

use miqro_host::broker::{self, BrokerHandle, Owner};
use miqro_host::config::{BrokerLimits, EmbeddedBroker, OutboxLimits, WhenClientFull};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn started(change: impl FnOnce(&mut BrokerLimits)) -> BrokerHandle {
    let mut limits = BrokerLimits::default();
    change(&mut limits);
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = EmbeddedBroker {
        listen,
        listen_is_default: false,
        data_dir: None,
        users: Vec::new(),
        limits,
    };

    let owner = Owner {
        client_id: "owner",
        credentials: None,
        largest_packet: 0,
    };
    broker::start(&config, Some(owner)).await.unwrap()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let byte = (length % 128) as u8;
        length /= 128;
        packet.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }

    packet.extend_from_slice(body);
    packet
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// A client that speaks MQTT 5, byte by byte.
struct Raw(TcpStream);

impl Raw {
    async fn open(broker: SocketAddr) -> Self {
        Self(TcpStream::connect(broker).await.unwrap())
    }

    /// Connects; `expiry`: of its session. Gives back the reason in the CONNACK.
    async fn connect(&mut self, id: &str, expiry: u32) -> u8 {
        self.connect_with(if expiry > 0 { 0 } else { 2 }, expiry, &text(id))
            .await
    }

    async fn connect_with(&mut self, flags: u8, expiry: u32, payload: &[u8]) -> u8 {
        let properties = [&[0x11][..], &expiry.to_be_bytes()].concat();
        let head = [&text("MQTT")[..], &[5, flags, 0, 60, 5]].concat();
        self.send(0x10, &[&head[..], &properties, payload].concat())
            .await;
        self.receive().await.expect("CONNACK")[3]
    }

    async fn connected(broker: SocketAddr, id: &str) -> Self {
        let mut raw = Self::open(broker).await;
        assert_eq!(raw.connect(id, 0).await, 0);
        raw
    }

    async fn send(&mut self, first: u8, body: &[u8]) {
        self.0.write_all(&packet(first, body)).await.unwrap();
    }

    /// Publishes with QoS 1 and gives back the reason in the PUBACK.
    async fn publish(&mut self, retain: bool, topic: &str, payload: &[u8]) -> u8 {
        let first = if retain { 0x33 } else { 0x32 };
        self.send(first, &[&text(topic)[..], &[0, 1, 0], payload].concat())
            .await;
        let ack = self.receive().await.expect("PUBACK");
        assert_eq!(ack[0], 0x40, "{ack:?}");
        ack.get(4).copied().unwrap_or(0)
    }

    /// Subscribes and gives back the reason in the SUBACK.
    async fn subscribe(&mut self, filter: &str, qos: u8) -> u8 {
        self.send(0x82, &[&[0, 9, 0][..], &text(filter), &[qos]].concat())
            .await;
        *self.receive().await.expect("SUBACK").last().unwrap()
    }

    /// The next packet; `None`: the connection has ended.
    async fn receive(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, async {
            let mut packet = vec![self.0.read_u8().await.ok()?];
            let mut length = 0;
            let mut shift = 0;
            loop {
                let byte = self.0.read_u8().await.ok()?;
                packet.push(byte);
                length |= usize::from(byte & 0x7F) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }

            let head = packet.len();
            packet.resize(head + length, 0);
            self.0.read_exact(&mut packet[head..]).await.ok()?;
            Some(packet)
        })
        .await
        .expect("a packet or the end")
    }
}

/// A client can connect, and hears itself.
async fn serves(broker: SocketAddr) {
    let mut client = Raw::connected(broker, "serves").await;
    assert_eq!(client.subscribe("serves", 0).await, 0);
    client
        .send(0x30, &[&text("serves")[..], &[0], b"yes"].concat())
        .await;
    assert!(client.receive().await.unwrap().ends_with(b"yes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_no_connect_are_bounded_in_number_and_time() {
    let broker = started(|limits| {
        limits.pending = 3;
        limits.connect_timeout = Duration::from_millis(500);
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(Raw::open(broker.address()).await);
    }
    // the oldest makes room for one more, and who speaks is served
    serves(broker.address()).await;
    for mut raw in silent {
        assert_eq!(raw.receive().await, None);
    }
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x10, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0; 100],
    ] {
        let mut raw = Raw::open(broker.address()).await;
        raw.0.write_all(bytes).await.unwrap();
        assert_eq!(raw.receive().await, None, "{bytes:?}");
    }

    serves(broker.address()).await;
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_so() {
    // a hundred more may come from this machine
    let broker = started(|limits| limits.connections = 5).await;
    let mut clients = Vec::new();
    for number in 0..105 {
        clients.push(Raw::connected(broker.address(), &format!("c{number}")).await);
    }
    let mut raw = Raw::open(broker.address()).await;
    assert_eq!(raw.connect("too-many", 0).await, 0x97);
    assert_eq!(raw.receive().await, None);
    drop(clients.pop());
    // as soon as the broker has noticed
    timeout(PATIENCE, async {
        while Raw::open(broker.address()).await.connect("again", 0).await != 0 {}
    })
    .await
    .unwrap();
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_subscriptions_are_bounded() {
    let broker = started(|limits| (limits.sessions, limits.subscriptions) = (2, 3)).await;
    for id in ["a", "b"] {
        assert_eq!(Raw::open(broker.address()).await.connect(id, 300).await, 0);
    }
    assert_eq!(
        Raw::open(broker.address()).await.connect("c", 300).await,
        0x97
    );
    // those that are there come back, and who wants no session needs no place
    let mut client = Raw::open(broker.address()).await;
    assert_eq!(client.connect("a", 300).await, 0);
    let mut fleeting = Raw::connected(broker.address(), "d").await;
    for filter in ["1", "2", "3"] {
        assert_eq!(fleeting.subscribe(filter, 1).await, 1);
    }
    // the crate asks whether it may, so this is "not authorized"
    assert_eq!(fleeting.subscribe("4", 1).await, 0x87);
    assert_eq!(fleeting.subscribe("3", 1).await, 1);
    // the host itself has the subscriptions of all its services
    let mut owner = Raw::connected(broker.address(), "owner").await;
    for filter in ["1", "2", "3", "4", "5"] {
        assert_eq!(owner.subscribe(filter, 1).await, 1);
    }
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_are_bounded_in_number_and_bytes() {
    let broker = started(|limits| {
        limits.retained = OutboxLimits {
            messages: 3,
            bytes: 100,
        }
    })
    .await;
    let mut client = Raw::connected(broker.address(), "keeper").await;
    for topic in ["1", "2", "3"] {
        assert_eq!(client.publish(true, topic, &[b'x'; 20]).await, 0);
    }
    assert_eq!(client.publish(true, "4", b"x").await, 0x97, "one too many");
    assert_eq!(
        client.publish(true, "3", &[b'y'; 41]).await,
        0x97,
        "too many bytes"
    );
    assert_eq!(client.publish(true, "3", &[b'y'; 40]).await, 0);
    assert_eq!(
        client.publish(false, "4", &[b'z'; 1000]).await & 0x80,
        0,
        "not retained"
    );
    // a cleared message makes room
    assert_eq!(client.publish(true, "1", b"").await & 0x80, 0);
    assert_eq!(client.publish(true, "4", &[b'x'; 20]).await, 0);
    broker.stop().await.unwrap();
}

/// Messages of QoS 0 that a client finds which has not read while many were published, and how many there were.
async fn what_is_found(limits: OutboxLimits, bytes: usize) -> (usize, usize) {
    const COUNT: usize = 2_000;
    let broker = started(|all| all.waiting = limits).await;
    let mut sleeper = Raw::connected(broker.address(), "sleeper").await;
    assert_eq!(sleeper.subscribe("flood", 0).await, 0);
    let mut client = Raw::connected(broker.address(), "flooder").await;
    for _ in 0..COUNT {
        client
            .send(
                0x30,
                &[&text("flood")[..], &[0], &vec![b'x'; bytes]].concat(),
            )
            .await;
    }

    // answered when all before it is routed
    assert_eq!(client.publish(false, "elsewhere", b"").await & 0x80, 0);
    let mut found = 0;
    loop {
        let message = sleeper.receive().await.unwrap();
        if message.ends_with(b"end") {
            break;
        }
        found += 1;
        // as soon as there is room again
        if found == 50 {
            client
                .send(0x30, &[&text("flood")[..], &[0], b"end"].concat())
                .await;
        }
    }

    serves(broker.address()).await;
    broker.stop().await.unwrap();
    (found, COUNT)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_readers_queue_is_bounded_and_delivered() {
    let (found, count) = what_is_found(
        OutboxLimits {
            messages: 100_000,
            bytes: 1 << 20,
        },
        20_000,
    )
    .await;
    // 40 MB were sent; sockets hold some themselves
    assert!(found * 20_000 < 16 << 20, "{found} messages");
    assert!(found * 20_000 > 1 << 20, "{found} messages");
    assert!(found < count);
    let (found, count) = what_is_found(
        OutboxLimits {
            messages: 100_000,
            bytes: 64 << 20,
        },
        20_000,
    )
    .await;
    assert_eq!(found, count, "within the bounds nothing is dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_client_is_disconnected_with_its_session_kept() {
    let broker = started(|limits| {
        limits.queue = OutboxLimits {
            messages: 10,
            bytes: 1 << 20,
        }
    })
    .await;
    let mut watcher = Raw::connected(broker.address(), "watcher").await;
    assert_eq!(watcher.subscribe("gone", 0).await, 0);
    let mut sleeper = Raw::open(broker.address()).await;
    let with_will = [&text("sleeper")[..], &[0], &text("gone"), &text("x")].concat();
    assert_eq!(sleeper.connect_with(0x04, 300, &with_will).await, 0);
    assert_eq!(sleeper.subscribe("owed", 1).await, 1);
    let mut client = Raw::connected(broker.address(), "sender").await;
    for _ in 0..300 {
        assert_eq!(
            client.publish(false, "owed", &[b'x'; 100_000]).await & 0x80,
            0
        );
    }

    assert!(watcher.receive().await.unwrap().ends_with(b"x"), "its will");
    let mut received = 0;
    while sleeper.receive().await.is_some() {
        received += 1;
    }
    assert!(received < 300, "{received}");
    let mut again = Raw::open(broker.address()).await;
    assert_eq!(again.connect("sleeper", 300).await, 0);
    assert_eq!(again.receive().await.unwrap()[0] & 0xF0, 0x30);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_acknowledges_nothing_loses_its_oldest_messages() {
    let broker = started(|limits| {
        limits.queue = OutboxLimits {
            messages: 50,
            bytes: 1 << 20,
        };
        limits.when_full = WhenClientFull::Drop;
    })
    .await;
    let mut client = Raw::connected(broker.address(), "silent").await;
    assert_eq!(client.subscribe("owed", 1).await, 1);
    let mut sender = Raw::connected(broker.address(), "sender").await;
    for number in 0..200_u8 {
        // larger than the limit outside of the queue
        assert_eq!(
            sender
                .publish(false, "owed", &[&[number][..], &[b'x'; 5_000]].concat())
                .await
                & 0x80,
            0
        );
    }

    let mut numbers = Vec::new();
    while numbers.len() < 64 {
        let message = client.receive().await.unwrap();
        numbers.push((
            u16::from_be_bytes([message[9], message[10]]),
            message[message.len() - 5_001],
        ));
    }

    assert_eq!(numbers.last().unwrap().1, 63);
    // and now it acknowledges: the last messages come
    for (id, _) in &numbers {
        client.send(0x40, &id.to_be_bytes()).await;
    }
    let next = client.receive().await.unwrap();
    assert_eq!(next[next.len() - 5_001], 150, "50 of 200 are kept");
    broker.stop().await.unwrap();
}

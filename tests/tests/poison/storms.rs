//! A broker that is in trouble, or refuses, gets no storm of attempts from a host with many
//! services, and the log gets no storm of lines.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use miqro_tests::host::Setup;
use miqro_tests::mosquitto;
use miqro_tests::shim::Shim;
use miqro_tests::{Client, Deadline, Host, Mosquitto, Wire};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SERVICES: usize = 20;
/// How many attempts of the main connection are timed.
const ATTEMPTS: usize = 10;

fn with_services(setup: Setup, count: usize) -> Setup {
    let setup = setup.broker("client_id", json!("storm"));
    (0..count).fold(setup, |setup, number| {
        setup.service(&format!("s{number:02}"), "echo", json!({}))
    })
}

/// Takes the next connection.
async fn accepted(listener: &TcpListener) -> Result<TcpStream> {
    let (stream, _) = Deadline::new()
        .wait("a connection", listener.accept())
        .await??;
    Ok(stream)
}

/// Reads CONNECT to its end, without its fixed header.
async fn connect_packet(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let kind = stream.read_u8().await?;
    ensure!(kind == 0x10, "expected CONNECT, found {kind:#x}");
    let mut length = 0;
    for shift in (0..28).step_by(7) {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }

    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

/// Whether CONNECT has the client identifier of a presence connection.
fn is_presence(packet: &[u8]) -> bool {
    packet.windows(6).any(|part| part == b"storm-")
}

/// Lines of the host about its connection.
fn lines_about_connections(host: &Host) -> usize {
    host.output()
        .lines()
        .iter()
        .filter(|line| line.contains("connect"))
        .count()
}

#[tokio::test]
async fn a_broker_that_accepts_and_closes_gets_the_attempts_of_one_connection() -> Result<()> {
    // presence connections come only while the main one stands, which is as long as this task is held up here
    let accepting = (&[0x20, 3, 0, 0, 0][..], 4 * ATTEMPTS, 12);
    for (connack, max_others, max_lines) in [accepting, (&[], 0, 6)] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = with_services(Host::plain(listener.local_addr()?.port()), SERVICES).spawn()?;
        let mut first = None;
        let (mut attempts, mut others) = (0, 0);
        while attempts < ATTEMPTS {
            let mut stream = accepted(&listener).await?;
            match connect_packet(&mut stream).await {
                Ok(packet) if !is_presence(&packet) => {
                    first.get_or_insert_with(Instant::now);
                    attempts += 1;
                    stream.write_all(connack).await?;
                }
                _ => others += 1,
            }
        }

        // of one connection alone: 0.1, 0.2, 0.4, 0.5, 0.5 .. s at least; 20 would be here at once
        let took = first.map(|first| first.elapsed()).unwrap_or_default();
        ensure!(
            took > Duration::from_millis(2_000),
            "ten attempts took {took:?}"
        );
        ensure!(
            others <= max_others,
            "expected at most {max_others} other connections, found {others}"
        );
        let lines = lines_about_connections(&host);
        ensure!(
            lines <= max_lines,
            "{}",
            host.output()
                .told(&format!("{lines} lines about connections"))
        );
    }

    Ok(())
}

#[tokio::test]
async fn permanent_refusals_wait_longer_and_are_logged_once() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let host = with_services(Host::plain(listener.local_addr()?.port()), SERVICES).spawn()?;
    let mut first = None;
    for _ in 0..2 {
        let mut stream = accepted(&listener).await?;
        connect_packet(&mut stream).await?;
        first.get_or_insert_with(Instant::now);
        stream.write_all(&[0x20, 3, 0, 0x87, 0]).await?;
    }
    let took = first.map(|first| first.elapsed()).unwrap_or_default();
    ensure!(
        took > Duration::from_millis(2_400),
        "the second attempt came after {took:?}"
    );
    host.output().says(0, "not authorized").await?;
    ensure!(
        host.output().count("not authorized") == 1,
        "{}",
        host.output().told("said more than once")
    );
    // and it is found when it heals
    let mut stream = accepted(&listener).await?;
    connect_packet(&mut stream).await?;
    stream.write_all(&[0x20, 3, 0, 0, 0]).await?;
    host.output().says(0, "connected to").await?;
    ensure!(
        host.output().count("after 2 failures") == 1,
        "{}",
        host.output().told("the end is not said")
    );
    Ok(())
}

#[tokio::test]
async fn each_service_says_once_a_connection_that_it_is_online() -> Result<()> {
    const COUNT: usize = 5;
    let broker = Mosquitto::start().await?;
    let wire = Wire::to(broker.port()).await?;
    let mut watcher = Client::connect(broker.port()).await?;
    watcher.subscribe("service/+/online", 1).await?;
    let host = with_services(Host::on(wire.port()), COUNT).spawn()?;
    let mut said = 0;
    let mut last = String::new();
    for round in 0..8 {
        // in the middle of connecting again, too
        loop {
            let message = watcher.next().await?;
            if message.payload == "1" {
                last = message.topic;
                break;
            }
        }

        said += 1;
        if round < 7 {
            wire.cut();
        }
    }

    // after the last cut all of them come
    let mut missing: Vec<String> = (0..COUNT)
        .map(|number| format!("service/s{number:02}/online"))
        .collect();
    missing.retain(|topic| *topic != last);
    while !missing.is_empty() {
        let message = watcher.next().await?;
        said += usize::from(message.payload == "1");
        missing.retain(|topic| message.payload != "1" || *topic != message.topic);
    }
    said += watcher
        .pending()
        .await?
        .iter()
        .filter(|message| message.payload == "1")
        .count();

    let connections = broker.output().count("as storm");
    ensure!(
        said <= connections,
        "{}",
        host.output()
            .told(&format!("{said} times with {connections} connections"))
    );

    Ok(())
}

#[tokio::test]
async fn the_main_connection_comes_first_after_ten_broker_restarts() -> Result<()> {
    let lines = vec!["max_connections 5".to_owned()];
    let mut broker = Mosquitto::with(&mosquitto::Setup {
        lines,
        ..mosquitto::Setup::default()
    })
    .await?;
    let host = with_services(Host::on(broker.port()), 9).spawn()?;
    let without = host
        .output()
        .says(0, "no presence connection of their own")
        .await?;
    ensure!(
        without
            .split(';')
            .next()
            .unwrap_or_default()
            .matches("s0")
            .count()
            == 4,
        "four have none: {without}"
    );

    for round in 0..10 {
        let line = host.output().lines().len();
        broker.kill()?;
        // until then a presence connection may be attempted, as the main one seems to stand
        host.output().says(line, "lost").await?;
        broker.restart().await?;
        let first = broker.output().says(0, "New client connected").await?;
        ensure!(
            first.contains(" as storm ("),
            "in round {round} another one was first: {first}"
        );
        for number in 1..5 {
            broker
                .output()
                .wait_for(&format!("{number} presence connections"), |_| {
                    broker.output().count(" as storm-") >= number
                })
                .await?;
        }
    }

    Ok(())
}

/// Names are never found, and each look-up leaves a byte in the file that the variable SHIM names.
const NEVER: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int file = open(getenv("SHIM"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || write(file, "x", 1) != 1) abort();
    for (;;) pause();
}
"#;

#[tokio::test]
async fn a_name_server_that_hangs_holds_one_thread_and_not_the_end() -> Result<()> {
    let shim = Shim::compile(NEVER).await?;
    let asked = shim.file("asked");
    let setup = with_services(Host::plain(1883), SERVICES).top("log_level", json!("DEBUG"));
    let setup = setup
        .broker("host", json!("broker.invalid"))
        .broker("connect_timeout", json!("100ms"));
    let mut host = setup
        .top("stop_deadline", json!("2s"))
        .through(&shim.launcher(&asked))
        .spawn()?;
    for failures in 1..6 {
        host.output()
            .wait_for("attempts", |_| {
                host.output().count("no answer within") >= failures
            })
            .await?;
    }

    ensure!(
        std::fs::read(&asked)?.len() == 1,
        "{}",
        host.output().told("more than one look-up")
    );
    let begun = Instant::now();
    ensure!(
        host.stop().await?.success(),
        "{}",
        host.output().told("it did not end well")
    );
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "the end took {:?}",
        begun.elapsed()
    );
    Ok(())
}

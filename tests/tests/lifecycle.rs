//! Lifecycle: the end of a host, and services whose guest fails, loops, eats memory or cannot keep
//! up, while their neighbours continue.

use std::time::{Duration, Instant};

use anyhow::Result;
use miqro_tests::host::Setup;
use miqro_tests::{Client, Host, Message, Mosquitto, Tally, Version, mosquitto};
use serde_json::{Value, json};

#[tokio::test]
async fn a_stop_under_load_handles_what_was_taken_and_says_goodbye() -> Result<()> {
    for (version, signal) in [(Version::V5, "TERM"), (Version::V311, "INT")] {
        let broker = Mosquitto::start().await?;
        let mut host = named(&broker)
            .version(version)
            .service("relay", "relay", json!({}))
            .start()
            .await?;
        let mut tally =
            Tally::start(broker.port(), "service/relay/in", "service/relay/out").await?;
        let load = tally.load(1_000).await?;
        for _ in 0..3 {
            tally.further(300).await?;
            let line = broker.output().lines().len();
            host.process().signal(signal)?;
            let status = host.ended().await?;
            assert_eq!(status.code(), Some(0), "{}", host.output().told(signal));
            broker
                .output()
                .says(line, "Client host-under-test disconnected.")
                .await?;
            host.restart()?;
            // answers of the former host may still be on their way to us, and a host that has just begun dies of a signal
            host.online().await?;
        }

        tally.further(300).await?;
        // handled messages were acknowledged, and the others are handled by the next host: everything exactly once
        let sent = load.stop().await?;
        tally.each_once(sent).await?;
    }

    Ok(())
}

/// A message that is given up goes to the dead-letter topic, with its facts and the reason; a service that listens there does not get its own.
#[tokio::test]
async fn a_message_that_is_given_up_becomes_a_dead_letter() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let limits = json!({ "attempts": 2, "backoff": { "min": "1ms", "max": "1ms" } });
        let section = json!({ "limits": limits, "subscriptions": ["#"] });
        let host = named(&broker)
            .version(version)
            .service("bad", "contract-faulty", section)
            .start()
            .await?;
        let mut client = host.client().await?;
        client.subscribe("service/bad/dead-letter", 1).await?;
        client.publish("service/bad/work", "fail").await?;
        let letter = client.next().await?;
        let said = |name: &str| -> Result<String> {
            if version == Version::V311 {
                return Ok(letter.json()?[name].as_str().unwrap_or_default().to_owned());
            }
            let found = letter
                .properties
                .user_properties
                .iter()
                .find(|(key, _)| key == name);
            Ok(found.map(|(_, value)| value.clone()).unwrap_or_default())
        };

        assert_eq!(
            (said("topic")?.as_str(), said("attempts")?.as_str()),
            ("service/bad/work", "2")
        );
        assert!(said("reason")?.contains("told to fail"), "{letter:?}");
        assert_eq!(said("component")?.len(), 64);
        let payload = if version == Version::V311 {
            said("payload")?
        } else {
            letter.text()
        };
        assert_eq!(payload, "fail");
        // it was given up once: the next message is handled, and there is no second letter
        client.publish("service/bad/work", "fail").await?;
        assert_eq!(client.next().await?.topic, "service/bad/dead-letter");
        assert_eq!(client.pending().await?, []);
    }

    Ok(())
}

/// A host with a client id that the tests know.
fn named(broker: &Mosquitto) -> Setup {
    Host::on(broker.port()).broker("client_id", json!("host-under-test"))
}

/// A broker that logs every packet.
fn packets() -> mosquitto::Setup {
    mosquitto::Setup {
        lines: vec!["log_type debug".into()],
        ..mosquitto::Setup::default()
    }
}

/// Tells the guest `contract-timers` to be busy.
async fn busy(client: &mut Client, milliseconds: u32) -> Result<()> {
    client
        .publish(
            "service/slow/command",
            json!({ "busy": milliseconds }).to_string(),
        )
        .await
}

/// A host with the guest `contract-timers` as `slow`, whose calls may last a minute.
fn slow(broker: &Mosquitto) -> Setup {
    named(broker).service(
        "slow",
        "contract-timers",
        json!({ "limits": { "call": "60s" } }),
    )
}

#[tokio::test]
async fn a_stop_waits_for_what_was_taken() -> Result<()> {
    let broker = Mosquitto::with(&packets()).await?;
    let mut host = slow(&broker).start().await?;
    let mut client = host.client().await?;
    client.subscribe("service/slow/done", 1).await?;
    for _ in 0..4 {
        busy(&mut client, 300).await?;
    }
    // the others wait in the mailbox
    client.expect("service/slow/done").await?;
    assert!(
        host.stop().await?.success(),
        "{}",
        host.output().told("the end")
    );
    assert_eq!(client.pending().await?.len(), 3);
    let acknowledged = broker
        .output()
        .count("Received PUBACK from host-under-test");
    assert!(acknowledged >= 4, "{acknowledged} acknowledged");
    Ok(())
}

#[tokio::test]
async fn a_stop_does_not_wait_beyond_its_deadline_and_loses_nothing() -> Result<()> {
    let broker = Mosquitto::with(&packets()).await?;
    let mut host = slow(&broker)
        .top("stop_deadline", json!("500ms"))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/slow/done", 1).await?;
    busy(&mut client, 8_000).await?;
    broker
        .output()
        .says(0, "Sending PUBLISH to host-under-test")
        .await?;
    let begun = Instant::now();
    let status = host.stop().await?;
    assert_eq!(status.code(), Some(0), "{}", host.output().told("the end"));
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    broker
        .output()
        .says(0, "Client host-under-test disconnected.")
        .await?;
    let mut watcher = host.client().await?;
    watcher.subscribe("service/slow/online", 1).await?;
    assert_eq!(watcher.next().await?.text(), "0");
    // not acknowledged, so the broker delivers it to the next host
    host.restart()?;
    client.expect("service/slow/done").await.map(drop)
}

#[tokio::test]
async fn a_second_signal_ends_at_once() -> Result<()> {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let broker = Mosquitto::with(&packets()).await?;
        let mut host = slow(&broker)
            .top("stop_deadline", json!("60s"))
            .start()
            .await?;
        let mut client = host.client().await?;
        busy(&mut client, 59_000).await?;
        broker
            .output()
            .says(0, "Sending PUBLISH to host-under-test")
            .await?;
        host.process().signal(first)?;
        host.output()
            .says(0, &format!("stopping on SIG{first}"))
            .await?;
        let begun = Instant::now();
        host.process().signal(second)?;
        let status = host.ended().await?;
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        assert!(!status.success(), "{status}");
    }

    Ok(())
}

#[tokio::test]
async fn a_stop_ends_also_while_there_is_no_broker() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let mut host = named(&broker)
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let line = host.output().lines().len();
    broker.kill()?;
    host.output().says(line, "lost").await?;
    let begun = Instant::now();
    let status = host.stop().await?;
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(status.code(), Some(0), "{}", host.output().told("the end"));
    Ok(())
}

#[tokio::test]
async fn a_host_ends_when_its_client_id_is_taken_over() -> Result<()> {
    // mosquitto 2.0 says nothing to the first one (MQTT 5, section 3.1.4: it shall say 0x8E), so neither knows of the other
    let broker = Host::embedded()?
        .service("base", "relay", json!({}))
        .start()
        .await?;
    let host = || {
        Host::on(broker.port())
            .broker("client_id", json!("twice"))
            .service("relay", "relay", json!({}))
    };
    let mut first = host().start().await?;
    let _second = host().spawn()?;
    let status = first.ended().await?;
    assert_eq!(status.code(), Some(1), "{}", first.output().told("the end"));
    let said = first.output().says(0, "took the session over").await?;
    assert!(said.contains("twice"), "{said}");
    Ok(())
}

/// One message through the guest `relay`.
async fn relayed(client: &mut Client, payload: String) -> Result<()> {
    client.publish("service/relay/in", payload.clone()).await?;
    assert_eq!(client.expect("service/relay/out").await?.text(), payload);
    Ok(())
}

/// A host with the guest `contract-faulty` and a neighbour.
fn faulty(broker: &Mosquitto) -> Setup {
    let limits = json!({
        "memory": "8MiB", "call": "4s", "attempts": 2, "backoff": { "min": "50ms", "max": "200ms" },
    });
    named(broker)
        .service("faulty", "contract-faulty", json!({ "limits": limits }))
        .service("relay", "relay", json!({}))
}

#[tokio::test]
async fn a_trapping_guest_restarts_without_affecting_neighbours() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = faulty(&broker).start().await?;
    let mut neighbour = host.client().await?;
    neighbour.subscribe("service/relay/out", 1).await?;
    let mut client = host.client().await?;
    client.subscribe("service/faulty/worked", 1).await?;
    client.subscribe("service/faulty/lost", 1).await?;
    // each has a name of its own: faults of one name are logged once a minute (see hostile.rs)
    let faults = [
        ("trap", "trapped"),
        ("loop", "did not end within"),
        ("allocate", "limits.memory"),
        ("recurse", "stack of"),
    ];

    for (fault, why) in faults {
        let line = host.output().lines().len();
        client.publish("service/faulty/work", fault).await?;
        for number in 0..20 {
            relayed(&mut neighbour, format!("{fault} {number}")).await?;
        }
        if fault == "loop" {
            let said = host.output().lines().split_off(line);
            assert!(
                said.is_empty(),
                "the neighbour waited for the end of the loop: {said:#?}"
            );
        }

        let tried = host.output().says(line, "is tried again").await?;
        assert!(
            tried.contains(why) && tried.contains("service/faulty/work"),
            "{fault}: {tried}"
        );
        let given_up = host.output().says(line, "is given up").await?;
        assert!(
            given_up.contains("ERROR") && given_up.contains(why),
            "{fault}: {given_up}"
        );
        client
            .publish("service/faulty/work", format!("after {fault}"))
            .await?;
        let worked = client.next().await?;
        // none of the messages that the guest published before it failed
        assert_eq!(
            (worked.topic.as_str(), worked.text()),
            ("service/faulty/worked", format!("after {fault}"))
        );
    }

    Ok(())
}

#[tokio::test]
async fn a_service_is_offline_while_its_guest_is_broken() -> Result<()> {
    let broker = Mosquitto::start().await?;
    // one attempt, and a wait in which each value leaves: one that follows at once would replace it unsent
    let limits = json!({ "attempts": 1, "backoff": { "min": "1s", "max": "1s" } });
    let host = named(&broker)
        .service("faulty", "contract-faulty", json!({ "limits": limits }))
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/+/online", 1).await?;
    for _ in 0..2 {
        assert_eq!(client.next().await?.payload, "1");
    }

    for _ in 0..2 {
        client.publish("service/faulty/work", "trap").await?;
        for online in ["0", "1"] {
            let message = client.next().await?;
            assert_eq!(
                (message.topic.as_str(), message.text().as_str()),
                ("service/faulty/online", online)
            );
        }
    }

    Ok(())
}

#[tokio::test]
async fn a_failing_message_is_retried_then_given_up() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let limits = json!({ "attempts": 4, "backoff": { "min": "10ms", "max": "20ms" } });
    let mut host = named(&broker)
        .service("faulty", "contract-faulty", json!({ "limits": limits }))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/faulty/#", 1).await?;
    assert_eq!(client.expect("service/faulty/online").await?.text(), "1");
    client.publish("service/faulty/work", "fail").await?;
    let given_up = host.output().says(0, "is given up").await?;
    for part in [
        "ERROR",
        "service=faulty",
        "attempt=4",
        "service/faulty/work",
        "told to fail",
    ] {
        assert!(given_up.contains(part), "{part}: {given_up}");
    }

    let output = host.output();
    assert_eq!(
        output.count("is tried again"),
        3,
        "{}",
        output.told("attempts")
    );

    client.expect("service/faulty/dead-letter").await?;
    // the next one is handled, the failed one is acknowledged, and no instance was thrown away
    client.publish("service/faulty/work", "fine").await?;
    for topic in ["work", "worked"] {
        assert_eq!(
            client.next().await?.topic,
            format!("service/faulty/{topic}")
        );
    }

    assert!(host.stop().await?.success());
    host.restart()?;
    client.publish("service/faulty/work", "again").await?;
    host.online().await?;
    client.expect("service/faulty/worked").await?;
    assert_eq!(
        host.output().count("is tried again"),
        0,
        "{}",
        host.output().told("the failed message came again")
    );

    Ok(())
}

#[tokio::test]
async fn a_message_that_fails_twice_is_handled_at_the_third_attempt() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let limits = json!({ "attempts": 3, "backoff": { "min": "10ms", "max": "20ms" } });
    let host = named(&broker)
        .service("told", "contract-message-info", json!({ "limits": limits }))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/told/info", 1).await?;
    client.publish("service/told/in/a", "fail").await?;
    let told = client.next().await?.json()?;
    assert_eq!(
        (&told["handle_topic"], &told["attempt"]),
        (&json!("in/a"), &json!(3))
    );
    assert_eq!(client.pending().await?, []);
    Ok(())
}

#[tokio::test]
async fn a_failing_tick_is_retried_then_given_up() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = faulty(&broker).start().await?;
    let mut client = host.client().await?;
    client.subscribe("service/faulty/worked", 1).await?;
    client.publish("service/faulty/work", "tick").await?;
    let given_up = host.output().says(0, "is given up").await?;
    assert!(
        given_up.contains("told to fail in tick") && given_up.contains("timer fail"),
        "{given_up}"
    );
    client.publish("service/faulty/work", "fine").await?;
    assert_eq!(client.next().await?.text(), "fine");
    Ok(())
}

#[tokio::test]
async fn a_better_file_ends_the_wait_of_a_failing_start() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let limits = json!({ "backoff": { "min": "20ms", "max": "40ms" } });
    let section = json!({ "refuse_start": "not today", "limits": limits });
    let host = named(&broker)
        .service("life", "contract-lifecycle", section)
        .service("relay", "relay", json!({}));
    let host = host.top("log", json!({ "level": "DEBUG" })).spawn()?;
    let refused = host.output().says(0, "not today").await?;
    assert!(refused.contains("ERROR"), "{refused}");
    let mut line = host.output().lines().len();
    for _ in 0..3 {
        // once a minute as an error, and each time at a lower level
        host.output().says(line, "not today").await?;
        line = host.output().lines().len();
    }
    let is_error =
        |line: &&String| line.contains("ERROR") && line.contains("could not start, next attempt");
    assert_eq!(host.output().lines().iter().filter(is_error).count(), 1);
    let mut neighbour = host.client().await?;
    neighbour.subscribe("service/relay/out", 1).await?;
    relayed(&mut neighbour, "neighbour".into()).await?;
    host.replace("life", &miqro_tests::guests::component("relay")?)?;
    host.output().says(line, "takes over").await?;
    host.online().await
}

#[tokio::test]
async fn a_message_that_fails_in_one_version_is_handled_by_the_next() -> Result<()> {
    let broker = Mosquitto::start().await?;
    // the version that fails waits for longer than the test does
    let limits = json!({ "attempts": 3, "backoff": { "min": "10m", "max": "10m" } });
    let section = json!({ "limits": limits, "subscriptions": ["work"] });
    let host = named(&broker)
        .service("faulty", "contract-faulty", section)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/faulty/worked", 1).await?;
    client.publish("service/faulty/work", "fail").await?;
    host.output().says(0, "is tried again").await?;
    host.replace(
        "faulty",
        &miqro_tests::guests::component("contract-lifecycle")?,
    )?;
    assert_eq!(
        client.next().await?.text(),
        miqro_tests::guests::FIRST_VERSION
    );
    Ok(())
}

/// The messages that the guest `contract-message-info` handled, when messages 1 to 5 of `qos` come while 0 keeps it busy and its
/// mailbox takes two.
async fn handled_of_five(when_full: &str, qos: u8, count: usize) -> Result<Vec<Value>> {
    let broker = Mosquitto::start().await?;
    let limits =
        json!({ "mailbox": 2, "when_full": when_full, "backoff": { "min": "1s", "max": "1s" } });
    let host = named(&broker)
        .service("told", "contract-message-info", json!({ "limits": limits }))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/told/info", 1).await?;
    client.publish("service/told/in/0", "fail").await?;
    host.output().says(0, "is tried again").await?;
    for number in 1..=5 {
        client
            .send(Message::new(format!("service/told/in/{number}"), "").qos(qos))
            .await?;
    }
    let mut handled = Vec::new();
    for _ in 0..count {
        handled.push(client.next().await?.json()?["handle_topic"].take());
    }
    assert_eq!(client.pending().await?, [], "{when_full}");
    if count < 6 {
        let said = host.output().says(0, "dropped").await?;
        assert!(
            said.contains("service=told") && said.contains("WARN"),
            "{said}"
        );
    }

    Ok(handled)
}

#[tokio::test]
async fn a_full_mailbox_drops_the_oldest() -> Result<()> {
    assert_eq!(
        handled_of_five("drop-oldest", 1, 3).await?,
        ["in/0", "in/4", "in/5"]
    );
    Ok(())
}

#[tokio::test]
async fn a_full_mailbox_drops_the_newest() -> Result<()> {
    assert_eq!(
        handled_of_five("drop-newest", 1, 3).await?,
        ["in/0", "in/1", "in/2"]
    );
    Ok(())
}

#[tokio::test]
async fn a_full_mailbox_holds_what_the_broker_can_hold_back() -> Result<()> {
    let all = ["in/0", "in/1", "in/2", "in/3", "in/4", "in/5"];
    assert_eq!(handled_of_five("unacknowledged", 1, 6).await?, all);
    assert_eq!(handled_of_five("unacknowledged", 0, 3).await?, all[..3]);
    Ok(())
}

/// The answers of requests have a mailbox of their own, which closes before the host has ended.
#[tokio::test]
async fn a_host_stops_after_a_guest_has_sent_a_request() -> Result<()> {
    let broker = Mosquitto::start().await?;
    for _ in 0..3 {
        let mut host = Host::on(broker.port())
            .service(
                "probe",
                "contract-full",
                json!({ "grants": { "publish": ["oracle"] } }),
            )
            .start()
            .await?;

        let mut client = host.client().await?;
        client.subscribe("service/probe/refused", 1).await?;
        let question =
            json!({ "request": "oracle", "payload": "why?", "global": true, "deadline": 50 });
        client
            .publish("service/probe/command", question.to_string())
            .await?;
        client.next().await?;
        assert!(host.stop().await?.success());
    }

    Ok(())
}

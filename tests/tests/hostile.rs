//! A zoo of hostile guests, one for each limit: each excess has its name in the log once however often it happens, is counted each
//! time, and a neighbour answers all its messages meanwhile.

use anyhow::{Context, Result, ensure};
use miqro_tests::host::Setup;
use miqro_tests::{Client, Host, Mosquitto};
use serde_json::{Value, json};

/// How often each guest is told to misbehave.
const TIMES: usize = 3;

/// The command to a guest, its limits besides those for all, and the name of the limit that it then exceeds.
type Case = (&'static str, Value, &'static str);

/// A host in which each case is a service of its own, named after the limit that it exceeds, next to a neighbour.
fn zoo(broker: &Mosquitto, cases: &[Case]) -> Setup {
    cases.iter().fold(Host::on(broker.port()).service("relay", "relay", json!({})), |setup, (_, limits, name)| {
        // on a busy machine slow calls have a tenth of the processor, and waiting for it counts
        let mut all = json!({ "attempts": 1, "call": "10s", "backoff": { "min": "10ms", "max": "20ms" } });
        for (key, limit) in limits.as_object().into_iter().flatten() {
            all[key] = limit.clone();
        }
        setup.service(name, "hostile", json!({ "limits": all, "dead_letter": "done" }))
    })
}

/// Has all of them misbehave at once, and looks at what the host says about it.
async fn attack(cases: &[Case]) -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = zoo(&broker, cases).start().await?;
    let mut client = host.client().await?;
    let mut neighbour = host.client().await?;
    client.subscribe("service/+/done", 1).await?;
    neighbour.subscribe("service/relay/out", 1).await?;
    for _ in 0..TIMES {
        for (told, _, name) in cases {
            client.publish(&format!("service/{name}/do"), *told).await?;
        }
        relayed(&mut neighbour).await?;
    }

    for _ in 0..TIMES * cases.len() {
        client
            .next()
            .await
            .with_context(|| host.output().told("not all have ended"))?;
    }

    host.process().signal("USR1")?;
    for (_, _, name) in cases {
        is_told_once_and_counted(&host, name).await?;
    }
    relayed(&mut neighbour).await
}

/// The neighbour answers, in order.
async fn relayed(neighbour: &mut Client) -> Result<()> {
    for number in 0..50 {
        neighbour
            .publish("service/relay/in", number.to_string())
            .await?;
        ensure!(neighbour.next().await?.text() == number.to_string());
    }

    Ok(())
}

async fn is_told_once_and_counted(host: &Host, name: &str) -> Result<()> {
    let output = host.output();
    let service = format!("service={name} ");
    let is_report = |line: &str| line.contains("troubles: ") && line.contains(&service);
    let report = output
        .wait_for(&format!("the report of {name}"), is_report)
        .await?;
    let troubles = report
        .split_once("troubles:")
        .map_or("", |(_, troubles)| troubles);
    let count = troubles
        .split_once(&format!(" {name} "))
        .and_then(|(_, rest)| rest.split([',', ' ']).next()?.parse().ok());
    ensure!(count >= Some(TIMES), "{report}");
    let has = |line: &str, field: String| line.split_whitespace().any(|word| word == field);
    let speaks = |line: &&String| {
        has(line, format!("service={name}"))
            && ["limit", "fault"]
                .map(|of| has(line, format!("{of}={name}")))
                .contains(&true)
    };

    let lines = output.lines();
    let spoken: Vec<&String> = lines.iter().filter(speaks).collect();
    ensure!(spoken.len() == 1, "{name}: {spoken:#?}");
    Ok(())
}

#[tokio::test]
async fn each_fault_of_a_guest_has_its_name() -> Result<()> {
    attack(&[
        ("trap", json!({}), "trap"),
        ("loop", json!({ "call": "5s" }), "call"),
        ("allocate", json!({ "memory": "4MiB" }), "memory"),
        ("recurse", json!({}), "stack"),
        ("huge", json!({ "payload": "64KiB" }), "payload"),
    ])
    .await
}

/// The counts begin again with a new version; a fault that was only counted before is logged then, with the reason.
#[tokio::test]
async fn a_fault_of_a_new_version_is_told_at_once() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = zoo(&broker, &[("trap", json!({}), "trap")]).start().await?;
    let mut client = host.client().await?;
    client.subscribe("service/trap/done", 1).await?;
    for _ in 0..TIMES {
        client.publish("service/trap/do", "trap").await?;
        client.next().await?;
    }
    host.output().says(0, "fault=trap").await?;
    let before = host.output().lines().len();
    host.replace(
        "trap",
        &miqro_tests::guests::marked(&miqro_tests::guests::component("hostile")?, 1),
    )?;
    host.output().says(before, "takes over").await?;
    let summary = host.output().says(0, "trap: 2 times").await?;
    ensure!(
        summary.contains("the last: the guest trapped: "),
        "{summary}"
    );
    client.publish("service/trap/do", "trap").await?;
    client.next().await?;
    host.output().says(before, "fault=trap").await?;
    ensure!(
        host.output().count("fault=trap") == 2,
        host.output().told("two lines were expected")
    );
    Ok(())
}

#[tokio::test]
async fn a_guest_that_sleeps_in_a_host_function_is_cut_off_too() -> Result<()> {
    attack(&[("sleep", json!({ "call": "5s" }), "call")]).await
}

#[tokio::test]
async fn each_limit_of_a_call_has_its_name() -> Result<()> {
    attack(&[
        ("publish", json!({ "publishes": 100 }), "publishes"),
        (
            "bulk",
            json!({ "publish_bytes": "256KiB" }),
            "publish-bytes",
        ),
        ("huge", json!({}), "payload"),
        ("outside", json!({}), "grants"),
        ("subscribe", json!({ "subscriptions": 50 }), "subscriptions"),
        ("timers", json!({ "timers": 50 }), "timers"),
        ("resubscribe", json!({ "changes": 100 }), "changes"),
        ("state", json!({ "state": "100KiB" }), "state"),
        ("state", json!({ "state_keys": 20 }), "state-keys"),
        ("log", json!({ "log_lines": 20 }), "log-lines"),
    ])
    .await
}

#[tokio::test]
async fn printed_lines_count_as_log_lines() -> Result<()> {
    attack(&[
        ("print", json!({ "log_lines": 20 }), "log-lines"),
        ("print", json!({ "log_rate": 10 }), "log-rate"),
    ])
    .await
}

/// A service that is over its rate waits; none of its messages is lost.
#[tokio::test]
async fn each_rate_has_its_name_and_loses_nothing() -> Result<()> {
    attack(&[
        ("amplify", json!({ "publish_rate": 200 }), "publish-rate"),
        ("bulk", json!({ "payload_rate": "1MiB" }), "payload-rate"),
        ("rewrite", json!({ "state_rate": "50KiB" }), "state-rate"),
        ("reset", json!({ "change_rate": 200 }), "change-rate"),
        (
            "log",
            json!({ "log_rate": 10, "log_lines": 100_000 }),
            "log-rate",
        ),
    ])
    .await?;
    let broker = Mosquitto::start().await?;
    let host = zoo(
        &broker,
        &[("amplify", json!({ "publish_rate": 400 }), "publish-rate")],
    )
    .start()
    .await?;
    let mut client = host.client().await?;
    client.subscribe("service/publish-rate/flood", 1).await?;
    client.publish("service/publish-rate/do", "amplify").await?;
    client.publish("service/publish-rate/do", "amplify").await?;
    for _ in 0..600 {
        client.next().await?;
    }
    Ok(())
}

/// A flood from outside onto a service that is busy: waiting messages are bounded in number and in bytes.
#[tokio::test]
async fn a_flood_of_messages_is_dropped_and_said_once() -> Result<()> {
    for (limits, name) in [
        (json!({ "mailbox": 10 }), "mailbox"),
        (json!({ "mailbox_bytes": "64KiB" }), "mailbox-bytes"),
    ] {
        let broker = Mosquitto::start().await?;
        let mut limits = limits;
        (limits["call"], limits["when_full"]) = (json!("2s"), json!("drop-newest"));
        let host = zoo(&broker, &[("loop", limits, name)]).start().await?;
        let mut client = host.client().await?;
        client.subscribe(&format!("service/{name}/done"), 1).await?;
        let topic = format!("service/{name}/do");
        client.publish(&topic, "loop").await?;
        for _ in 0..TIMES * 20 {
            client
                .post(miqro_tests::Message::new(&topic, vec![b'x'; 10_000]))
                .await?;
        }
        // the loop has been cut off, and with it the flood was looked at
        client.next().await?;
        client.publish(&topic, "refuse").await?;
        host.process().signal("USR1")?;
        is_told_once_and_counted(&host, name).await?;
    }

    Ok(())
}

/// A component whose `handle` grows its table without end.
const TABLE: &str = r#"(component
    (core module $m
      (memory (export "memory") 1)
      (table $t 1 funcref)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
      (func (export "handle") (param i32 i32 i32 i32) (result i32)
        (loop $ever (drop (table.grow $t (ref.null func) (i32.const 100))) (br $ever))
        (i32.const 0))
      (func (export "tick") (result i32) (i32.const 0)))
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (func (export "handle") (param "topic" string) (param "payload" (list u8)) (result (result (error string)))
      (canon lift (core func $i "handle") (memory $memory) (realloc $realloc)))
    (func (export "tick") (result (result (error string))) (canon lift (core func $i "tick") (memory $memory))))"#;

/// Has `component` take the place of a good one in a service with these limits, and waits until the log has the fault `name`.
async fn swapped_in(component: &str, limits: Value, name: &str) -> Result<String> {
    let broker = Mosquitto::start().await?;
    let section = json!({ "limits": limits, "subscriptions": ["do"] });
    let host = Host::on(broker.port())
        .service(name, "hostile", section)
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    host.replace(name, &wat::parse_str(component)?)?;
    let taken = |line: &str| line.contains("takes over") || line.contains("did not start");
    host.output().wait_for("the swap", taken).await?;
    let mut client = host.client().await?;
    let mut neighbour = host.client().await?;
    for _ in 0..TIMES {
        client.publish(&format!("service/{name}/do"), "").await?;
    }
    let line = host.output().says(0, &format!("fault={name}")).await?;
    neighbour.subscribe("service/relay/out", 1).await?;
    relayed(&mut neighbour).await?;
    Ok(line)
}

#[tokio::test]
async fn a_table_that_grows_without_end_has_its_name() -> Result<()> {
    let line = swapped_in(
        TABLE,
        json!({ "table": 5_000, "attempts": 1, "call": "10s" }),
        "table",
    )
    .await?;
    ensure!(
        line.contains("more than the 5000 of limits.table"),
        "{line}"
    );
    // the pool has a limit of its own
    let line = swapped_in(TABLE, json!({ "attempts": 1, "call": "10s" }), "table").await?;
    ensure!(
        line.contains("more than the 20000 of one table in the pool"),
        "{line}"
    );
    Ok(())
}

#[tokio::test]
async fn a_component_of_too_many_instances_does_not_start() -> Result<()> {
    let many = format!(
        "(core module $n) {}",
        "(core instance (instantiate $n)) ".repeat(10)
    );
    let component = TABLE.replacen("(core module", &format!("{many} (core module"), 1);
    let line = swapped_in(
        &component,
        json!({ "instances": 5, "call": "10s" }),
        "instances",
    )
    .await?;
    ensure!(
        line.contains("limits.instances") && line.contains("did not start"),
        "{line}"
    );
    Ok(())
}

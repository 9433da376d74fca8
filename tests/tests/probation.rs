//! Probation of new versions: one that faults too often is replaced by the former one, with the state that that one left, also
//! after the host was started again.

use anyhow::Result;
use miqro_tests::probe::{self, assert_answers, assert_works};
use miqro_tests::{Client, Host, guests};
use serde_json::{Value, json};

/// A host with the guest `contract-swap` as the service `probe`, which breaks in version 2 as `how` says, and has counted to two.
async fn counted(how: &str, swap: Value) -> Result<(Host, Client)> {
    let section = json!({
        "broken": { guests::version(2): how }, "swap": swap, "limits": { "backoff": { "min": "1ms", "max": "2ms" }, "attempts": 10 },
    });
    let (host, mut client) = probe::start(Host::embedded()?, section).await?;
    client.subscribe("service/probe/rollback", 1).await?;
    for count in 1..=2 {
        assert_works(&mut client, 1, count, count).await?;
    }
    Ok((host, client))
}

/// Version 2 takes over, handles one message, fails at the next, and version 1 is put back.
async fn falls(how: &str) -> Result<(Host, Client)> {
    let (host, mut client) = counted(how, json!({ "faults": 1 })).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    assert_works(&mut client, 2, 3, 3).await?;
    client.publish("service/probe/work", "fail").await?;
    let fall = client.expect("service/probe/rollback").await?;
    assert!(!fall.retain);
    let fall = fall.json()?;
    assert_eq!(
        (&fall["service"], &fall["faults"]),
        (&json!("probe"), &json!(2))
    );
    assert!(
        fall["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("guest")),
        "{fall}"
    );

    assert!(
        fall["at"]
            .as_str()
            .is_some_and(|at| at.starts_with("20") && at.ends_with('Z')),
        "{fall}"
    );

    for version in ["from", "to"] {
        assert_eq!(fall[version].as_str().map(str::len), Some(64), "{fall}");
    }
    assert_ne!(fall["from"], fall["to"]);
    // the message that failed is handled by the former version, with the memory and the state of the swap
    assert_answers(&mut client, 1, 3, 3, "fail").await?;
    assert_works(&mut client, 1, 4, 4).await?;
    host.output()
        .wait_for("the news", |line| line.contains("is rolled back"))
        .await?;
    Ok((host, client))
}

#[tokio::test]
async fn a_trapping_version_is_rolled_back_with_its_state() -> Result<()> {
    falls("trap").await.map(drop)
}

#[tokio::test]
async fn a_refusing_version_is_rolled_back_with_its_state() -> Result<()> {
    falls("error").await.map(drop)
}

#[tokio::test]
async fn a_rejected_file_is_ignored_until_it_changes() -> Result<()> {
    let (host, mut client) = falls("error").await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "is not taken again")
        .await?;
    assert_works(&mut client, 1, 5, 5).await?;
    host.replace_and_wait("probe", &guests::swap(3)?, "takes over")
        .await?;
    assert_works(&mut client, 3, 6, 6).await?;
    // other bytes have been there
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    assert_works(&mut client, 2, 7, 7).await
}

#[tokio::test]
async fn a_rollback_survives_a_restart() -> Result<()> {
    for kill in [true, false] {
        let (mut host, _) = falls("error").await?;
        if kill {
            host.kill()?;
        } else {
            host.stop().await?;
        }
        host.restart()?;
        host.online().await?;
        host.output()
            .wait_for("the news", |line| line.contains("was rolled back"))
            .await?;
        let mut client = host.client().await?;
        client.subscribe("service/probe/worked", 1).await?;
        // the memory is a new one, the state is that of the version that was put back
        assert_works(&mut client, 1, 1, 5).await?;
        host.replace_and_wait("probe", &guests::swap(2)?, "is not taken again")
            .await?;
        host.replace_and_wait("probe", &guests::swap(3)?, "takes over")
            .await?;
        assert_works(&mut client, 3, 2, 6).await?;
    }

    Ok(())
}

#[tokio::test]
async fn a_version_is_on_probation_again_after_the_host_was_killed() -> Result<()> {
    let (mut host, mut client) = counted("error", json!({ "faults": 1 })).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    assert_works(&mut client, 2, 3, 3).await?;
    host.kill()?;
    host.restart()?;
    host.online().await?;
    host.output()
        .wait_for("the news", |line| {
            line.contains("is on probation for another")
        })
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/probe/worked", 1).await?;
    assert_works(&mut client, 2, 1, 4).await?;
    client.publish("service/probe/work", "fail").await?;
    // the state and the saved bytes are those of the swap
    assert_answers(&mut client, 1, 3, 3, "fail").await
}

#[tokio::test]
async fn as_many_faults_as_are_allowed_are_no_reason() -> Result<()> {
    let (host, mut client) = counted("error", json!({ "faults": 10, "messages": 3 })).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    // ten attempts, ten faults
    client.publish("service/probe/work", "fail").await?;
    host.output()
        .wait_for("that it is given up", |line| line.contains("is given up"))
        .await?;
    for count in 3..=5 {
        assert_works(&mut client, 2, count + 10, count).await?;
    }
    host.output()
        .wait_for("the end of the probation", |line| {
            line.contains("has passed its probation")
        })
        .await?;
    // now its faults are like those of any version
    for _ in 0..2 {
        client.publish("service/probe/work", "fail").await?;
    }
    assert_works(&mut client, 2, 36, 6).await?;
    assert_eq!(
        host.output().count("is rolled back"),
        0,
        "{}",
        host.output().told("rolled back")
    );

    Ok(())
}

#[tokio::test]
async fn the_probation_ends_with_its_time() -> Result<()> {
    let (host, mut client) = counted("error", json!({ "faults": 0, "probation": "1ms" })).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "has passed its probation")
        .await?;
    client.publish("service/probe/work", "fail").await?;
    assert_works(&mut client, 2, 13, 3).await
}

#[tokio::test]
async fn without_a_probation_nothing_is_put_back() -> Result<()> {
    let (host, mut client) = counted("error", json!({ "faults": 0, "probation": "0s" })).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    client.publish("service/probe/work", "fail").await?;
    assert_works(&mut client, 2, 13, 3).await
}

//! The snapshot of a service: granted quality of service, grants, limits, faults, versions and dead letters.

use anyhow::{Context, Result};
use miqro_tests::{Client, Host, Mosquitto, mosquitto};
use serde_json::{Value, json};

/// The service of this name, as `list --json` shows it.
async fn service(host: &Host, name: &str) -> Result<Value> {
    let listed: Value = serde_json::from_str(&host.tell(&["list", "--json"]).await?)?;
    let found = listed.as_array().into_iter().flatten();
    let mut found = found.filter(|service| service["name"] == name);
    found.next().cloned().with_context(|| listed.to_string())
}

#[tokio::test]
async fn granted_qos_is_the_one_of_the_broker() -> Result<()> {
    let broker = {
        let lines = vec!["max_qos 1".to_owned()];
        Mosquitto::with(&mosquitto::Setup {
            lines,
            ..mosquitto::Setup::default()
        })
        .await?
    };
    let section = json!({"subscriptions": [{"filter": "own/#", "qos": 2, "global": true}, {"filter": "low", "qos": 0, "global": true}]});
    let host = Host::on(broker.port())
        .service("it", "relay", section)
        .start()
        .await?;
    let subscriptions = service(&host, "it").await?["activity"]["subscriptions"].take();
    let granted = |filter: &str| {
        let all = subscriptions.as_array().into_iter().flatten();
        let mut found = all.filter(|subscription| subscription["filter"] == filter);
        found
            .next()
            .map(|found| [found["requested_qos"].clone(), found["granted_qos"].clone()])
    };
    assert_eq!(
        granted("own/#"),
        Some([json!(2), json!(1)]),
        "{subscriptions}"
    );
    assert_eq!(
        granted("low"),
        Some([json!(0), json!(0)]),
        "{subscriptions}"
    );
    Ok(())
}

#[tokio::test]
async fn grants_are_shown_as_used_and_refused() -> Result<()> {
    let section = json!({"grants": {"publish": ["never/#", "house/+"]}});
    let host = Host::embedded()?
        .service("it", "contract-publish", section)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/it/+", 1).await?;
    for (topic, answer) in [("house/lamp", "done"), ("alarm/all", "refused")] {
        let command = json!({"topic": topic, "global": true}).to_string();
        client.publish("service/it/publish", command).await?;
        client.expect(&format!("service/it/{answer}")).await?;
    }

    let it = service(&host, "it").await?;
    let grants = &it["activity"]["grants"];
    assert_eq!(grants["used"]["publish"], json!(["house/+"]), "{it:#}");
    assert_eq!(
        grants["refused"],
        json!(["services.it.grants.publish: [\"alarm/all\"]"])
    );
    assert_eq!(
        it["configured"]["grants"]["publish"],
        json!(["never/#", "house/+"])
    );
    assert_eq!(it["activity"]["faults"]["grants"], 1);
    Ok(())
}

#[tokio::test]
async fn limits_faults_and_versions_are_shown() -> Result<()> {
    let limits = json!({"attempts": 1, "memory": "3MiB", "state_keys": 7});
    let host = Host::embedded()?
        .service("faulty", "contract-faulty", json!({ "limits": limits }))
        .start()
        .await?;
    let mut client = host.client().await?;
    let fresh = service(&host, "faulty").await?;
    assert_eq!(fresh["activity"]["last_fault"], Value::Null, "{fresh:#}");
    assert_eq!(fresh["activity"]["faults"], json!({}));

    let (allowed, used) = (&fresh["configured"]["limits"], &fresh["activity"]["used"]);
    assert_eq!(allowed["memory"], "3MiB");
    assert!(
        used["memory"]
            .as_u64()
            .is_some_and(|bytes| bytes <= 3 << 20)
    );
    assert_eq!(
        (&allowed["state_keys"], &used["state_keys"]),
        (&json!(7), &json!(0))
    );
    assert_eq!(used["subscriptions"], 1);

    give_up(&mut client, "fail").await?;
    let it = service(&host, "faulty").await?;
    let fault = &it["activity"]["last_fault"];
    assert_eq!(fault["kind"], "refused", "{it:#}");
    assert_eq!(fault["reason"], "the guest returned an error: told to fail");
    assert!(fault["at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert_eq!(it["activity"]["faults"], json!({"refused": 1}));

    give_up(&mut client, "trap").await?;
    let it = service(&host, "faulty").await?;
    assert_eq!(it["activity"]["last_fault"]["kind"], "trap");
    assert_eq!(
        it["activity"]["faults"],
        json!({"refused": 1, "trap": 1}),
        "{it:#}"
    );

    assert_eq!(it["dead_letters"], 2);
    assert_eq!(it["versions"], json!({"kept": [], "refused": []}));
    Ok(())
}

/// Has the service give a message up.
async fn give_up(client: &mut Client, payload: &str) -> Result<()> {
    client.subscribe("service/faulty/dead-letter", 1).await?;
    client
        .publish("service/faulty/work", payload.to_owned())
        .await?;
    client.expect("service/faulty/dead-letter").await?;
    Ok(())
}

#[tokio::test]
async fn one_dead_letter_is_deleted_and_the_others_stay() -> Result<()> {
    let mut host = Host::embedded()?
        .service(
            "faulty",
            "contract-faulty",
            json!({"limits": {"attempts": 1}}),
        )
        .start()
        .await?;
    let mut client = host.client().await?;
    for payload in ["fail", "trap", "fail"] {
        give_up(&mut client, payload).await?;
    }

    let listed = letters(&host).await?;
    let id = listed[1]["id"].as_str().context("no identity")?.to_owned();
    let line = host.tell(&["replay", "--list", "faulty"]).await?;
    assert!(line.contains(&id), "{line}");
    let said = host.tell(&["replay", "--delete", &id, "faulty"]).await?;
    assert!(
        said.contains("the message on service/faulty/work is deleted"),
        "{said}"
    );
    host.output()
        .wait_for("the audit line", |line| {
            line.contains("audit") && line.contains(&format!("deletion of dead letter \"{id}\""))
        })
        .await?;
    assert_eq!(
        letters(&host).await?,
        [listed[0].clone(), listed[2].clone()]
    );
    assert_eq!(service(&host, "faulty").await?["dead_letters"], 2);

    // neither an unknown letter nor one that is gone, and no text that names none
    for (id, reason) in [
        (id.as_str(), "has no dead letter"),
        ("first", "expected the identity"),
    ] {
        let refused = host.tell(&["replay", "--delete", id, "faulty"]).await;
        let refused = format!("{:#}", refused.err().context("it was accepted")?);
        assert!(refused.contains(reason), "{refused}");
    }

    // also after a restart; a replay empties the list, and numbers begin again
    host.kill()?;
    host.restart()?;
    host.online().await?;
    assert_eq!(service(&host, "faulty").await?["dead_letters"], 2);
    let said = host.tell(&["replay", "faulty"]).await?;
    assert!(said.contains("2 messages are handled again"), "{said}");
    Ok(())
}

async fn letters(host: &Host) -> Result<Vec<Value>> {
    let listed = host.tell(&["replay", "--list", "--json", "faulty"]).await?;
    Ok(serde_json::from_str(&listed)?)
}

//! Deployments: a component that is sent to a running host is checked, takes over, and replaces the component file. One that is refused
//! changes nothing.

use std::os::unix::fs::symlink;

use anyhow::{Context, Result};
use minisign::KeyPair;
use miqro_tests::probe::{self, assert_works};
use miqro_tests::process::Said;
use miqro_tests::{Client, Host, Message, Properties, Terminal, guests};
use serde_json::{Value, json};

/// A host with the guest `contract-swap` as the service `probe`.
async fn probe(section: Value) -> Result<(Host, Client)> {
    let (host, mut client) = probe::start(Host::embedded()?, section).await?;
    assert_works(&mut client, 1, 1, 1).await?;
    Ok((host, client))
}

/// Writes a component next to those of the host, and deploys it with further arguments.
async fn deploy(host: &Host, component: &[u8], further: &[&str]) -> Result<Said> {
    std::fs::write(host.folder().join("next"), component)?;
    let arguments = [&["deploy", "probe", "next"], further].concat();
    host.run(&arguments).await
}

/// The result of a check.
async fn check(host: &Host, component: &[u8]) -> Result<Value> {
    let said = deploy(host, component, &["--check", "--json"]).await?;
    serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))
}

/// Waits for the audit line of a deployment with this outcome.
async fn audited(host: &Host, outcome: &str) -> Result<String> {
    let is_it = |line: &str| {
        line.contains("audit: deployment of version")
            && line.contains("to \"probe\" by user")
            && line.contains(outcome)
    };
    host.output().wait_for(outcome, is_it).await
}

/// The names of all files in the folder of the host.
fn files(host: &Host) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(host.folder())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[tokio::test]
async fn deployed_components_take_over_with_the_state_and_replace_the_file() -> Result<()> {
    let (mut host, mut client) = probe(json!({})).await?;
    let said = deploy(&host, &guests::swap(2)?, &[]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("imports: miqro:service/"), "{said:?}");
    assert!(said.out.contains("runs, and is in "), "{said:?}");
    assert_works(&mut client, 2, 2, 2).await?;
    assert_eq!(std::fs::read(host.file("probe"))?, guests::swap(2)?);
    audited(&host, "runs, and is in").await?;
    let upload = |line: &str| line.contains("audit: upload of") && line.contains("for \"probe\"");
    host.output().wait_for("the upload", upload).await?;

    // the watch has seen the second file when a third one takes over by it
    host.replace_and_wait("probe", &guests::swap(3)?, "takes over")
        .await?;
    assert_works(&mut client, 3, 3, 3).await?;
    let output = host.output();
    assert_eq!(output.count("takes over"), 2, "{}", output.told("swaps"));

    let said = deploy(&host, &guests::swap(4)?, &[]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(host.stop().await?.success());
    host.restart()?;
    host.online().await?;
    let mut client = host.client().await?;
    client.subscribe("service/probe/worked", 1).await?;
    client.publish_once("service/probe/work", "").await?;
    let answer = client.expect("service/probe/worked").await?.json()?;
    assert_eq!(answer["version"], guests::version(4));
    Ok(())
}

#[tokio::test]
async fn refused_components_change_nothing() -> Result<()> {
    let (host, mut client) = probe(json!({
        "refuse_load": { guests::version(2): "too old" },
        "broken_start": { guests::version(3): "told to break" },
    }))
    .await?;
    let before = (std::fs::read(host.file("probe"))?, files(&host)?);
    let refusals = [
        (b"#!/bin/sh\n".to_vec(), "probe.wasm: "),
        (Vec::new(), "probe.wasm: "),
        (guests::component("echo")?[..100].to_vec(), "probe.wasm: "),
        (guests::swap(2)?, "too old"),
        (guests::swap(3)?, "does not start: "),
        (guests::swap(1)?, "runs already"),
    ];
    for (component, reason) in refusals {
        let refused = deploy(&host, &component, &[]).await?;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(reason), "{reason}: {refused:?}");
    }

    std::fs::remove_file(host.folder().join("next"))?;
    assert_eq!(before, (std::fs::read(host.file("probe"))?, files(&host)?));
    audited(&host, "too old").await?;
    assert_works(&mut client, 1, 2, 2).await?;

    let unknown = host.run(&["deploy", "other", "probe.wasm"]).await?;
    assert!(unknown.err.contains("no host has a service"), "{unknown:?}");
    let missing = host.run(&["deploy", "probe", "missing.wasm"]).await?;
    assert!(missing.err.contains("missing.wasm"), "{missing:?}");
    Ok(())
}

#[tokio::test]
async fn checks_compare_with_the_running_version() -> Result<()> {
    let (host, mut client) = probe(json!({
        "also": { guests::FIRST_VERSION: ["further"] },
        "broken_start": { guests::version(3): "told to break" },
    }))
    .await?;
    let report = check(&host, &guests::swap(2)?).await?;
    assert_eq!(report["obstacle"], Value::Null, "{report:#}");
    assert_eq!(report["failure"], Value::Null, "{report:#}");
    assert_eq!(report["subscriptions"], json!(["service/probe/work"]));
    assert_eq!(
        report["differences"],
        json!(["the new version no longer subscribes to service/probe/further"])
    );
    assert_eq!(report["version"].as_str().map(str::len), Some(64));
    assert_eq!(report["bytes"], guests::swap(2)?.len());

    let report = check(&host, &guests::component("contract-wasi")?).await?;
    let differences = report["differences"].to_string();
    assert!(differences.contains("no longer exports"), "{report:#}");
    let needs = report["grants"].as_array().context("no grants")?;
    let directories = needs.iter().find(|need| need["key"] == "directories");
    let directories = directories.context("directories are not needed")?;
    assert_eq!(directories["granted"], false, "{report:#}");

    let broken = deploy(&host, &guests::swap(3)?, &["--check"]).await?;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    let said = "it does not start on trial, without network and effects: ";
    assert!(broken.out.contains(said), "{broken:?}");
    assert!(broken.out.contains("told to break"), "{broken:?}");
    let same = check(&host, &guests::swap(1)?).await?;
    let obstacle = same["obstacle"].as_str().unwrap_or_default();
    assert!(obstacle.contains("runs already"), "{same:#}");

    assert_works(&mut client, 1, 2, 2).await?;
    assert_eq!(host.output().count("takes over"), 0);
    Ok(())
}

#[tokio::test]
async fn files_of_others_are_not_replaced() -> Result<()> {
    let (host, mut client) = probe(json!({})).await?;
    let own = host.file("probe");
    let elsewhere = host.folder().join("elsewhere");
    std::fs::rename(&own, &elsewhere)?;
    symlink(&elsewhere, &own)?;
    let refused = deploy(&host, &guests::swap(2)?, &[]).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("is a symbolic link"), "{refused:?}");
    assert_eq!(std::fs::read(&elsewhere)?, guests::swap(1)?);
    assert!(own.is_symlink());
    std::fs::remove_file(&own)?;
    std::fs::rename(&elsewhere, &own)?;

    assert_works(&mut client, 1, 2, 2).await?;
    assert_eq!(host.output().count("takes over"), 0);
    Ok(())
}

#[tokio::test]
async fn a_file_of_several_services_is_not_replaced() -> Result<()> {
    let section = json!({"component": "probe.wasm"});
    let host = Host::embedded()?
        .service("probe", "contract-swap", section.clone())
        .top("services", json!({"probe": section, "twin": section}))
        .start()
        .await?;
    let report = check(&host, &guests::swap(2)?).await?;
    let obstacle = report["obstacle"].as_str().unwrap_or_default();
    let reason = "is also the component of twin: ";
    assert!(obstacle.contains(reason), "{report:#}");
    let refused = deploy(&host, &guests::swap(2)?, &[]).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains(reason), "{refused:?}");
    assert_eq!(std::fs::read(host.file("probe"))?, guests::swap(1)?);
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_found_out_before_anything_changes() -> Result<()> {
    let (host, mut client) = probe(json!({})).await?;
    // tests may run as root, whom no permission stops
    let in_the_way = host.folder().join(".probe.wasm.deploy");
    std::fs::create_dir(&in_the_way)?;
    let refused = deploy(&host, &guests::swap(2)?, &[]).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let reason = "probe.wasm: Is a directory";
    assert!(
        refused.err.contains("cannot write ") && refused.err.contains(reason),
        "{refused:?}"
    );
    assert_works(&mut client, 1, 2, 2).await?;

    std::fs::remove_dir(&in_the_way)?;
    let said = deploy(&host, &guests::swap(2)?, &[]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_works(&mut client, 2, 3, 3).await
}

#[tokio::test]
async fn a_second_deployment_is_refused_while_the_first_waits_for_a_call() -> Result<()> {
    let host = Host::embedded()?
        .service(
            "probe",
            "contract-full",
            json!({"grants": {"publish": ["oracle"]}}),
        )
        .start()
        .await?;
    let mut oracle = host.client().await?;
    oracle.subscribe("oracle", 1).await?;
    let question = json!({"request": "oracle", "payload": "", "global": true, "deadline": 200_000});
    let command = "service/probe/command";
    oracle.publish(command, question.to_string()).await?;
    // from now on the service is in a call, until the oracle answers
    let asked = oracle.expect("oracle").await?.properties;

    let full = guests::component("contract-full")?;
    std::fs::write(host.folder().join("one"), guests::marked(&full, 1))?;
    std::fs::write(host.folder().join("two"), guests::marked(&full, 2))?;
    let first = Terminal::run(&host, "deploy probe one")?;
    first
        .shows("probe: waiting for the new version to start, ")
        .await?;
    assert!(host.folder().join(".probe.wasm.deploy").exists());
    let refused = host.refusal(&["deploy", "probe", "two"]).await?;
    assert!(refused.contains("another deployment to "), "{refused}");

    // the first one replaces whatever the file has until then
    host.replace("probe", &guests::marked(&full, 3))?;
    let answer = Message::new(asked.response_topic.unwrap_or_default(), "");
    oracle
        .send(answer.with(Properties {
            correlation_data: asked.correlation_data,
            ..Properties::default()
        }))
        .await?;
    first.shows("ended with 0").await?;
    let picture = first.picture()?;
    assert!(picture.contains("runs, and is in "), "{picture}");
    assert!(!picture.contains("waiting"), "{picture}");
    let written = std::fs::read(host.file("probe"))?;
    assert_eq!(written, guests::marked(&full, 1));
    let again = host.run(&["deploy", "probe", "one"]).await?;
    assert!(again.err.contains("runs already"), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn only_signed_components_are_deployed_where_trust_has_keys() -> Result<()> {
    let key = KeyPair::generate_unencrypted_keypair()?;
    let signed = |component: &[u8]| -> Result<String> {
        Ok(minisign::sign(None, &key.sk, component, None, None)?.to_string())
    };
    let host = Host::embedded()?
        .top("trust", json!([key.pk.to_base64()]))
        .service("probe", "contract-swap", json!({}))
        .file("probe.wasm.minisig", signed(&guests::swap(1)?)?)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/probe/worked", 1).await?;

    let second = guests::swap(2)?;
    let refused = deploy(&host, &second, &[]).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("is not signed"), "{refused:?}");
    let beside = host.folder().join("next.minisig");
    std::fs::write(&beside, signed(&guests::swap(3)?)?)?;
    let refused = deploy(&host, &second, &[]).await?;
    assert!(refused.err.contains("does not fit"), "{refused:?}");
    assert_works(&mut client, 1, 1, 1).await?;

    std::fs::write(&beside, signed(&second)?)?;
    let said = deploy(&host, &second, &[]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_works(&mut client, 2, 2, 2).await?;
    let signature = std::fs::read(host.folder().join("probe.wasm.minisig"))?;
    assert_eq!(signature, std::fs::read(&beside)?);
    Ok(())
}

#[tokio::test]
async fn a_version_that_was_rolled_back_is_not_deployed_again() -> Result<()> {
    let (host, mut client) = probe(json!({})).await?;
    let said = deploy(&host, &guests::swap(2)?, &[]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    host.tell(&["rollback", "probe"]).await?;
    let refused = deploy(&host, &guests::swap(2)?, &[]).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("was rolled back"), "{refused:?}");
    assert_works(&mut client, 1, 2, 2).await?;

    let said = deploy(&host, &guests::swap(3)?, &[]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_works(&mut client, 3, 3, 3).await
}

//! Signed components: with keys in `trust`, only components that are signed by one of them run.

use anyhow::Result;
use minisign::KeyPair;
use miqro_tests::guests::{self, lifecycle};
use miqro_tests::{Client, Host, Mosquitto};
use serde_json::json;

/// The detached signature of `bytes`.
fn signed(key: &KeyPair, bytes: &[u8]) -> Result<String> {
    Ok(minisign::sign(None, &key.sk, bytes, Some("a test"), None)?.to_string())
}

/// The version of the guest `contract-lifecycle` that answers.
async fn version(client: &mut Client) -> Result<String> {
    client.publish("service/it/work", "").await?;
    Ok(client.expect("service/it/worked").await?.text())
}

#[tokio::test]
async fn an_unsigned_component_does_not_start_whatever_the_cache_has() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let key = KeyPair::generate_unencrypted_keypair()?;
    let echo = guests::component("echo")?;
    let mut host = Host::on(broker.port())
        .top("trust", json!([key.pk.to_base64()]))
        .service("it", "echo", json!({}))
        .file("it.wasm.minisig", signed(&key, &echo)?)
        .start()
        .await?;

    assert!(host.stop().await?.success());
    // now its compiled code is in the cache
    std::fs::remove_file(host.folder().join("it.wasm.minisig"))?;
    host.restart()?;
    assert!(!host.ended().await?.success());
    let said = host.output().says(0, "is not signed").await?;
    assert!(
        said.contains("it.wasm: ") && said.contains("it.wasm.minisig"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_version_that_is_not_signed_does_not_take_over() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let key = KeyPair::generate_unencrypted_keypair()?;
    let other = KeyPair::generate_unencrypted_keypair()?;
    let first = guests::component("contract-lifecycle")?;
    let host = Host::on(broker.port())
        .top("trust", json!(["minisign.pub"]))
        .file("minisign.pub", key.pk.to_box()?.to_string())
        .service("it", "contract-lifecycle", json!({}))
        .file("it.wasm.minisig", signed(&key, &first)?)
        .start()
        .await?;

    let sign = |text: String| std::fs::write(host.folder().join("it.wasm.minisig"), text);
    let mut client = host.client().await?;
    client.subscribe("service/it/worked", 1).await?;
    assert_eq!(version(&mut client).await?, guests::FIRST_VERSION);

    // the file comes before its signature
    let second = lifecycle(2)?;
    let line = host.output().lines().len();
    host.replace("it", &second)?;
    let refused = host.output().says(line, "does not fit").await?;
    assert!(
        refused.contains("it.wasm.minisig") && refused.contains("the running version stays"),
        "{refused}"
    );
    assert_eq!(version(&mut client).await?, guests::FIRST_VERSION);
    let line = host.output().lines().len();
    sign(signed(&other, &second)?)?;
    host.output()
        .says(line, "a key that trust does not have")
        .await?;
    let line = host.output().lines().len();
    sign("no signature".to_owned())?;
    host.output()
        .says(line, "is not in the format of minisign")
        .await?;
    assert_eq!(version(&mut client).await?, guests::FIRST_VERSION);
    let line = host.output().lines().len();
    sign(signed(&key, &second)?)?;
    host.output().says(line, "takes over").await?;
    assert_eq!(version(&mut client).await?, guests::version(2));

    // altered under an old signature
    let line = host.output().lines().len();
    host.replace("it", &guests::marked(&second, 1))?;
    host.output().says(line, "does not fit").await?;
    assert_eq!(version(&mut client).await?, guests::version(2));
    Ok(())
}

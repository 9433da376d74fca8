//! A configuration names a file that is missing: it is tried again when the file appears, at the
//! start as well.

use std::io::Write;

use anyhow::{Context, Result};
use miqro_tests::process::Process;
use miqro_tests::{guests, mosquitto};
use serde_json::{Value, json};

use super::home::{Home, online, relays, stop};

fn relay() -> Value {
    json!({ "component": "relay.wasm" })
}

/// A home whose host runs `a`.
async fn running() -> Result<(Home, Process)> {
    let home = Home::new(&["relay", "contract-config"]).await?;
    home.configure(json!({ "a": relay() }), json!({}))?;
    let host = home.start(&[])?;
    online(&mut home.client().await?, "a").await?;
    Ok((home, host))
}

/// The configuration is refused, is tried again when `come` has made it whole, and is in force then; `a` goes on all the time.
async fn comes(
    home: &Home,
    host: &Process,
    config: Value,
    why: &str,
    come: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let line = host.output().lines().len();
    home.replace("miqro.yml", config.to_string())?;
    let said = host
        .output()
        .says(line, "is refused, the running one stays")
        .await?;
    assert!(
        said.contains("it is read again when"),
        "{}",
        host.output().told(why)
    );
    host.output().says(line, why).await?;
    relays(&mut home.client().await?, "a").await?;
    let line = host.output().lines().len();
    come()?;
    host.output().says(line, "is in force").await?;
    relays(&mut home.client().await?, "a").await
}

#[tokio::test]
async fn a_component_that_comes_in_two_halves_makes_the_configuration_whole() -> Result<()> {
    let (home, host) = running().await?;
    let config = home.config(
        json!({ "a": relay(), "b": { "component": "later/b.wasm" } }),
        json!({}),
    );
    let component = guests::component("relay")?;
    let (first, rest) = component.split_at(component.len() / 2);
    let come = || {
        home.write("later/b.wasm", first)?;
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(home.path("later/b.wasm"))?;
        Ok(file.write_all(rest)?)
    };

    comes(&home, &host, config, "later/b.wasm: No such file", come).await?;
    relays(&mut home.client().await?, "b").await?;
    // half of one that stays so for a while, as a slow upload leaves it
    let config = home.config(
        json!({ "a": relay(), "b": relay(), "c": { "component": "c.wasm" } }),
        json!({}),
    );
    home.write("c.wasm", first)?;
    comes(&home, &host, config, "c.wasm: ", || {
        home.write("c.wasm", &component)
    })
    .await?;
    relays(&mut home.client().await?, "c").await?;
    stop(host).await
}

#[tokio::test]
async fn secrets_and_directories_that_come_make_the_configuration_whole() -> Result<()> {
    let (home, host) = running().await?;
    let secret =
        json!({ "component": "contract-config.wasm", "key": { "from_file": "secrets/key" } });
    let config = home.config(json!({ "a": relay(), "b": secret }), json!({}));
    comes(
        &home,
        &host,
        config,
        "services.b.key.from_file: cannot read",
        || home.write("secrets/key", "geheim\n"),
    )
    .await?;
    let mut client = home.client().await?;
    let section = client.expect("service/b/config_at_start").await?;
    assert_eq!(section.json()?["key"], "geheim");
    // an empty file is one that is not written yet
    home.write("password", "")?;
    let auth = json!({ "auth": { "username": "anna", "password_file": "password" } });
    let config = home.config(json!({ "a": relay() }), auth);
    comes(&home, &host, config, "password is empty", || {
        home.write("password", "geheim")
    })
    .await?;
    let grants = json!({ "directories": [{ "path": home.path("data"), "guest": "/data" }] });
    let granted = json!({ "component": "relay.wasm", "grants": grants });
    let config = home.config(json!({ "a": relay(), "d": granted }), json!({}));
    comes(&home, &host, config, "grants.directories", || {
        Ok(std::fs::create_dir(home.path("data"))?)
    })
    .await?;
    assert_eq!(
        host.output().count("geheim"),
        0,
        "{}",
        host.output().told("a secret is shown")
    );

    stop(host).await
}

#[tokio::test]
async fn a_certificate_that_comes_makes_the_configuration_whole() -> Result<()> {
    let (home, host) = running().await?;
    let tls = json!({ "tls": { "ca_certs": "ca.pem" } });
    let made = std::process::Command::new("openssl")
        .args(
            "req -x509 -newkey rsa:2048 -nodes -subj /CN=ca -keyout ca.key -out made.pem -days 9"
                .split(' '),
        )
        .current_dir(home.path(""))
        .output()
        .context("openssl is not installed")?;

    assert!(made.status.success(), "{made:?}");
    let line = host.output().lines().len();
    home.configure(json!({ "a": relay() }), tls)?;
    host.output()
        .says(line, "is refused, the running one stays")
        .await?;
    relays(&mut home.client().await?, "a").await?;
    let line = host.output().lines().len();
    std::fs::rename(home.path("made.pem"), home.path("ca.pem"))?;
    host.output().says(line, "is in force").await?;
    Ok(())
}

#[tokio::test]
async fn a_component_that_is_missing_at_the_start_keeps_nobody_from_running() -> Result<()> {
    for services in [
        json!({ "a": relay(), "b": { "component": "b.wasm" } }),
        json!({ "b": { "component": "b.wasm" } }),
    ] {
        let home = Home::new(&["relay"]).await?;
        home.configure(services.clone(), json!({}))?;
        let host = home.start(&[])?;
        let mut client = home.client().await?;
        let said = host.output().says(0, "b.wasm: No such file").await?;
        assert!(
            said.contains("ERROR") && said.contains("service=b"),
            "{said}"
        );
        host.output().says(0, "running").await?;
        if services.get("a").is_some() {
            online(&mut client, "a").await?;
            relays(&mut client, "a").await?;
        }
        home.write("b.wasm", guests::component("relay")?)?;
        online(&mut client, "b").await?;
        relays(&mut client, "b").await?;
        assert_eq!(host.output().count("b.wasm: No such file"), 1);
        stop(host).await?;
    }

    Ok(())
}

#[tokio::test]
async fn a_missing_secret_stops_only_its_service() -> Result<()> {
    let home = Home::new(&["relay", "contract-config"]).await?;
    let secret = json!({ "component": "contract-config.wasm", "key": { "from_file": "key" } });
    home.configure(json!({ "b": secret, "a": relay() }), json!({}))?;
    let host = home.start(&[])?;
    let mut client = home.client().await?;
    online(&mut client, "a").await?;
    relays(&mut client, "a").await?;
    host.output().says(0, "running").await?;
    assert_eq!(
        host.output().count("services.b.key.from_file: cannot read"),
        1,
        "{}",
        host.output().told("the secret")
    );

    let line = host.output().lines().len();
    home.write("key", "\u{feff}geheim\r\n")?;
    host.output().says(line, "is in force").await?;
    assert_eq!(
        client.expect("service/b/config_at_start").await?.json()?["key"],
        "geheim"
    );
    relays(&mut client, "a").await?;
    stop(host).await
}

#[tokio::test]
async fn missing_files_of_the_host_are_awaited_at_start() -> Result<()> {
    let users = vec![("anna".to_owned(), "geheim".to_owned())];
    let home = Home::with(
        &["relay"],
        &mosquitto::Setup {
            users,
            ..mosquitto::Setup::default()
        },
    )
    .await?;
    home.configure(
        json!({ "a": relay() }),
        json!({ "auth": { "username": "anna", "password_file": "password" } }),
    )?;
    // to look at, it is an error
    let shown = home.say(&["config"]).await?;
    assert!(
        shown.code == Some(1) && shown.err.contains("auth.password_file: cannot read"),
        "{shown:?}"
    );
    // it can be stopped while it waits
    let host = home.start(&[])?;
    host.output()
        .says(0, "auth.password_file: cannot read")
        .await?;
    host.output()
        .says(0, "nothing runs before that is mended")
        .await?;
    stop(host).await?;
    let host = home.start(&[])?;
    host.output()
        .says(0, "nothing runs before that is mended")
        .await?;
    home.write("password", "")?;
    host.output().says(0, "password is empty").await?;
    home.write("password", "geheim\n")?;
    host.output().says(0, "connected to").await?;
    assert_eq!(
        host.output().count("cannot read"),
        1,
        "{}",
        host.output().told("what is missing")
    );

    stop(host).await
}

#[tokio::test]
async fn a_service_starts_when_its_directory_appears() -> Result<()> {
    let home = Home::new(&["relay"]).await?;
    let grants = json!({ "directories": [{ "path": "mounted/data", "guest": "/data" }] });
    let limits = json!({ "backoff": { "min": "1h", "max": "1h" } });
    let granted = json!({ "component": "relay.wasm", "grants": grants, "limits": limits });
    home.configure(json!({ "a": relay(), "b": granted }), json!({}))?;
    let host = home.start(&[])?;
    let mut client = home.client().await?;
    online(&mut client, "a").await?;
    host.output().says(0, "grants.directories: ").await?;
    host.output().says(0, "running").await?;
    std::fs::create_dir_all(home.path("mounted/data"))?;
    online(&mut client, "b").await?;
    relays(&mut client, "b").await?;
    stop(host).await
}

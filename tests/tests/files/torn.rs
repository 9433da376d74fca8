//! Files that were cut while they were written, hold zeroes, or are written slowly: running services
//! continue, and one line gives the reason.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use miqro_tests::{Host, guests};
use serde_json::json;

use super::home::{Home, online, relays, stop};

#[tokio::test]
async fn a_torn_or_empty_configuration_ends_no_service() -> Result<()> {
    let home = Home::new(&["relay"]).await?;
    let services =
        json!({ "a": { "component": "relay.wasm" }, "b": { "component": "relay.wasm" } });
    let good = serde_json::to_string_pretty(&home.config(services.clone(), json!({})))?;
    home.write("miqro.yml", &good)?;
    let host = home.start(&[])?;
    let mut client = home.client().await?;
    online(&mut client, "b").await?;
    let at = good.find("\"b\": {").unwrap_or_default() + 6;
    let within = format!("{}\0{}", &good[..at], &good[at..]);
    let port = home.broker.port();
    for (text, why) in [
        (String::new(), "is empty"),
        ("# nothing\n".to_owned(), "is empty"),
        ("\0".repeat(good.len()), "nothing but NUL bytes"),
        (within, "U+0000 (NUL)"),
        (
            format!("{}{}", &good[..at], "\0".repeat(good.len() - at)),
            "U+0000 (NUL)",
        ),
        (
            format!("broker: {{host: 127.0.0.1, port: {port}}}\nservices:\n"),
            "services: is empty",
        ),
        (
            format!(
                "broker: {{host: “127.0.0.1”, port: {port}}}\nservices: {{a: {{component: relay.wasm}}}}\n"
            ),
            "typographic",
        ),
    ] {
        let line = host.output().lines().len();
        home.replace("miqro.yml", &text)?;
        host.output()
            .says(line, "is refused, the running one stays")
            .await?;
        let said = host.output().lines()[line..].join("\n");
        assert!(said.contains(why), "{text:?}: {said}");
        for service in ["a", "b"] {
            relays(&mut client, service).await?;
        }
    }

    let line = host.output().lines().len();
    home.configure(services, json!({ "log_level": "DEBUG" }))?;
    host.output().says(line, "is in force").await?;
    stop(host).await
}

#[tokio::test]
async fn an_empty_configuration_starts_only_where_that_is_allowed() -> Result<()> {
    let home = Home::new(&["relay"]).await?;
    for (text, why) in [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("services:\n", "services: is empty"),
    ] {
        home.write("miqro.yml", text)?;
        let said = home.say(&["run", "relay.wasm"]).await?;
        assert!(
            said.code == Some(1) && said.err.contains("miqro.yml: "),
            "{text:?}: {said:?}"
        );
        assert!(
            said.err.contains(why) && said.err.contains("--allow-empty"),
            "{text:?}: {said:?}"
        );
        let said = home.say(&["run"]).await?;
        assert_eq!(said.code, Some(1), "{said:?}");
        let host = home.start(&["relay.wasm", "--allow-empty"])?;
        host.output().says(0, "running").await?;
        stop(host).await?;
    }

    std::fs::remove_file(home.path("miqro.yml"))?;
    let host = home.start(&["relay.wasm"])?;
    host.output().says(0, "running").await?;
    stop(host).await?;
    home.write("miqro.yml", "\0".repeat(1000))?;
    let said = home.say(&["run", "relay.wasm", "--allow-empty"]).await?;
    assert!(
        said.code == Some(1) && said.err.contains("nothing but NUL bytes"),
        "{said:?}"
    );
    Ok(())
}

#[tokio::test]
async fn services_with_one_component_are_kept_at_their_first_start() -> Result<()> {
    let home = Home::new(&["relay"]).await?;
    let names: Vec<String> = (0..8).map(|number| format!("s{number}")).collect();
    let mut services = json!({});
    for name in &names {
        // files of their own with the same bytes are compiled and kept at the same time
        home.write(&format!("{name}.wasm"), guests::component("relay")?)?;
        services[name] = json!({ "component": format!("{name}.wasm") });
    }
    home.configure(services, json!({}))?;
    let host = home.start(&[])?;
    let mut client = home.client().await?;
    online(&mut client, "s7").await?;
    stop(host).await?;
    let host = home.start(&[])?;
    host.output().says(0, "running").await?;
    assert_eq!(
        host.output().count("cannot be kept"),
        0,
        "{}",
        host.output().told("versions")
    );

    let kept = std::fs::read_dir(home.path("state/miqro-host"))?.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.to_string_lossy()
            .ends_with(".versions")
            .then_some(path)
    });

    let kept: Vec<_> = kept.flat_map(std::fs::read_dir).flatten().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    stop(host).await
}

/// Written piece by piece over the file that runs, with pauses in which it is looked at.
#[tokio::test]
async fn a_component_that_is_uploaded_slowly_costs_one_line() -> Result<()> {
    let host = Host::embedded()?
        .service("life", "contract-lifecycle", json!({}))
        .start()
        .await?;
    let whole = guests::lifecycle(2)?;
    let pieces = 15;
    let rest = whole.len() / 16;
    let line = host.output().lines().len();
    let mut file = std::fs::File::create(host.file("life"))?;
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    for piece in whole.chunks(rest).take(pieces) {
        file.write_all(piece)?;
        pace.tick().await;
    }
    host.output()
        .says(line, "the running version stays")
        .await?;
    file.write_all(&whole[pieces * rest..])?;
    host.output().says(line, "takes over").await?;
    assert_eq!(
        host.output().count("the running version stays"),
        1,
        "{}",
        host.output().told("the upload")
    );

    // one that stays half is said again when it was left alone
    let line = host.output().lines().len();
    let mut file = std::fs::File::create(host.file("life"))?;
    file.write_all(&whole[..rest])?;
    host.output()
        .says(line, "the running version stays")
        .await?;
    file.write_all(&whole[rest..2 * rest])?;
    host.output()
        .says(line, "(unchanged for 5s); the running version stays")
        .await?;
    Ok(())
}

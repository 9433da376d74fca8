//! Hot reload: a component file is replaced while messages flow. Nothing is lost, nothing is
//! answered twice, the connection stays; a file that cannot run does not replace the running
//! version.

use std::path::Path;

use anyhow::{Context, Result};
use miqro_tests::shim::Shim;
use miqro_tests::{Host, Mosquitto, Tally, guests};
use serde_json::json;

const SWAPS: u8 = 20;
/// Messages a second.
const RATE: u32 = 5_000;

#[tokio::test]
async fn twenty_swaps_under_load_lose_nothing_through_mosquitto() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut host = Host::on(broker.port())
        .broker("client_id", json!("swapped"))
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    swaps(&host).await?;
    let connections = broker
        .output()
        .lines()
        .into_iter()
        .filter(|line| line.contains(" swapped"));
    let connections: Vec<String> = connections.collect();
    assert_eq!(connections.len(), 1, "not one connection: {connections:#?}");
    assert!(
        connections[0].contains("New client connected from"),
        "{connections:?}"
    );
    assert!(host.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn twenty_swaps_under_load_lose_nothing_through_the_embedded_broker() -> Result<()> {
    let host = Host::embedded()?
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    swaps(&host).await
}

/// Swaps while every message is answered once over one connection.
async fn swaps(host: &Host) -> Result<()> {
    let mut tally = Tally::start(host.port(), "service/relay/in", "service/relay/out").await?;
    let load = tally.load(RATE).await?;
    let relay = guests::component("relay")?;
    for mark in 1..=SWAPS {
        // between two swaps messages flow
        tally.further(500).await?;
        replaced(host, "relay", |file| {
            rename(file, &guests::marked(&relay, mark))
        })
        .await?;
    }

    let sent = load.stop().await?;
    tally.each_once(sent).await?;
    let output = host.output();
    assert_eq!(
        output.count("takes over"),
        usize::from(SWAPS),
        "{}",
        output.told("swaps")
    );

    assert_eq!(
        output.count("connected to"),
        1,
        "{}",
        output.told("connections")
    );

    assert_eq!(
        output.count(" lost"),
        0,
        "{}",
        output.told("the connection was lost")
    );

    assert!(sent >= u32::from(SWAPS) * 500, "only {sent} messages");
    Ok(())
}

/// Changes the component file of `service` and waits until the new version takes over.
async fn replaced(
    host: &Host,
    service: &str,
    change: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let line = host.output().lines().len();
    change(&host.file(service))?;
    host.output().says(line, "takes over").await.map(drop)
}

/// Puts `bytes` into the place of `file`, as a build tool does.
fn rename(file: &Path, bytes: &[u8]) -> Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, bytes)?;
    Ok(std::fs::rename(new, file)?)
}

/// Makes `link` lead to `target`, at once.
fn relink(target: &Path, link: &Path) -> Result<()> {
    let new = link.with_file_name("link.new");
    std::os::unix::fs::symlink(target, &new)?;
    Ok(std::fs::rename(new, link)?)
}

/// The version of the guest `contract-lifecycle` that answers.
async fn running(host: &Host, version: u32) -> Result<()> {
    let mut client = host.client().await?;
    client.subscribe("service/life/worked", 1).await?;
    client.publish("service/life/work", "").await?;
    assert_eq!(
        client.expect("service/life/worked").await?.text(),
        guests::version(version)
    );
    Ok(())
}

/// A host with the guest `contract-lifecycle`, whose versions can be told apart.
async fn life() -> Result<Host> {
    let host = Host::embedded()?
        .service("life", "contract-lifecycle", json!({}))
        .start()
        .await?;
    running(&host, 1).await?;
    Ok(host)
}

#[tokio::test]
async fn a_file_that_is_renamed_over_the_old_one_takes_over() -> Result<()> {
    let host = life().await?;
    for version in 2..=4 {
        replaced(&host, "life", |file| {
            rename(file, &guests::lifecycle(version)?)
        })
        .await?;
        running(&host, version).await?;
    }

    Ok(())
}

#[tokio::test]
async fn a_file_that_is_rewritten_in_place_takes_over() -> Result<()> {
    let host = life().await?;
    for version in 2..=4 {
        replaced(&host, "life", |file| {
            Ok(std::fs::write(file, guests::lifecycle(version)?)?)
        })
        .await?;
        running(&host, version).await?;
    }

    Ok(())
}

#[tokio::test]
async fn a_changed_link_or_target_takes_over() -> Result<()> {
    let host = life().await?;
    let releases = tempfile::tempdir()?;
    let release = |number: u32| releases.path().join(number.to_string());
    for version in 2..=3 {
        std::fs::create_dir(release(version))?;
        std::fs::write(
            release(version).join("life.wasm"),
            guests::lifecycle(version)?,
        )?;
    }

    // the file becomes a link
    replaced(&host, "life", |file| {
        relink(&release(2).join("life.wasm"), file)
    })
    .await?;
    running(&host, 2).await?;
    // the link leads elsewhere
    replaced(&host, "life", |file| {
        relink(&release(3).join("life.wasm"), file)
    })
    .await?;
    running(&host, 3).await?;
    // its target is replaced by a rename, and rewritten in place
    replaced(&host, "life", |_| {
        rename(&release(3).join("life.wasm"), &guests::lifecycle(4)?)
    })
    .await?;
    running(&host, 4).await?;
    replaced(&host, "life", |_| {
        Ok(std::fs::write(
            release(3).join("life.wasm"),
            guests::lifecycle(5)?,
        )?)
    })
    .await?;
    running(&host, 5).await?;
    // a folder on the way is a link, and leads elsewhere
    relink(&release(3), &releases.path().join("current"))?;
    std::fs::write(release(2).join("life.wasm"), guests::lifecycle(6)?)?;
    replaced(&host, "life", |file| {
        relink(&releases.path().join("current").join("life.wasm"), file)?;
        relink(&release(2), &releases.path().join("current"))
    })
    .await?;
    running(&host, 6).await
}

#[tokio::test]
async fn an_invalid_file_does_not_replace_a_running_version() -> Result<()> {
    let host = life().await?;
    let whole = guests::lifecycle(2)?;
    let cases: [(&str, &[u8], &str); 7] = [
        ("text", b"this is no component\n", "text"),
        (
            "a page",
            b"<!doctype html><html><body>404</body></html>",
            "HTML",
        ),
        ("a core module", b"\0asm\x01\0\0\0", "core module"),
        ("an empty component", b"\0asm\x0d\0\x01\0", "handle"),
        ("nothing", b"", "empty"),
        ("half a file", &whole[..whole.len() / 2], "life.wasm"),
        ("a header", &whole[..8], "life.wasm"),
    ];

    for (what, bytes, why) in cases {
        let line = host.output().lines().len();
        rename(&host.file("life"), bytes)?;
        host.output()
            .says(line, "the running version stays")
            .await
            .context(what)?;
        let said = host.output().lines().split_off(line).join("\n");
        assert!(
            said.contains(why) && said.contains("life.wasm"),
            "{what}: {said}"
        );
        running(&host, 1).await.context(what)?;
    }

    replaced(&host, "life", |file| rename(file, &whole)).await?;
    running(&host, 2).await
}

#[tokio::test]
async fn a_half_written_file_takes_over_when_complete() -> Result<()> {
    use std::io::Write;
    let host = life().await?;
    let whole = guests::lifecycle(2)?;
    let (first, rest) = whole.split_at(whole.len() / 2);
    let line = host.output().lines().len();
    let mut file = std::fs::File::create(host.file("life"))?;
    file.write_all(first)?;
    host.output()
        .says(line, "the running version stays")
        .await?;
    running(&host, 1).await?;
    replaced(&host, "life", |_| Ok(file.write_all(rest)?)).await?;
    running(&host, 2).await
}

#[tokio::test]
async fn a_deleted_file_leaves_the_service_running() -> Result<()> {
    let host = life().await?;
    let line = host.output().lines().len();
    std::fs::remove_file(host.file("life"))?;
    host.output()
        .says(line, "the running version stays")
        .await?;
    running(&host, 1).await?;
    replaced(&host, "life", |file| {
        Ok(std::fs::write(file, guests::lifecycle(2)?)?)
    })
    .await?;
    running(&host, 2).await
}

#[tokio::test]
async fn a_switch_of_data_as_kubernetes_does_it_takes_over_every_time() -> Result<()> {
    let host = life().await?;
    let folder = host.folder().to_owned();
    let switch = |version: u32| {
        let name = format!("..2026_{version}");
        std::fs::create_dir(folder.join(&name))?;
        std::fs::write(
            folder.join(&name).join("life.wasm"),
            guests::lifecycle(version)?,
        )?;
        relink(Path::new(&name), &folder.join("..data"))
    };

    replaced(&host, "life", |file| {
        switch(2)?;
        relink(Path::new("..data/life.wasm"), file)
    })
    .await?;
    for version in 3..=5 {
        replaced(&host, "life", |_| switch(version)).await?;
        running(&host, version).await?;
        std::fs::remove_dir_all(folder.join(format!("..2026_{}", version - 1)))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_directory_that_is_replaced_takes_over_and_is_watched() -> Result<()> {
    let releases = tempfile::tempdir()?;
    let guests_folder = releases.path().join("guests");
    let next = releases.path().join("next");
    std::fs::create_dir(&guests_folder)?;
    std::fs::write(guests_folder.join("life.wasm"), guests::lifecycle(1)?)?;
    let component = json!({ "component": guests_folder.join("life.wasm") });
    let host = Host::embedded()?
        .top("services", json!({ "life": component }))
        .spawn()?;
    host.output().says(0, "running").await?;
    for version in 2..=4 {
        replaced(&host, "life", |_| {
            std::fs::create_dir(&next)?;
            std::fs::write(next.join("life.wasm"), guests::lifecycle(version)?)?;
            std::fs::rename(&guests_folder, releases.path().join(version.to_string()))?;
            Ok(std::fs::rename(&next, &guests_folder)?)
        })
        .await?;
        running(&host, version).await?;
    }

    // one that is deleted and made again
    let line = host.output().lines().len();
    std::fs::remove_dir_all(&guests_folder)?;
    host.output()
        .says(line, "the running version stays")
        .await?;
    replaced(&host, "life", |_| {
        std::fs::create_dir(&guests_folder)?;
        Ok(std::fs::write(
            guests_folder.join("life.wasm"),
            guests::lifecycle(5)?,
        )?)
    })
    .await?;
    running(&host, 5).await
}

/// Files are checked if the operating system no longer watches them (its limits are shared by all programs of a user).
#[tokio::test]
async fn a_host_that_may_not_watch_says_so_and_looks() -> Result<()> {
    const REFUSES: &str = "#include <errno.h>\nint inotify_init1(int flags) { (void)flags; errno = EMFILE; return -1; }";
    let shim = Shim::compile(REFUSES).await?;
    let host = Host::embedded()?
        .top("watch_interval", json!("50ms"))
        .service("life", "contract-lifecycle", json!({}))
        .through(&shim.launcher(shim.folder()))
        .start()
        .await?;

    let said = host.output().says(0, "cannot watch").await?;
    assert!(
        said.contains("WARN") && said.contains("watch_interval"),
        "{said}"
    );
    for version in 2..=3 {
        replaced(&host, "life", |file| {
            rename(file, &guests::lifecycle(version)?)
        })
        .await?;
        running(&host, version).await?;
    }

    // the configuration is looked at too
    let mut config = host.config();
    config["log_level"] = json!("DEBUG");
    host.reconfigured(&config).await?;
    // once for the components, once for the configuration
    assert_eq!(
        host.output().count("cannot watch"),
        2,
        "{}",
        host.output().told("refusals")
    );

    Ok(())
}

#[tokio::test]
async fn a_version_that_does_not_start_leaves_the_old_one_running() -> Result<()> {
    let section = json!({ "refuse_start": "not today" });
    let host = Host::embedded()?
        .service("relay", "relay", section)
        .start()
        .await?;
    let line = host.output().lines().len();
    host.replace("relay", &guests::component("contract-lifecycle")?)?;
    let said = host.output().says(line, "did not start").await?;
    assert!(
        said.contains("not today") && said.contains("relay"),
        "{said}"
    );
    let mut client = host.client().await?;
    client.subscribe("service/relay/#", 1).await?;
    client.publish("service/relay/in", "still here").await?;
    assert_eq!(
        client.expect("service/relay/out").await?.text(),
        "still here"
    );
    // online did not change, and the refused version had no effect
    let topics: Vec<String> = client
        .pending()
        .await?
        .into_iter()
        .map(|message| message.topic)
        .collect();

    assert_eq!(topics, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_new_version_has_its_own_subscriptions() -> Result<()> {
    let host = Host::embedded()?
        .service("life", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/life/out", 1).await?;
    client.publish("service/life/in", "old").await?;
    assert_eq!(client.expect("service/life/out").await?.text(), "old");
    replaced(&host, "life", |file| rename(file, &guests::lifecycle(2)?)).await?;
    running(&host, 2).await?;
    // the guest `contract-lifecycle` would answer on any topic that it gets
    client.subscribe("service/life/worked", 1).await?;
    client.publish("service/life/in", "nobody").await?;
    client.publish("service/life/work", "").await?;
    assert_eq!(
        client.expect("service/life/worked").await?.text(),
        guests::version(2)
    );
    assert_eq!(client.pending().await?, []);
    Ok(())
}

#[tokio::test]
async fn a_swap_leaves_no_gap_in_online() -> Result<()> {
    let host = life().await?;
    let mut client = host.client().await?;
    client.subscribe("service/life/stopped", 1).await?;
    client.subscribe("service/life/started", 1).await?;
    assert_eq!(
        client.expect("service/life/started").await?.text(),
        guests::FIRST_VERSION
    );
    client.subscribe("service/life/online", 1).await?;
    assert_eq!(client.expect("service/life/online").await?.text(), "1");
    replaced(&host, "life", |file| rename(file, &guests::lifecycle(2)?)).await?;
    let mut told = Vec::new();
    while told.len() < 2 {
        let message = client.next().await?;
        told.push((message.topic.clone(), message.text()));
    }
    let stopped = ("service/life/stopped".to_owned(), guests::version(1));
    assert_eq!(
        told,
        [
            stopped,
            ("service/life/started".to_owned(), guests::version(2))
        ]
    );

    running(&host, 2).await?;
    assert_eq!(client.pending().await?, [], "online changed");
    Ok(())
}

#[tokio::test]
async fn one_file_of_two_services_is_replaced_in_both() -> Result<()> {
    let section = json!({ "component": "life.wasm" });
    let host = Host::embedded()?
        .service("life", "contract-lifecycle", section.clone())
        .top("services", json!({ "life": section, "twin": section }))
        .start()
        .await?;
    let line = host.output().lines().len();
    host.replace("life", &guests::lifecycle(2)?)?;
    for service in ["life", "twin"] {
        let wanted = |said: &str| {
            said.contains("takes over") && said.contains(&format!("service={service}"))
        };
        host.output().wait_from(line, service, wanted).await?;
        let mut client = host.client().await?;
        client
            .subscribe(&format!("service/{service}/worked"), 1)
            .await?;
        client
            .publish(&format!("service/{service}/work"), "")
            .await?;
        assert_eq!(client.next().await?.text(), guests::version(2), "{service}");
    }

    Ok(())
}

//! The web page in real Chromium, with three services on mosquitto. Its pictures stay in the folder `pictures` beside the built tests.

mod deployments;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use miqro_tests::deadline::Deadline;
use miqro_tests::probe::{self, assert_works};
use miqro_tests::process::Process;
use miqro_tests::{Host, Mosquitto, guests, place};
use serde_json::{Value, json};

/// A browser takes long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// The section `web` with a reader and an operator by token, and a reader by password.
fn web(port: u16) -> Value {
    let tokens = json!([
        {"name": "reader", "token": "read-0123456789abcdef"},
        {"name": "anna", "role": "operate", "token": "operate-0123456789abcdef"},
    ]);
    // "correct horse battery staple"
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$vXXDYXaKd0lzPzCGbsiSwA$G1RL/Q4p0PFrWjLB69O0lZoiN/Q3e0v14REPTIFEeIk";
    let users = json!([{"name": "otto", "password_hash": hash}]);
    json!({"listen": format!("127.0.0.1:{port}"), "tokens": tokens, "users": users})
}

/// A host with the services `echo` and `chain`, which hand messages on, and `faulty`, which has given up two.
async fn served(broker: &Mosquitto) -> Result<(Host, u16)> {
    let port = place::free_port()?;
    let filter = |filter: &str| json!([{"filter": filter, "qos": 1, "global": true}]);
    let host = Host::on(broker.port())
        .service(
            "chain",
            "relay",
            json!({"subscriptions": filter("service/echo/out")}),
        )
        .service("echo", "relay", json!({"subscriptions": filter("in/+")}))
        .service(
            "faulty",
            "contract-faulty",
            json!({"limits": {"attempts": 1}}),
        )
        .top("web", web(port))
        .start()
        .await?;

    let mut client = host.client().await?;
    client.subscribe("service/faulty/dead-letter", 1).await?;
    for _ in 0..2 {
        client.publish("service/faulty/work", "fail").await?;
        client.expect("service/faulty/dead-letter").await?;
    }
    Ok((host, port))
}

/// The command that operates the page.
fn step(name: &str, port: u16) -> Result<Command> {
    let pictures = pictures()?;
    let mut command = Command::new("node");
    command
        .arg(place::project().join("tests/browser/page.mjs"))
        .arg(place::browser()?)
        .arg(format!("http://localhost:{port}/"))
        .arg(pictures)
        .arg(name);

    Ok(command)
}

fn pictures() -> Result<PathBuf> {
    let folder = place::release()?.join("pictures");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Runs a step, which says nothing when everything is as expected.
async fn passes(name: &str, port: u16) -> Result<()> {
    finishes(step(name, port)?).await
}

/// Runs the command of a step.
async fn finishes(mut step: Command) -> Result<()> {
    let mut running = Process::start(&mut step)?;
    Deadline::after(PATIENCE)
        .wait("the end of the browser", running.output().closed())
        .await
        .with_context(|| running.output().lines().join("\n"))?;
    let said = running.output().lines().join("\n");
    assert!(
        running.ended().await?.success() && said.is_empty(),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn login_sets_a_cookie_that_scripts_cannot_read() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (_host, port) = served(&broker).await?;
    passes("login", port).await
}

#[tokio::test]
async fn pages_show_live_services_and_work_with_the_keyboard() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (_host, port) = served(&broker).await?;
    passes("pages", port).await?;
    for name in ["overview", "services"] {
        let picture = pictures()?.join(format!("{name}.png"));
        assert!(std::fs::metadata(&picture)?.len() > 10_000, "{picture:?}");
    }
    Ok(())
}

#[tokio::test]
async fn topics_and_payloads_that_are_markup_stay_text() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (_host, port) = served(&broker).await?;
    passes("messages", port).await
}

#[tokio::test]
async fn commands_of_the_page_are_carried_out_and_audited() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (host, port) = served(&broker).await?;
    passes("commands", port).await?;
    for said in [
        "deletion of dead letter",
        "replay of",
        "restart of",
        "disable of",
        "enable of",
    ] {
        host.output()
            .wait_for(said, |line| {
                line.contains(said) && line.contains("by \"anna\"")
            })
            .await?;
    }

    Ok(())
}

#[tokio::test]
async fn state_is_shown_and_versions_go_back_and_forth_by_buttons() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let port = place::free_port()?;
    let setup = Host::on(broker.port()).top("web", web(port));
    let (host, mut client) = probe::start(setup, json!({})).await?;
    assert_works(&mut client, 1, 1, 1).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    assert_works(&mut client, 2, 2, 2).await?;

    passes("versions", port).await?;
    assert_works(&mut client, 2, 2, 2).await?;
    for said in ["state of", "rollback of", "update of"] {
        host.output()
            .wait_for(said, |line| {
                line.contains(said) && line.contains("by \"anna\"")
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn readers_see_everything_on_a_dark_phone_and_change_nothing() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (host, port) = served(&broker).await?;
    passes("reader", port).await?;
    assert_eq!(host.output().count("audit: "), 0);
    Ok(())
}

#[tokio::test]
async fn page_survives_a_host_that_is_started_again() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (mut host, port) = served(&broker).await?;
    let mut page = Process::start(&mut step("stopped", port)?)?;
    says(&page, "ready").await?;
    host.kill()?;
    says(&page, "stopped").await?;
    host.restart()?;
    Deadline::after(PATIENCE)
        .wait("the end of the browser", page.output().closed())
        .await?;
    let said = page.output().lines().join("\n");
    assert!(page.ended().await?.success(), "{said}");
    Ok(())
}

/// Waits until the browser prints a word.
async fn says(page: &Process, word: &str) -> Result<()> {
    Deadline::after(PATIENCE)
        .wait(word, async {
            while page
                .output()
                .wait_for(word, |line| line == word)
                .await
                .is_err()
            {
                anyhow::ensure!(page.children().is_ok(), "the browser has ended");
            }

            Ok(())
        })
        .await?
}

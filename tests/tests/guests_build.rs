//! Every guest builds with plain `cargo build --target wasm32-wasip2` and with `cargo component
//! build`, and the host accepts both results.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::host::{self, Host};
use miqro_tests::{Mosquitto, place};
use serde_json::{Value, json};

#[test]
fn plain_cargo_builds_what_the_host_accepts() -> Result<()> {
    let folder = place::project().join("guests");
    guests()?
        .iter()
        .try_for_each(|guest| check(&folder.join(guest).with_extension("wasm")))
}

#[tokio::test]
async fn cargo_component_builds_what_the_host_accepts() -> Result<()> {
    let built = cargo_component()?;
    // cargo names a file as the crate is named in Rust
    guests()?
        .iter()
        .try_for_each(|guest| check(&built.join(guest.replace('-', "_")).with_extension("wasm")))?;

    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("echo", "echo", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/echo/echo_response", 1).await?;
    host.replace("echo", &std::fs::read(built.join("echo.wasm"))?)?;
    host.output()
        .wait_for("the new component runs", |line| {
            line.contains("echo") && line.contains("takes over")
        })
        .await?;
    client.publish("service/echo/echo", "hello").await?;
    assert_eq!(client.next().await?.text(), "hello");
    Ok(())
}

/// Runs `miqro-host check` on a component.
fn check(component: &Path) -> Result<()> {
    let output = host::command()?.arg("check").arg(component).output()?;
    let said =
        || String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    ensure!(
        output.status.success(),
        "{} is refused:\n{}",
        component.display(),
        said()
    );

    Ok(())
}

/// Builds all guests; returns the folder with the components.
fn cargo_component() -> Result<PathBuf> {
    let folder = place::project().join("guests").canonicalize()?;
    // the folder of `make guests`, so that common parts are built once
    let target = match std::env::var_os("CARGO_TARGET_DIR").filter(|target| !target.is_empty()) {
        Some(target) => std::path::absolute(place::project().join(target))?.join("guests"),
        None => folder.join("target"),
    };
    let mut command = Command::new(place::cargo_component()?);
    command
        .args(["component", "build", "--release", "--locked"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target);
    let output = command.output().context("cargo component")?;
    ensure!(
        output.status.success(),
        "cargo component build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(target.join("wasm32-wasip1/release"))
}

/// The names of all guests.
fn guests() -> Result<Vec<String>> {
    let arguments = [
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ];

    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(place::project().join("guests"))
        .output()?;
    let workspace: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = workspace["packages"]
        .as_array()
        .context("no packages")?
        .iter();
    let guests: Vec<String> = packages
        .filter(|package| package["targets"][0]["crate_types"] == json!(["cdylib"]))
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect();
    ensure!(
        guests.iter().any(|guest| guest == "echo"),
        "the guests are not found: {guests:?}"
    );
    Ok(guests)
}

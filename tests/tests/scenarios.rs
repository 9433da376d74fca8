//! Scenario files, as `miqro-host test` plays them.

use anyhow::{Result, ensure};
use miqro_tests::process::{Said, run_to_end};
use miqro_tests::{guests, host};
use tempfile::TempDir;

/// Plays a scenario with a guest that answers `echo`, and whose loop runs at the start and every ten seconds.
async fn play(scenario: &str) -> Result<Said> {
    let folder = TempDir::new()?;
    std::fs::write(
        folder.path().join("it.wasm"),
        guests::component("echo-sdk")?,
    )?;
    std::fs::write(folder.path().join("it.yml"), scenario)?;
    let mut command = host::command()?;
    command
        .current_dir(folder.path())
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .args(["test", "it.wasm", "it.yml"]);
    run_to_end(&mut command).await
}

#[tokio::test]
async fn loops_that_run_at_the_start_are_due_in_a_step_of_its_own() -> Result<()> {
    let said = play(
        "scenario: the loop at the start
steps:
  - then: {publishes: [{topic: foo, payload: bar}, {topic: foofoo}]}
  - then: {publishes: []}
  - message: echo
    payload: hello
    then: {publishes: [{topic: echo_response, payload: hello}]}
  - advance: 10s
    then: {publishes: [{topic: foo}, {topic: foofoo}]}
  - event: restart
  - then: {publishes: [{topic: foo}, {topic: foofoo}]}
",
    )
    .await?;

    ensure!(said.code == Some(0), "{}{}", said.out, said.err);
    Ok(())
}

#[tokio::test]
async fn a_step_with_an_event_leaves_loops_to_the_time_that_passes() -> Result<()> {
    let said = play(
        "scenario: a message before the loop
steps:
  - message: echo
    payload: hello
    then: {publishes: [{topic: echo_response, payload: hello}]}
  - advance: 0s
    then: {publishes: [{topic: foo}, {topic: foofoo}]}
  - event: restart
  - advance: 10s
    then: {publishes: [{topic: foo}, {topic: foofoo}, {topic: foo}, {topic: foofoo}]}
",
    )
    .await?;

    ensure!(said.code == Some(0), "{}{}", said.out, said.err);
    Ok(())
}

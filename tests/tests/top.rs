//! `miqro-host top` in a real terminal, that of tmux.

use anyhow::Result;
use miqro_tests::process::run_to_end;
use miqro_tests::{Host, Terminal, host};
use serde_json::json;

#[tokio::test]
async fn top_shows_services_and_restarts_and_switches_the_selected_one() -> Result<()> {
    let mut host = Host::embedded()?
        .service("first", "relay", json!({}))
        .service("second", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/second/out", 1).await?;

    let terminal = Terminal::run(&host, "top")?;
    terminal.shows("connected").await?;
    terminal.shows("first                running").await?;
    client.publish("service/second/in", "hello").await?;
    client.next().await?;

    terminal.press(&["j", "r"])?;
    terminal.shows("restart second? y for yes").await?;
    terminal.press(&["y"])?;
    terminal.shows("was started again").await?;
    host.output()
        .wait_for("the audit line", |line| {
            line.contains("audit") && line.contains("restart of \"second\"")
        })
        .await?;

    terminal.press(&["e"])?;
    terminal.shows("switch off second? y for yes").await?;
    terminal.press(&["y"])?;
    terminal.shows("second               off").await?;

    terminal.press(&["/", "f", "i", "Enter"])?;
    let is_filtered = |picture: &str| !picture.contains("second   ");
    terminal.settles("the filter", is_filtered).await?;

    host.stop().await?;
    terminal
        .shows("the host does not answer: no host runs")
        .await?;
    host.restart()?;
    terminal.shows("q end   s sort").await?;
    terminal.press(&["q"])?;
    terminal.shows("ended with 0").await?;
    Ok(())
}

#[tokio::test]
async fn top_needs_a_terminal() -> Result<()> {
    let said = run_to_end(host::command()?.arg("top")).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("expected a terminal"), "{said:?}");
    Ok(())
}

//! `miqro-host top` in a real terminal, that of tmux.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::process::run_to_end;
use miqro_tests::{Deadline, Host, host};
use serde_json::json;

/// A terminal in which a program runs. It ends when this is dropped.
struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    /// Runs `miqro-host top` for a host, in a terminal of 120 columns and 12 lines.
    fn top(of: &Host) -> Result<Self> {
        let terminal = Self {
            folder: tempfile::TempDir::new()?,
        };
        let program = host::command()?.get_program().to_owned();
        let program = Path::new(&program).display();
        let folder = of.folder().display();
        // the terminal stays after the end of the program, so that its last words can be read
        let line = format!(
            "cd {folder}; XDG_STATE_HOME={folder}/state {program} top; echo ended with $?; exec sleep 600"
        );
        terminal.tmux(&["new-session", "-d", "-x", "120", "-y", "12", &line])?;
        Ok(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let said = Command::new("tmux")
            .arg("-f/dev/null")
            .arg("-S")
            .arg(self.folder.path().join("socket"))
            .args(arguments)
            .env("TERM", "xterm-256color")
            .output()
            .context("tmux is not installed: make setup-tests")?;
        ensure!(said.status.success(), "{arguments:?}: {said:?}");
        Ok(String::from_utf8(said.stdout)?)
    }

    /// Waits until the terminal shows a text.
    async fn shows(&self, text: &str) -> Result<()> {
        let shown = async {
            loop {
                let picture = self.tmux(&["capture-pane", "-p"])?;
                if picture.contains(text) {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        };
        Deadline::new()
            .wait(text, shown)
            .await
            .with_context(|| self.tmux(&["capture-pane", "-p"]).unwrap_or_default())?
    }

    fn press(&self, keys: &[&str]) -> Result<()> {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.tmux(&arguments).map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.tmux(&["kill-server"]);
    }
}

#[tokio::test]
async fn top_shows_services_and_restarts_and_switches_the_selected_one() -> Result<()> {
    let mut host = Host::embedded()?
        .service("first", "relay", json!({}))
        .service("second", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/second/out", 1).await?;

    let terminal = Terminal::top(&host)?;
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
    let deadline = Deadline::new();
    deadline
        .wait("the filter", async {
            while terminal
                .tmux(&["capture-pane", "-p"])?
                .contains("second   ")
            {
                tokio::task::yield_now().await;
            }
            anyhow::Ok(())
        })
        .await??;

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

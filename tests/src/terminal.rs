//! A real terminal, that of tmux, in which a program of the host runs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{Deadline, Host, host};

/// A terminal of 120 columns and 12 lines. It ends when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    folder: TempDir,
}

impl Terminal {
    /// Runs `miqro-host` in the folder of a host, with `arguments` as a shell reads them.
    ///
    /// # Errors
    /// When tmux is not installed, or does not start.
    pub fn run(of: &Host, arguments: &str) -> Result<Self> {
        let terminal = Self {
            folder: TempDir::new()?,
        };
        let program = host::command()?.get_program().to_owned();
        let program = Path::new(&program).display();
        let folder = of.folder().display();
        // the terminal stays after the end of the program, so that its last words can be read
        let line = format!(
            "cd {folder}; XDG_STATE_HOME={folder}/state {program} {arguments}; echo ended with $?; exec sleep 600"
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

    /// The text that it shows.
    ///
    /// # Errors
    /// When it has ended.
    pub fn picture(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until it shows a text.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn shows(&self, text: &str) -> Result<()> {
        self.settles(text, |picture| picture.contains(text)).await
    }

    /// Waits until `is_it` accepts its text.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn settles(&self, event: &str, is_it: impl Fn(&str) -> bool) -> Result<()> {
        let settled = async {
            while !is_it(&self.picture()?) {
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        Deadline::new()
            .wait(event, settled)
            .await
            .with_context(|| self.picture().unwrap_or_default())?
    }

    /// Presses keys, by the names that tmux has for them.
    ///
    /// # Errors
    /// When it has ended.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys"], keys].concat()).map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.tmux(&["kill-server"]);
    }
}

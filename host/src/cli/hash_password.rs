//! `miqro-host hash-password`: hashes a password for `web.users`.

use std::io::{BufRead, IsTerminal, stdin};
use std::process::ExitCode;

use anyhow::{Context, ensure};

use super::print::print_line;
use crate::password::PasswordHash;

/// Passwords of fewer characters can be guessed.
const SHORTEST: usize = 8;

/// Arguments of `hash-password`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  miqro-host hash-password > /etc/miqro-host/anna.hash

The password is asked for twice on a terminal; otherwise it is the first line of standard input.")]
pub(super) struct HashPassword {}

impl HashPassword {
    /// Reads a password and prints its hash.
    #[allow(clippy::unused_self)]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let password = if stdin().is_terminal() {
            let password = rpassword::prompt_password("Password: ")?;
            let again = rpassword::prompt_password("Again: ")?;
            ensure!(password == again, "expected the same password twice");
            password
        } else {
            let mut line = String::new();
            stdin()
                .lock()
                .read_line(&mut line)
                .context("standard input")?;
            line.trim_end_matches(['\n', '\r']).to_owned()
        };

        let length = password.chars().count();
        ensure!(
            length >= SHORTEST,
            "expected a password of at least {SHORTEST} characters, found {length}"
        );
        print_line(PasswordHash::of(&password)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

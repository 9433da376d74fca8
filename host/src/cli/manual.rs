//! `miqro-host manual`: writes the manual pages, for packages.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

/// Arguments of `manual`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  miqro-host manual /usr/local/share/man/man1")]
pub(super) struct Manual {
    /// The directory, created when it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Manual {
    /// Writes one page for `command` and one for each of its commands.
    pub(super) fn run(self, command: clap::Command) -> anyhow::Result<ExitCode> {
        std::fs::create_dir_all(&self.directory)
            .and_then(|()| clap_mangen::generate_to(command, &self.directory))
            .with_context(|| format!("cannot write to {}", self.directory.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

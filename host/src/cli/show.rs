//! `miqro-host config`: prints the effective configuration as YAML, with defaults and without secrets.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::print::{print, print_error};
use crate::config::{Config, Selection};

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host config                         effective settings of ./miqro.yml or /etc/miqro.yml
  miqro-host config --config home.yml a.wasm  as `run` would see it with the same arguments
  miqro-host config --reference             every key with its meaning and default, as Markdown")]
pub(super) struct Show {
    /// Component files, as for `run`
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Print the reference of all keys as Markdown instead
    #[arg(long, conflicts_with = "files")]
    reference: bool,
}

impl Show {
    /// Prints the configuration.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        if self.reference {
            print(Config::reference())?;
            return Ok(ExitCode::SUCCESS);
        }

        let selection = if self.files.is_empty() {
            Selection::All
        } else {
            Selection::Run(&self.files)
        };
        let loaded = Config::load(config, selection)?;
        for warning in &loaded.warnings {
            print_error(format_args!("warning: {warning}"));
        }
        if let Some(blank) = loaded.blank {
            print_error(format_args!(
                "warning: {blank}; `run` does not start with it without --allow-empty"
            ));
        }
        let config = loaded.config;
        print(config.to_yaml())?;
        Ok(ExitCode::SUCCESS)
    }
}

//! `miqro-host install`: writes a systemd unit that runs the host.

mod unit;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::print::{print, print_line};
use super::values::unit_name;
use crate::app::Source;
use crate::config::Config;

use unit::{MARK, Unit};

const EXAMPLES: &str = "Examples:
  miqro-host install --config /etc/miqro.yml                     a unit that runs every service of the file
  miqro-host install /opt/echo.wasm --user miqro --stdout        the unit on standard output, nothing written

Write, reload and start:
  sudo miqro-host install && sudo systemctl daemon-reload && sudo systemctl enable --now miqro-host";

/// Arguments of `install`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Install {
    /// Component files, as for `run`
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// User to run as [default: a dynamic user of systemd]
    #[arg(long, value_name = "USER", value_parser = unit_name)]
    user: Option<String>,
    /// Let `deploy` replace component files: the unit may write to their folders
    #[arg(long, requires = "user")]
    deploy: bool,
    /// Name of the unit
    #[arg(long, value_name = "NAME", default_value = "miqro-host", value_parser = unit_name)]
    name: String,
    /// Directory for the unit
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    unit_directory: PathBuf,
    /// Print the unit and write nothing
    #[arg(long, visible_alias = "dry-run")]
    stdout: bool,
    /// Replace a unit that was not written by this command
    #[arg(long)]
    force: bool,
}

impl Install {
    /// Writes or prints the unit.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        // a configuration that cannot run is not installed
        let path = Config::find(config).map(std::path::absolute).transpose()?;
        let files = self
            .files
            .iter()
            .map(std::path::absolute)
            .collect::<Result<Vec<_>, _>>()?;
        let source = Source {
            path: path.clone(),
            files: files.clone(),
            allow_empty: false,
            web: None,
        };
        let loaded = source.accept(source.load()?)?;
        let program = std::env::current_exe().context("cannot find the path of the program")?;
        let unit = Unit {
            name: &self.name,
            program,
            config: path,
            files,
            named: loaded.named,
            user: self.user.as_deref(),
            deploy: self.deploy,
        };

        let text = unit.text(&loaded.config);
        if self.stdout {
            print(text)?;
            return Ok(ExitCode::SUCCESS);
        }

        let file = self.unit_directory.join(format!("{}.service", self.name));
        self.write(&file, &text)?;
        print_line(format_args!("wrote {}", file.display()))?;
        for hint in unit.hints(&loaded.config) {
            print_line(format_args!("note: {hint}"))?;
        }
        let name = &self.name;
        print_line(format_args!(
            "next:\n  systemctl daemon-reload\n  systemctl enable --now {name}\n  journalctl --follow --unit {name}"
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Replaces the unit by renaming, so that systemd never reads half of it.
    fn write(&self, file: &Path, text: &str) -> anyhow::Result<()> {
        match std::fs::read_to_string(file) {
            Ok(old) if !old.starts_with(MARK) && !self.force => {
                bail!(
                    "{} was not written by miqro-host install; --force replaces it, --name writes another",
                    file.display()
                )
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound && !self.force => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
            _ => {}
        }

        let new = file.with_extension("service.new");
        let written = std::fs::write(&new, text)
            .and_then(|()| std::fs::set_permissions(&new, PermissionsExt::from_mode(0o644)))
            .and_then(|()| std::fs::rename(&new, file));
        written.with_context(|| {
            format!(
                "cannot write {}; run this as root, or print it with --stdout",
                file.display()
            )
        })
    }
}

//! The options that name a host on another machine, and the choice between it and the hosts of this one.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::control::{Endpoint, Remote};

/// Variable with the URL of a host.
const URL: &str = "MIQRO_HOST_URL";
/// Variable with a token.
const TOKEN: &str = "MIQRO_HOST_TOKEN";

/// Options for a host on another machine.
#[derive(Debug, clap::Args)]
pub(super) struct RemoteOptions {
    /// URL of a running host whose HTTP API takes the command, as https://pi.example:8180 [env: MIQRO_HOST_URL]
    #[arg(id = "remote_url", long = "host", value_name = "URL")]
    url: Option<String>,
    /// File with the token for --host; the variable MIQRO_HOST_TOKEN may hold a token in its place
    #[arg(long, value_name = "FILE", env = "MIQRO_HOST_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// File with the certificates that --host may have, or that signed its certificate [default: the system's roots]
    #[arg(
        id = "remote_ca_file",
        long = "ca-file",
        value_name = "FILE",
        env = "MIQRO_HOST_CA_FILE"
    )]
    ca_file: Option<PathBuf>,
}

/// The hosts that a command may concern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hosts<'a> {
    /// The configuration that was named.
    pub(super) config: Option<&'a Path>,
    options: &'a RemoteOptions,
}

impl RemoteOptions {
    /// Whether the command line names a host. The variable does not concern commands without a host.
    pub(super) fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// The hosts for a command.
    pub(super) fn hosts<'a>(&'a self, config: Option<&'a Path>) -> Hosts<'a> {
        Hosts {
            config,
            options: self,
        }
    }
}

impl Hosts<'_> {
    /// The host on another machine; `None`: a host of this machine is meant. An option for the latter overrides the variable.
    ///
    /// # Errors
    /// When both are named, or the URL or the token cannot be used.
    pub(super) fn remote(&self, local: Option<&Path>) -> anyhow::Result<Option<Endpoint>> {
        let options = self.options;
        if let (Some(url), Some(file)) = (&options.url, local) {
            bail!(
                "expected --host or a file of this machine, found {url} and {}",
                file.display()
            );
        }

        let named = options.url.clone().or_else(|| variable(URL));
        let Some(url) = named.filter(|_| local.is_none()) else {
            return Ok(None);
        };
        let remote = Remote::new(&url, self.token()?.as_deref(), options.ca_file.clone());
        Ok(Some(Endpoint::Remote(Box::new(remote.context("--host")?))))
    }

    fn token(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.options.token_file else {
            return Ok(variable(TOKEN));
        };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("--token-file: {}", file.display()))?;
        Ok(Some(text.trim().to_owned()))
    }
}

/// The value of a variable, unless it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

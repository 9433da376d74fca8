//! The MQTT client of `pub` and `sub`: a new session, which fails where the host would retry for ever.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::config::{
    Broker, Config, Connection, Credentials, Level, LogFormat, Protocol, Selection, Transport,
};
use crate::logging::{self, Levels, Logs};
use crate::router::Router;
use crate::session::{ConnectionStatus, Handle, Session};

use super::url;
use super::values::{protocol, seconds};

/// The broker; without any of these options, that of the configuration.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Broker")]
pub(super) struct Client {
    /// Host name or address of the broker
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Port of the broker
    #[arg(long, value_name = "NUMBER")]
    port: Option<u16>,
    /// URL with mqtt, mqtts, ws or wss, such as mqtts://user:password@broker.example:8883
    #[arg(long, value_name = "URL", conflicts_with_all = ["host", "port"])]
    url: Option<String>,
    /// User name
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password; in the environment it is hidden from other users
    #[arg(
        long,
        value_name = "TEXT",
        env = "MIQRO_PASSWORD",
        hide_env_values = true,
        requires = "username"
    )]
    password: Option<String>,
    /// Protocol version: 5 or 3.1.1
    #[arg(long, value_name = "VERSION", value_parser = protocol)]
    protocol: Option<Protocol>,
    /// Client identifier [default: a random one]
    #[arg(short = 'i', long, value_name = "NAME")]
    client_id: Option<String>,
    /// Seconds to wait for the broker
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

impl Client {
    /// How long to wait for the broker.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Settings of the configuration, overridden by the command line, for a session that ends with the connection.
    ///
    /// # Errors
    /// When the configuration or the URL is invalid.
    pub(super) fn connection(
        &self,
        config: Option<&Path>,
        purpose: &str,
    ) -> anyhow::Result<Connection> {
        let (Broker::Embedded(_, connection) | Broker::Remote(connection)) =
            Config::load(config, Selection::All)?.config.broker;
        let mut connection = match &self.url {
            Some(text) => with_url(connection, text)?,
            None => connection,
        };
        connection.host = self.host.clone().unwrap_or(connection.host);
        connection.port = self.port.unwrap_or(connection.port);
        connection.session.protocol = self.protocol.unwrap_or(connection.session.protocol);
        if let Some(username) = self.username.clone() {
            connection.credentials = Some(Credentials {
                username,
                password: self.password.clone(),
            });
        }

        let random = || format!("miqro-{purpose}-{:08x}", fastrand::u32(..));
        connection.client_id = self.client_id.clone().unwrap_or_else(random);
        connection.session.clean_start = true;
        connection.session.session_expiry = Duration::ZERO;
        connection.session.connect_timeout = self.timeout;

        Ok(connection)
    }

    /// Connects, lets `work` use the session, and ends it when everything was acknowledged.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses the connection, `work` fails, or a message was refused or is left
    /// unacknowledged.
    pub(super) fn with_session<T>(
        &self,
        connection: Connection,
        work: impl AsyncFnOnce(&Handle) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no runtime")?;
        let peer = format!("{}:{}", connection.host, connection.port);
        let (session, handle) = Session::new(connection, None, Router::new());

        let mut logs = None;
        let working = self.work_and_stop(&handle, &peer, &mut logs, work);
        let (stopped, outcome) = runtime.block_on(async { tokio::join!(session.run(), working) });
        // a resolver that hangs is not waited for
        runtime.shutdown_background();
        drop(logs);

        let stopped = stopped?;
        let value = outcome?;
        if stopped.unsent > 0 {
            bail!(
                "{peer} did not acknowledge {} of the messages within {} s",
                stopped.unsent,
                self.timeout.as_secs_f64()
            );
        }

        if stopped.failures > 0 {
            bail!("{peer} did not take everything; see above");
        }
        Ok(value)
    }

    /// `logs`: kept until the session has ended.
    async fn work_and_stop<T>(
        &self,
        handle: &Handle,
        peer: &str,
        logs: &mut Option<Logs>,
        work: impl AsyncFnOnce(&Handle) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let outcome = match wait_until_connected(handle, peer).await {
            Ok(()) => {
                // from here on the session reconnects by itself, and logs that and refusals; it also works without a log
                let level = Levels::all(Level::Warning);
                *logs = logging::start(level, LogFormat::Text, None).ok();
                work(handle).await
            }
            Err(error) => Err(error),
        };

        let timeout = if outcome.is_ok() {
            self.timeout
        } else {
            Duration::ZERO
        };
        let deadline = Instant::now() + timeout;
        handle.stop(deadline);

        outcome
    }
}

/// Replaces the broker by that of a URL. The password of the configuration is not for that one.
fn with_url(connection: Connection, text: &str) -> anyhow::Result<Connection> {
    let url = url::parse(text).with_context(|| format!("--url {text}"))?;
    let default_port = match url.transport {
        Transport::Tcp => 1883,
        Transport::Tls => 8883,
        Transport::WebSocket(_) => 80,
        Transport::SecureWebSocket(_) => 443,
    };

    Ok(Connection {
        host: url.host,
        port: url.port.unwrap_or(default_port),
        transport: url.transport,
        credentials: url.credentials,
        ..connection
    })
}

/// Waits for the outcome of the first attempt to connect.
async fn wait_until_connected(handle: &Handle, peer: &str) -> anyhow::Result<()> {
    let mut status = handle.status();
    let first = status
        .wait_for(|status| !matches!(status, ConnectionStatus::Connecting))
        .await;

    match first.as_deref() {
        Ok(ConnectionStatus::Connected { .. }) => Ok(()),
        Ok(ConnectionStatus::Disconnected { reason }) => {
            bail!("cannot connect to {peer}: {reason}")
        }
        _ => bail!("cannot connect to {peer}"),
    }
}

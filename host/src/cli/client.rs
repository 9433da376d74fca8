//! Surface: what `pub` and `sub` have in common: a client of its own with a fresh session, which fails where the host would try for
//! ever. In: which broker, from the command line and the configuration. Out: the session, connected. Owns the session while the
//! command runs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::config::{
    Broker, Config, Connection, Credentials, Level, LogFormat, Protocol, Selection, Transport,
};
use crate::logging::{self, Levels};
use crate::router::Router;
use crate::session::{Command, ConnectionStatus, Handle, Session};

use super::url;

/// Which broker; without any of these the one of the configuration.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Broker")]
pub struct Client {
    /// Host name or address
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Port
    #[arg(long, value_name = "NUMBER")]
    port: Option<u16>,
    /// All in one: mqtt, mqtts, ws or wss, as in mqtts://user:password@broker.example:8883
    #[arg(long, value_name = "URL", conflicts_with_all = ["host", "port"])]
    url: Option<String>,
    /// User name
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password; better in the environment, where other users do not see it
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
    /// Client identifier; a random one otherwise
    #[arg(short = 'i', long, value_name = "NAME")]
    client_id: Option<String>,
    /// Seconds to wait for the broker
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "5" | "5.0" => Ok(Protocol::V5),
        "3.1.1" | "311" => Ok(Protocol::V311),
        _ => Err("accepted: 5, 3.1.1".to_owned()),
    }
}

/// Reads a number of seconds, with a fraction if need be.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "write a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Client {
    /// How long to wait for the broker.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The settings: the configuration's, with what the command line says, for a session that leaves nothing behind.
    ///
    /// # Errors
    /// What is wrong with the configuration or the URL.
    pub(super) fn connection(
        &self,
        config: Option<&Path>,
        purpose: &str,
    ) -> anyhow::Result<Connection> {
        let (Broker::Embedded(_, connection) | Broker::Remote(connection)) =
            Config::load(config, Selection::All)?.config.broker;
        let mut connection = match &self.url {
            Some(text) => self.elsewhere(connection, text)?,
            None => connection,
        };
        connection.host = self.host.clone().unwrap_or(connection.host);
        connection.port = self.port.unwrap_or(connection.port);
        connection.protocol = self.protocol.unwrap_or(connection.protocol);
        if let Some(username) = self.username.clone() {
            connection.credentials = Some(Credentials {
                username,
                password: self.password.clone(),
            });
        }
        let random = || format!("miqro-{purpose}-{:08x}", fastrand::u32(..));
        connection.client_id = self.client_id.clone().unwrap_or_else(random);
        connection.clean_start = true;
        connection.session_expiry = Duration::ZERO;
        connection.connect_timeout = self.timeout;
        Ok(connection)
    }

    /// The broker of a URL. The configuration's password is not for that one.
    fn elsewhere(&self, connection: Connection, text: &str) -> anyhow::Result<Connection> {
        let url = url::parse(text).with_context(|| format!("--url {text}"))?;
        let port = url.port.unwrap_or(match url.transport {
            Transport::Tcp => 1883,
            Transport::Tls => 8883,
            Transport::WebSocket(_) => 80,
            Transport::SecureWebSocket(_) => 443,
        });
        Ok(Connection {
            host: url.host,
            port,
            transport: url.transport,
            credentials: url.credentials,
            ..connection
        })
    }

    /// Connects, lets `work` use the session, and ends it when everything was acknowledged.
    ///
    /// # Errors
    /// The broker cannot be reached or refuses; `work` failed; something was refused or left unacknowledged.
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
        let timeout = self.timeout;
        let (session, handle) = Session::new(connection, None, Router::new());
        let mut logs = None;
        let use_it = async {
            let outcome = match connected(&handle, &peer).await {
                // From here on the session reconnects by itself, and says so; and what the broker refuses. Without a log it
                // works as well.
                Ok(()) => {
                    logs = logging::start(Levels::all(Level::Warning), LogFormat::Text, None).ok();
                    work(&handle).await
                }
                Err(error) => Err(error),
            };
            let patience = if outcome.is_ok() {
                timeout
            } else {
                Duration::ZERO
            };
            handle
                .send(Command::Stop {
                    deadline: Instant::now() + patience,
                })
                .await;
            outcome
        };
        let (ended, outcome) = runtime.block_on(async { tokio::join!(session.run(), use_it) });
        // a resolver that hangs is not waited for
        runtime.shutdown_background();
        drop(logs);
        let (ended, value) = (ended?, outcome?);
        if ended.unsent > 0 {
            bail!(
                "{peer} did not acknowledge {} of the messages within {} s",
                ended.unsent,
                timeout.as_secs_f64()
            );
        }
        if ended.failures > 0 {
            bail!("{peer} did not take everything; see above");
        }
        Ok(value)
    }
}

/// Waits for the outcome of the first attempt to connect.
async fn connected(handle: &Handle, peer: &str) -> anyhow::Result<()> {
    let mut status = handle.connection();
    let decided = status
        .wait_for(|status| !matches!(status, ConnectionStatus::Connecting))
        .await;
    match decided.as_deref() {
        Ok(ConnectionStatus::Connected { .. }) => Ok(()),
        Ok(ConnectionStatus::Disconnected { reason }) => {
            bail!("cannot connect to {peer}: {reason}")
        }
        _ => bail!("cannot connect to {peer}"),
    }
}

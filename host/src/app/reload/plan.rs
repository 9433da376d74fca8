//! The plan of a reload: the configuration is read again, compared with the running one, and everything that it changes is prepared.

use std::path::PathBuf;

use crate::config::{self, Blank, Broker, Config, Connection, Difference, Tls};
use crate::rollout::loader::Loader;
use crate::service::{self, Shared};
use crate::session::transport;
use crate::supervisor::reload::{AcceptedSection, PreparedSections, Ready, Running, prepare};

use super::error::ReloadError;
use crate::app::identity;
use crate::app::source::{Source, empty};

/// A new configuration, completely prepared.
pub(crate) struct Plan {
    /// The configuration.
    pub loaded: config::LoadedConfig,
    /// The differences to the running configuration.
    pub difference: Difference,
    /// Instances for the services that change and those that are new.
    pub ready: Vec<Ready>,
    /// Services whose running guest has taken over its new section itself.
    pub agreed: Vec<AcceptedSection>,
    /// New settings of the connection, if they change.
    pub connection: Option<Connection>,
}

/// Running configuration, with which a new one is compared.
pub(crate) struct Before {
    /// Place from which the new one is read.
    pub source: Source,
    /// The one that runs.
    pub config: Config,
    /// Whether its file was empty.
    pub blank: Option<Blank>,
    /// The client identifier where the configuration has none.
    pub client_id: String,
    /// The settings of the running connection.
    pub connection: Connection,
}

impl Before {
    /// Reads the configuration again, and finds out what it changes.
    fn compare(
        self,
    ) -> Result<(config::LoadedConfig, Difference, Option<Connection>), ReloadError> {
        let mut loaded = self.source.load()?;
        identity::complete(&mut loaded.config, &self.client_id);
        let difference = self.config.difference(&loaded.config);
        if let Some(blank) = loaded.blank.filter(|blank| Some(*blank) != self.blank)
            && !self.config.services.is_empty()
        {
            return Err(empty(
                blank,
                &loaded.config,
                "the services that run would lose all that was configured",
            )
            .into());
        }

        if !difference.restart.is_empty() {
            return Err(ReloadError::Restart(difference.restart));
        }
        let connection = difference
            .connection
            .then(|| renew_connection(&loaded.config, &self.connection));
        if let Some(Err(error)) = connection.as_ref().map(transport::check) {
            return Err(ReloadError::Connection(
                error,
                connection
                    .iter()
                    .flat_map(|new| certificates(&new.tls))
                    .collect(),
            ));
        }

        Ok((loaded, difference, connection))
    }
}

/// The files of a TLS connection.
fn certificates(tls: &Tls) -> Vec<PathBuf> {
    let own = tls
        .client_certificate
        .iter()
        .flat_map(|(certificate, key)| [certificate, key]);
    own.chain(&tls.ca_certs).cloned().collect()
}

/// Reads the configuration and prepares everything that it changes, without touching running services.
///
/// # Errors
/// The reason why the new configuration cannot be put in force.
pub(crate) async fn plan(
    before: Before,
    running: Running,
    loader: Loader,
    shared: Shared,
) -> Result<Plan, ReloadError> {
    let (loaded, difference, connection) = loader
        .pool()
        .spawn_blocking(move || before.compare())
        .await??;
    let services: Vec<_> = difference
        .changed
        .iter()
        .chain(&difference.added)
        .cloned()
        .collect();

    for service in &services {
        service::will(service).map_err(|error| ReloadError::Base(service.name.clone(), error))?;
    }
    let prepared = prepare(&loader, &running, services, &shared).await;
    let prepared = prepared.map_err(|refusal| ReloadError::Service(Box::new(refusal)))?;
    let PreparedSections { ready, agreed } = prepared;
    Ok(Plan {
        loaded,
        difference,
        ready,
        agreed,
        connection,
    })
}

/// New settings of the connection. The address of an embedded broker does not change.
fn renew_connection(config: &Config, current: &Connection) -> Connection {
    match &config.broker {
        Broker::Remote(connection) => connection.clone(),
        Broker::Embedded(_, connection) => Connection {
            host: current.host.clone(),
            port: current.port,
            ..connection.clone()
        },
    }
}

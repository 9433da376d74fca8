//! The output of a run for the person or program that starts the host.

use crate::config::Connection;
use crate::message::Subscription;
use crate::topic::BaseTopic;

use super::loaded_service::LoadedService;

/// Facts for the greeting, once the broker is known.
pub struct StartReport<'a> {
    /// How the broker is reached.
    pub connection: &'a Connection,
    /// Whether it is the embedded one.
    pub embedded: bool,
    /// The services.
    pub services: &'a [LoadedService],
}

/// Prints how to try a service.
pub type Suggest<'a> = &'a dyn Fn(&Connection, &BaseTopic, &[Subscription]);

/// Output for the person or program that starts the host.
#[derive(Clone, Copy)]
pub struct Feedback<'a> {
    /// Prints the address of the broker and the services.
    pub greet: &'a dyn Fn(&StartReport<'_>),
    /// Prints how to try a service, unless that was printed for another one.
    pub suggest: Suggest<'a>,
    /// Called once: the first attempt to connect was made, and if components were named, one of them can run.
    pub ready: &'a dyn Fn(),
}

impl Feedback<'_> {
    /// Prints the greeting, and how to try a service that is ready.
    pub(super) fn on_started(
        self,
        connection: &Connection,
        embedded: bool,
        services: &[LoadedService],
    ) {
        (self.greet)(&StartReport {
            connection,
            embedded,
            services,
        });
        let ready = services
            .iter()
            .filter(|one| one.first.component().is_some());
        for service in ready {
            (self.suggest)(connection, &service.ctx.config.base, &service.subscriptions);
        }
    }
}

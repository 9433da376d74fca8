//! Parts of a service, as the supervisor hands them over.

use std::sync::Arc;

use super::pools::Pools;
use super::presence::Presence;
use crate::mailbox::{self, Mailbox};
use crate::rollout::Fallback;
use crate::rollout::history::VersionHistory;
use crate::router::ServiceId;
use crate::service_ctx::ServiceCtx;
use crate::store::{Segment, Store};
use crate::{config, session, timers};

/// Parts that the supervisor makes for a service.
pub struct Parts {
    /// Number of the service in the router and in the timers.
    pub id: ServiceId,
    /// Its configuration and its resources.
    pub ctx: Arc<ServiceCtx>,
    /// Both ends of its mailbox.
    pub mailbox: (mailbox::Sender, Mailbox),
    /// The rest of an earlier run.
    pub earlier: EarlierRun,
    /// Whether its routes are in place.
    pub attached: bool,
    /// The MQTT session.
    pub session: session::Handle,
    /// The timers task.
    pub timers: timers::Handle,
    /// Store of its state.
    pub store: Store,
    /// Version of the protocol, which decides how a dead letter looks.
    pub protocol: config::Protocol,
    /// Announcements of its presence.
    pub presence: Presence,
    /// Pools for slow guest calls.
    pub pools: Pools,
}

/// The rest of a service's earlier run, in this process or before it was started.
pub struct EarlierRun {
    /// Messages that it has not handled.
    pub spool: Option<Segment>,
    /// History of its versions.
    pub history: VersionHistory,
    /// Version to roll back to if the one fails that was on probation when the host ended.
    pub interrupted: Option<Fallback>,
}

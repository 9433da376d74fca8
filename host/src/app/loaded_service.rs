//! A service that is ready to start.

use std::path::PathBuf;
use std::sync::Arc;

use crate::guest::Component;
use crate::mailbox::{self, Mailbox};
use crate::message::Subscription;
use crate::rollout::Fallback;
use crate::rollout::history::VersionHistory;
use crate::router::ServiceId;
use crate::service::First;
use crate::service_ctx::ServiceCtx;
use crate::store::Segment;

/// A service whose component is loaded, could not be, or will be later.
pub struct LoadedService {
    /// Its number.
    pub id: ServiceId,
    /// Its configuration and its resources.
    pub ctx: Arc<ServiceCtx>,
    /// Its component file.
    pub file: PathBuf,
    /// The component in the file; `None`: none that can run, or it is not loaded yet.
    pub in_file: Option<Component>,
    /// The versions that it had before.
    pub history: VersionHistory,
    /// Fallback in case the version that was on probation when the host ended fails.
    pub interrupted: Option<Fallback>,
    /// How it begins.
    pub first: First,
    /// Whether its component is still being compiled, or its guest still starts.
    pub is_starting: bool,
    /// Its initial subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Queue of its waiting messages.
    pub mailbox: (mailbox::Sender, Mailbox),
    /// Unhandled messages of an earlier run, or from before it was removed in this one.
    pub spool: Option<Segment>,
}

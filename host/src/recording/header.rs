//! The first line of a recording: the service with its state at the beginning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Content, FORMAT};

/// The service at the beginning of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format: [`FORMAT`].
    pub recording: u32,
    /// Name of the service.
    pub service: String,
    /// SHA-256 of the component in hexadecimal digits.
    pub component: String,
    /// When it began, in milliseconds since 1970.
    pub at: u64,
    /// The place of the beginning in the life of the instance.
    pub begin: Begin,
    /// The service's section of `miqro.yml`; secrets are shown as `***`.
    pub config: Value,
    /// The topic prefix of announcements to Home Assistant.
    pub discovery_prefix: String,
    /// The state of the service.
    pub state: BTreeMap<String, Content>,
    /// The insecure seed of the running instance.
    #[serde(default, skip_serializing_if = "Content::is_empty")]
    pub seed: Content,
    /// The bytes that the running instance saved; `None`: its component has no `save`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Content>,
}

/// The beginning of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begin {
    /// While the instance runs: values that it holds in memory and does not save are not part of the recording.
    Running,
    /// With the start of an instance.
    Start,
}

impl Header {
    /// Whether this program can read the recording.
    pub const fn is_known(&self) -> bool {
        self.recording == FORMAT
    }
}

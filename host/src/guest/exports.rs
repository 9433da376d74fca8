//! The exports of a component: two that every component has, and others that it may have.

use wasmtime::component::ComponentExportIndex;

use crate::guest::bindings::ServiceIndices;
use crate::guest::peers::PeerExport;
use crate::guest::typed::linking::TypedIndices;

/// An export that a component may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionalExport {
    /// `start`.
    Start,
    /// `stop`.
    Stop,
    /// `connected`.
    Connected,
    /// `disconnected`.
    Disconnected,
    /// `delivered`.
    Delivered,
    /// `config-changed`.
    ConfigChanged,
    /// `save`.
    Save,
    /// `load`.
    Load,
}

impl OptionalExport {
    /// All of them, in the order of [`Exports`].
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Stop,
        Self::Connected,
        Self::Disconnected,
        Self::Delivered,
        Self::ConfigChanged,
        Self::Save,
        Self::Load,
    ];

    /// The name in the WIT.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Delivered => "delivered",
            Self::ConfigChanged => "config-changed",
            Self::Save => "save",
            Self::Load => "load",
        }
    }
}

/// Which of the optional exports a component has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exports([bool; OptionalExport::ALL.len()]);

impl Exports {
    pub(super) fn of(indices: &ExportIndices) -> Self {
        Self(indices.optional.each_ref().map(Option::is_some))
    }

    /// Whether the component has this export.
    pub const fn has(self, export: OptionalExport) -> bool {
        self.0[export as usize]
    }

    /// The names of the exports that the component has.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        OptionalExport::ALL
            .into_iter()
            .filter(move |export| self.has(*export))
            .map(OptionalExport::name)
    }
}

/// Indices of the exports that every component has.
pub(super) enum EntryIndices {
    /// `handle` and `tick`.
    Service(ServiceIndices),
    /// The export of a peer, which takes a message; there is none for timers.
    Peer(PeerExport),
}

/// Indices of a component's exports.
pub(super) struct ExportIndices {
    pub(super) entry: EntryIndices,
    /// In the order of [`OptionalExport::ALL`].
    pub(super) optional: [Option<ComponentExportIndex>; OptionalExport::ALL.len()],
    /// The functions of the typed interfaces.
    pub(super) typed: TypedIndices,
}

//! Parts of the state that both directions use.

use super::ids::Ids;
use super::output::Outputs;
use super::poison::PoisonDetector;

/// Packet identifiers, suspicions and outputs.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Packet identifiers of our own exchanges.
    pub ids: Ids,
    pub poison: PoisonDetector,
    pub outputs: Outputs,
}

//! Faults of guest calls: whether the guest returned an error, ran too long, wanted too much memory or trapped, and where.

use std::fmt::Write as _;
use std::time::Duration;

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::fault_kind::FaultKind;
use crate::guest::limits::{MemoryExceeded, TableExceeded, WASM_STACK};
use crate::guest::remote_call::RemoteCallFailed;

/// Frames of a backtrace that are shown.
const FRAMES: usize = 8;

/// Bytes of a guest's own error text that are kept.
const REASON_BYTES: usize = 4 * 1024;

/// wasmtime's message for arguments of a host function that are more than it may copy.
const TOO_MUCH: &str = "too much data is being copied between the host and the guest";

/// Failure of a guest call or of the creation of an instance. Only [`Fault::Refused`] leaves the instance alive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest returned an error: its own words.
    #[error("the guest returned an error: {0}")]
    Refused(String),
    /// The guest trapped.
    #[error("the guest trapped: {reason}{backtrace}")]
    Trapped {
        /// The reason.
        reason: String,
        /// ` (in inner < outer)`, the innermost function first; empty when unknown.
        backtrace: String,
    },
    /// The call ran longer than `limits.call`.
    #[error("the guest call did not end within the {limit:?} of limits.call{backtrace}")]
    Deadline {
        /// `limits.call` of the service.
        limit: Duration,
        /// Backtrace as in [`Fault::Trapped`]; empty if the guest was waiting in a host function.
        backtrace: String,
    },
    /// The guest wanted more linear memory than `limits.memory`.
    #[error(
        "the guest wanted {wanted} bytes of memory, more than the {limit} bytes of limits.memory{backtrace}"
    )]
    Memory {
        /// Bytes that all its memories would have had together.
        wanted: usize,
        /// `limits.memory` of the service.
        limit: usize,
        /// Backtrace as in [`Fault::Trapped`].
        backtrace: String,
    },
    /// The guest wanted more table elements than `limits.table`, or than fit where it lives.
    #[error("the guest wanted {wanted} table elements, more than the {limit} of {what}{backtrace}",
        what = if *.pooled { "one table in the pool" } else { "limits.table" })]
    Table {
        /// Elements that all its tables would have had together. If `pooled`: elements of the one table that should have grown.
        wanted: usize,
        /// The limit.
        limit: usize,
        /// Whether `limit` is that of one table in the pool.
        pooled: bool,
        /// Backtrace as in [`Fault::Trapped`].
        backtrace: String,
    },
    /// One call of a host function had arguments far beyond `limits.payload`, so that they were not even read.
    #[error("the guest called a host function with arguments far beyond limits.payload{backtrace}")]
    Arguments {
        /// Backtrace as in [`Fault::Trapped`].
        backtrace: String,
    },
    /// The component has more core instances, tables or memories than `limits.instances`.
    #[error(
        "the component has more core instances, tables or memories than limits.instances allows: {0}"
    )]
    Instances(String),
    /// Calls nested too deeply.
    #[error("the guest's stack of {size} KiB overflowed{backtrace}", size = WASM_STACK / 1024)]
    StackOverflow {
        /// Backtrace as in [`Fault::Trapped`].
        backtrace: String,
    },
    /// The host could not make an instance (out of slots, out of mappings).
    #[error("no instance of the component could be made: {0}")]
    Instantiation(String),
    /// Something that the service is granted does not exist.
    #[error("{0}")]
    Grant(String),
    /// The changes of the call to the service's state are not on disk.
    #[error("the state could not be kept: {0}")]
    State(String),
    /// A call over the network failed, and the imported function cannot return an error.
    #[error("a call over the network failed: {reason}{backtrace}")]
    RemoteCall {
        /// The topic and the reason.
        reason: String,
        /// Backtrace as in [`Fault::Trapped`].
        backtrace: String,
    },
    /// A bug in the host while it ran the guest.
    #[error("the host failed while running the guest, which is a bug: {0}")]
    Bug(String),
}

/// The error that ends a call at its deadline.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the call's time is used up")]
pub(super) struct DeadlineReached(pub(super) Duration);

impl Fault {
    /// The kind of fault.
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Refused(_) => FaultKind::Refused,
            Self::Trapped { .. } => FaultKind::Trap,
            Self::Deadline { .. } => FaultKind::Call,
            Self::Memory { .. } => FaultKind::Memory,
            Self::Table { .. } => FaultKind::Table,
            Self::Arguments { .. } => FaultKind::Payload,
            Self::Instances(_) => FaultKind::Instances,
            Self::StackOverflow { .. } => FaultKind::Stack,
            Self::Instantiation(_) => FaultKind::Instantiation,
            Self::Grant(_) => FaultKind::Grants,
            Self::State(_) => FaultKind::Store,
            Self::RemoteCall { .. } => FaultKind::RemoteCall,
            Self::Bug(_) => FaultKind::Bug,
        }
    }

    /// The text that tells it from other faults of the same kind: why and where a guest failed. An exceeded limit is the same
    /// fault wherever it was noticed.
    pub fn detail(&self) -> String {
        match self {
            Self::Trapped { reason, backtrace } | Self::RemoteCall { reason, backtrace } => {
                format!("{reason}{backtrace}")
            }
            Self::Refused(text) | Self::Instances(text) | Self::Instantiation(text) => text.clone(),
            Self::Grant(text) | Self::State(text) | Self::Bug(text) => text.clone(),
            Self::Deadline { .. } | Self::Memory { .. } | Self::Table { .. } => String::new(),
            Self::Arguments { .. } | Self::StackOverflow { .. } => String::new(),
        }
    }

    /// The guest's own error, cut where it is very long.
    pub(super) fn refused(mut reason: String) -> Self {
        if reason.len() > REASON_BYTES {
            let end = (0..=REASON_BYTES)
                .rev()
                .find(|at| reason.is_char_boundary(*at))
                .unwrap_or(0);
            reason.truncate(end);
            reason.push_str("...");
        }

        Self::Refused(reason)
    }

    /// The fault behind an error of a running guest.
    pub(super) fn of_running(error: &wasmtime::Error) -> Self {
        let backtrace = backtrace(error);
        if let Some(MemoryExceeded { wanted, limit }) = error.downcast_ref() {
            return Self::Memory {
                wanted: *wanted,
                limit: *limit,
                backtrace,
            };
        }

        if let Some(&TableExceeded {
            wanted,
            limit,
            pooled,
        }) = error.downcast_ref()
        {
            return Self::Table {
                wanted,
                limit,
                pooled,
                backtrace,
            };
        }

        if let Some(DeadlineReached(limit)) = error.downcast_ref() {
            return Self::Deadline {
                limit: *limit,
                backtrace,
            };
        }

        if let Some(Trap::StackOverflow) = error.downcast_ref() {
            return Self::StackOverflow { backtrace };
        }
        if let Some(failed) = error.downcast_ref::<RemoteCallFailed>() {
            return Self::RemoteCall {
                reason: failed.to_string(),
                backtrace,
            };
        }

        // wasmtime has no public type for it; a test with a real component holds the words
        if error.root_cause().to_string().starts_with(TOO_MUCH) {
            return Self::Arguments { backtrace };
        }
        Self::Trapped {
            reason: reason(error),
            backtrace,
        }
    }

    /// The fault behind an error of an instantiation: the guest's fault if guest code ran, else the host's.
    pub(super) fn of_instantiation(error: &wasmtime::Error) -> Self {
        let exceeded = error.is::<MemoryExceeded>() || error.is::<TableExceeded>();
        if error.is::<Trap>() || error.is::<DeadlineReached>() || exceeded {
            return Self::of_running(error);
        }
        // wasmtime has no type for it; a test with a real component holds the words
        match error
            .root_cause()
            .to_string()
            .strip_prefix("resource limit exceeded: ")
        {
            Some(what) => Self::Instances(what.to_owned()),
            None => Self::Instantiation(format!("{error:#}")),
        }
    }
}

fn reason(error: &wasmtime::Error) -> String {
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return format!("it called exit with status {status}");
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => trap
            .to_string()
            .trim_start_matches("wasm trap: ")
            .to_owned(),
        None => error.root_cause().to_string(),
    }
}

/// ` (in inner < outer < ...)`, so that it can follow a message directly.
fn backtrace(error: &wasmtime::Error) -> String {
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map_or(&[][..], WasmBacktrace::frames);
    let mut text = String::new();
    for (index, frame) in frames.iter().take(FRAMES).enumerate() {
        text.push_str(if index == 0 { " (in " } else { " < " });
        match frame.func_name() {
            Some(name) => text.push_str(without_hash(name)),
            // writing to a String cannot fail
            None => drop(write!(text, "function {}", frame.func_index())),
        }
    }

    if frames.len() > FRAMES {
        text.push_str(" < ...");
    }
    if !text.is_empty() {
        text.push(')');
    }
    text
}

/// The name without the `::h` and 16 hexadecimal digits at the end of Rust's symbols.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash))
            if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            path
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_hashes_are_cut() {
        assert_eq!(
            without_hash("echo::handle::h0123456789abcdef"),
            "echo::handle"
        );
        assert_eq!(without_hash("echo::hello"), "echo::hello");
    }

    #[test]
    fn long_errors_of_the_guest_are_cut_between_characters() {
        let Fault::Refused(text) = Fault::refused("ä".repeat(5_000)) else {
            panic!("another fault")
        };
        assert!(text.len() <= REASON_BYTES + 3 && text.ends_with("ä..."));
    }
}

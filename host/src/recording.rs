//! Recordings of services: the calls of a service with its clocks, random numbers and answers, and the messages that it published.
//! Another build of the service is run on a recording, and the difference is shown.
//!
//! A recording is text, one JSON object a line: a [`Header`], a [`CallRecord`] for each call, and an [`End`]. Payloads that are
//! text stand there as text, others as `{"base64": ..}`.

mod call;
mod content;
mod end;
mod file;
mod header;
mod inputs;

pub use call::{CallRecord, DeliveryOutcome, Effect, RecordedCall, RecordedMessage};
pub use content::Content;
pub use end::End;
pub use file::{ReadError, RecordingFile};
pub use header::{Begin, Header};
pub use inputs::{Exchange, ExchangeAnswer, Inputs, PropertyRead};

/// The version of the format.
pub const FORMAT: u32 = 1;

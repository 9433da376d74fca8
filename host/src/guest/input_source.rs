//! The place where clocks, random numbers and answers of an instance come from: the machine, a clock that a test moves, or a
//! recording.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use wasmtime_wasi::WasiCtxBuilder;

use crate::guest::input_recorder::{self, InputRecorder};
use crate::guest::request::RequestFailure;
use crate::guest::script::Script;
use crate::guest::virtual_clock::{self, VirtualClock};
use crate::message::Message;
use crate::topic::Topic;

/// The source of an instance's inputs.
#[derive(Debug, Clone)]
pub enum InputSource {
    /// The machine and its broker; the recorder keeps them while it records.
    Machine(Arc<InputRecorder>),
    /// A clock that a test moves, and random numbers that are the same each time.
    Virtual(Arc<VirtualClock>),
    /// A recording.
    Script(Arc<Script>),
}

impl InputSource {
    /// Gives WASI the clocks and the random numbers of this source.
    pub(super) fn install(&self, builder: &mut WasiCtxBuilder) {
        match self {
            Self::Machine(recorder) => input_recorder::install(recorder, builder),
            Self::Virtual(clock) => virtual_clock::install(clock, builder),
            Self::Script(script) => Script::install(script, builder),
        }
    }

    /// The present time, as the service sees it.
    pub fn now(&self) -> Instant {
        match self {
            Self::Machine(_) => Instant::now(),
            Self::Virtual(clock) => clock.now(),
            Self::Script(script) => script.now(),
        }
    }

    /// The recorder of the inputs.
    pub fn input_recorder(&self) -> Option<&Arc<InputRecorder>> {
        match self {
            Self::Machine(recorder) => Some(recorder),
            Self::Virtual(_) | Self::Script(_) => None,
        }
    }

    /// Whether the inputs are recorded.
    pub(super) fn is_recorded(&self) -> bool {
        self.input_recorder()
            .is_some_and(|recorder| recorder.is_recording())
    }

    /// The token of a published message; `next` takes the next one of the host.
    pub(super) fn token(&self, next: impl FnOnce() -> NonZeroU64) -> NonZeroU64 {
        match self {
            Self::Machine(recorder) => {
                let token = next();
                recorder.on_token(token);
                token
            }
            Self::Virtual(_) => next(),
            Self::Script(script) => script.token(),
        }
    }

    /// The milliseconds until a timer is due, which are `present` by the clock of this source.
    pub(super) fn remaining(&self, present: Option<u64>) -> Option<u64> {
        match self {
            Self::Machine(recorder) => {
                recorder.on_remaining(present);
                present
            }
            Self::Virtual(_) => present,
            Self::Script(script) => script.remaining(present),
        }
    }

    /// The answer that a request had in the recording; `None`: the request is to be sent.
    pub(super) fn recorded_answer(
        &self,
        request: &Message,
    ) -> Option<Result<Message, RequestFailure>> {
        match self {
            Self::Script(script) => Some(script.answer(request)),
            Self::Machine(_) | Self::Virtual(_) => None,
        }
    }

    /// A request was answered, or was not.
    pub(super) fn on_answer(&self, request: &Message, answer: &Result<Message, RequestFailure>) {
        if let Self::Machine(recorder) = self {
            recorder.on_answer(request, answer);
        }
    }

    /// The value that a property had in the recording; the outer `None`: it is to be read.
    pub(super) fn recorded_property(&self, topic: &Topic) -> Option<Option<Bytes>> {
        match self {
            Self::Script(script) => Some(script.property(topic)),
            Self::Machine(_) | Self::Virtual(_) => None,
        }
    }

    /// A property was read; `None`: its value is not known.
    pub(super) fn on_property(&self, topic: &Topic, value: Option<&Bytes>) {
        if let Self::Machine(recorder) = self {
            recorder.on_property(topic, value);
        }
    }
}

impl Default for InputSource {
    fn default() -> Self {
        Self::Machine(InputRecorder::new())
    }
}

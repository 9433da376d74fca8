//! The clocks and the random numbers of the machine, and a recorder of those that a guest gets. While it does not record,
//! each reading costs one look at a flag.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand_core::Rng;
use wasmtime_wasi::clocks::{MonotonicClock, WallClock};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder, thread_rng};

use crate::guest::random_source::RandomSource;
use crate::guest::request::RequestFailure;
use crate::message::Message;
use crate::recording::{Content, Exchange, ExchangeAnswer, Inputs, PropertyRead};
use crate::topic::Topic;

/// Bytes of inputs that one call may have.
const MOST: usize = 4 << 20;

/// Records the inputs of one instance.
pub struct InputRecorder {
    is_recording: AtomicBool,
    /// `None` until something is recorded, so that idle services stay small.
    recorded: Mutex<Option<Box<RecordedInputs>>>,
    seed: u128,
}

/// Inputs of the running call.
#[derive(Default)]
struct RecordedInputs {
    inputs: Inputs,
    random: Vec<u8>,
    insecure: Vec<u8>,
    bytes: usize,
}

/// A call had more inputs than a recording holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a call had more than {MOST} bytes of inputs")]
pub struct TooManyInputs;

impl InputRecorder {
    /// Creates a recorder that does not record.
    pub fn new() -> Arc<Self> {
        Self::with(false)
    }

    /// Creates a recorder that records from the beginning of its instance on.
    pub fn new_recording() -> Arc<Self> {
        Self::with(true)
    }

    fn with(is_recording: bool) -> Arc<Self> {
        let seed = (u128::from(fastrand::u64(..)) << 64) | u128::from(fastrand::u64(..));
        Arc::new(Self {
            is_recording: AtomicBool::new(is_recording),
            recorded: Mutex::default(),
            seed,
        })
    }

    /// Begins to record.
    pub fn begin(&self) {
        self.is_recording.store(true, Ordering::Relaxed);
    }

    /// Ends to record, and forgets what was recorded.
    pub fn end(&self) {
        self.is_recording.store(false, Ordering::Relaxed);
        *self.recorded() = None;
    }

    /// Whether it records.
    pub fn is_recording(&self) -> bool {
        self.is_recording.load(Ordering::Relaxed)
    }

    /// The insecure seed of the instance.
    pub fn seed(&self) -> Content {
        Content(Bytes::copy_from_slice(&self.seed.to_le_bytes()))
    }

    /// Takes the inputs of the call that has ended.
    ///
    /// # Errors
    /// When there were too many.
    pub fn take(&self) -> Result<Inputs, TooManyInputs> {
        let recorded = self.recorded().take().unwrap_or_default();
        if recorded.bytes > MOST {
            return Err(TooManyInputs);
        }
        Ok(Inputs {
            random: Content(recorded.random.into()),
            insecure: Content(recorded.insecure.into()),
            ..recorded.inputs
        })
    }

    fn add(&self, bytes: usize, add: impl FnOnce(&mut RecordedInputs)) {
        if !self.is_recording() {
            return;
        }
        let mut recorded = self.recorded();
        let recorded = recorded.get_or_insert_default();
        recorded.bytes = recorded.bytes.saturating_add(bytes);
        if recorded.bytes <= MOST {
            add(recorded);
        }
    }

    pub(super) fn on_token(&self, token: NonZeroU64) {
        self.add(size_of::<u64>(), |recorded| {
            recorded.inputs.tokens.push_back(token.get());
        });
    }

    pub(super) fn on_remaining(&self, remaining: Option<u64>) {
        self.add(size_of::<u64>(), |recorded| {
            recorded.inputs.remaining.push_back(remaining);
        });
    }

    pub(super) fn on_answer(&self, request: &Message, answer: &Result<Message, RequestFailure>) {
        let bytes = request.weight() + answer.as_ref().map_or(0, Message::weight);
        self.add(bytes, |recorded| {
            let answer = match answer {
                Ok(message) => ExchangeAnswer::Message(message.clone().into()),
                Err(RequestFailure::TimedOut) => ExchangeAnswer::TimedOut,
                Err(RequestFailure::Unavailable(why)) => ExchangeAnswer::Unavailable(why.clone()),
            };
            recorded.inputs.requests.push_back(Exchange {
                request: request.clone().into(),
                answer,
            });
        });
    }

    pub(super) fn on_property(&self, topic: &Topic, value: Option<&Bytes>) {
        let bytes = topic.as_str().len() + value.map_or(0, Bytes::len);
        self.add(bytes, |recorded| {
            recorded.inputs.properties.push_back(PropertyRead {
                topic: topic.as_str().to_owned(),
                payload: value.cloned().map(Content),
            });
        });
    }

    fn recorded(&self) -> MutexGuard<'_, Option<Box<RecordedInputs>>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for InputRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputRecorder")
            .field("is_recording", &self.is_recording)
            .finish_non_exhaustive()
    }
}

/// Gives WASI the clocks and the random numbers of the machine.
pub(super) fn install(recorder: &Arc<InputRecorder>, builder: &mut WasiCtxBuilder) {
    builder
        .wall_clock(Wall(WallClock::new(), recorder.clone()))
        .monotonic_clock(Monotonic(MonotonicClock::new(), recorder.clone()))
        .secure_random(RandomSource(secure(recorder.clone())))
        .insecure_random(RandomSource(insecure(recorder.clone())))
        .insecure_random_seed(recorder.seed);
}

struct Wall(WallClock, Arc<InputRecorder>);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        self.0.resolution()
    }

    fn now(&self) -> Duration {
        let now = self.0.now();
        self.1.add(size_of::<u64>(), |recorded| {
            let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
            recorded.inputs.wall.push_back(now);
        });
        now
    }
}

struct Monotonic(MonotonicClock, Arc<InputRecorder>);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        self.0.resolution()
    }

    fn now(&self) -> u64 {
        let now = self.0.now();
        self.1.add(size_of::<u64>(), |recorded| {
            recorded.inputs.monotonic.push_back(now);
        });
        now
    }
}

/// Random numbers for secrets. The generator is made when the first one is asked for: most guests never do.
fn secure(recorder: Arc<InputRecorder>) -> impl FnMut(&mut [u8]) + Send {
    let mut generator: Option<Box<dyn Rng + Send>> = None;
    move |bytes| {
        generator.get_or_insert_with(thread_rng).fill_bytes(bytes);
        recorder.add(bytes.len(), |recorded| {
            recorded.random.extend_from_slice(bytes);
        });
    }
}

/// Random numbers that need not be secret.
fn insecure(recorder: Arc<InputRecorder>) -> impl FnMut(&mut [u8]) + Send {
    let mut generator = fastrand::Rng::new();
    move |bytes| {
        generator.fill(bytes);
        recorder.add(bytes.len(), |recorded| {
            recorded.insecure.extend_from_slice(bytes);
        });
    }
}

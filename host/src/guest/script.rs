//! The inputs of a recording, given to a guest in place of those of the machine. A guest that asks for more than was recorded gets
//! a continuation that is the same each time, and the script counts it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

use crate::guest::random_source::RandomSource;
use crate::guest::request::RequestFailure;
use crate::message::Message;
use crate::recording::{Content, ExchangeAnswer, Inputs, PropertyRead};
use crate::topic::Topic;

/// Time that passes between two readings of a clock beyond the recorded ones, in nanoseconds.
const STEP: u64 = 1_000;

/// Reading of the monotonic clock at the beginning, in nanoseconds: Go takes zero for a clock that is broken.
const UP: u64 = 1_000_000_000;

/// The inputs of the recorded calls, one call after the other.
#[derive(Debug)]
pub struct Script {
    beginning: Instant,
    playing: Mutex<CallInputs>,
}

/// The inputs of the present call.
#[derive(Debug)]
struct CallInputs {
    inputs: Inputs,
    random: Bytes,
    insecure: Bytes,
    seed: u128,
    /// Beginning of the recording, in nanoseconds since 1970.
    began: u64,
    wall: u64,
    monotonic: u64,
    token: u64,
    generator: fastrand::Rng,
    requests: Vec<Message>,
    excess: BTreeMap<&'static str, u64>,
}

impl Script {
    /// Creates the script of a recording that began at `began`, in milliseconds since 1970.
    pub fn new(began: u64) -> Arc<Self> {
        let began = began.saturating_mul(1_000_000);
        Arc::new(Self {
            beginning: Instant::now(),
            playing: Mutex::new(CallInputs {
                inputs: Inputs::default(),
                random: Bytes::new(),
                insecure: Bytes::new(),
                seed: 1,
                began,
                wall: began,
                monotonic: UP,
                token: 0,
                generator: fastrand::Rng::with_seed(1),
                requests: Vec::new(),
                excess: BTreeMap::new(),
            }),
        })
    }

    /// Begins the next call, which was recorded at `at`, in milliseconds since 1970. Inputs that the former call has left are
    /// dropped.
    pub fn begin(&self, at: u64, inputs: Inputs) {
        let mut playing = self.playing();
        let at = at.saturating_mul(1_000_000);
        let passed = at.saturating_sub(playing.wall);
        playing.wall = playing.wall.max(at);
        playing.monotonic = playing.monotonic.saturating_add(passed);
        playing.random = inputs.random.0.clone();
        playing.insecure = inputs.insecure.0.clone();
        if let Ok(seed) = <[u8; 16]>::try_from(&*inputs.seed.0) {
            playing.seed = u128::from_le_bytes(seed);
        }
        playing.inputs = inputs;
        playing.requests.clear();
    }

    /// The requests that the present call has sent.
    pub fn take_requests(&self) -> Vec<Message> {
        std::mem::take(&mut self.playing().requests)
    }

    /// Inputs beyond the recorded ones, with the number of times that the guest asked for them.
    pub fn excess(&self) -> BTreeMap<&'static str, u64> {
        self.playing().excess.clone()
    }

    /// The present time, on the clock of this machine.
    pub(super) fn now(&self) -> Instant {
        let playing = self.playing();
        self.beginning + Duration::from_nanos(playing.wall.saturating_sub(playing.began))
    }

    /// Gives WASI the recorded clocks and random numbers.
    pub(super) fn install(script: &Arc<Self>, builder: &mut WasiCtxBuilder) {
        let seed = script.playing().seed;
        let source = |is_secure| {
            let script = script.clone();
            RandomSource(move |bytes: &mut [u8]| script.playing().fill(bytes, is_secure))
        };
        builder
            .wall_clock(Wall(script.clone()))
            .monotonic_clock(Monotonic(script.clone()))
            .secure_random(source(true))
            .insecure_random(source(false))
            .insecure_random_seed(seed);
    }

    pub(super) fn token(&self) -> NonZeroU64 {
        let mut playing = self.playing();
        playing.token = match playing.inputs.tokens.pop_front() {
            Some(token) => token,
            None => playing.token.saturating_add(1),
        };
        NonZeroU64::new(playing.token).unwrap_or(NonZeroU64::MIN)
    }

    pub(super) fn remaining(&self, present: Option<u64>) -> Option<u64> {
        let recorded = self.playing().inputs.remaining.pop_front();
        recorded.unwrap_or(present)
    }

    pub(super) fn answer(&self, request: &Message) -> Result<Message, RequestFailure> {
        let mut playing = self.playing();
        playing.requests.push(request.clone());
        let Some(exchange) = playing.inputs.requests.pop_front() else {
            playing.count("answers to requests");
            return Err(RequestFailure::TimedOut);
        };
        match exchange.answer {
            ExchangeAnswer::Message(answer) => Ok(answer.message),
            ExchangeAnswer::TimedOut => Err(RequestFailure::TimedOut),
            ExchangeAnswer::Unavailable(why) => Err(RequestFailure::Unavailable(why)),
        }
    }

    pub(super) fn property(&self, topic: &Topic) -> Option<Bytes> {
        let mut playing = self.playing();
        let is_same = |read: &PropertyRead| read.topic == topic.as_str();
        let found = playing.inputs.properties.iter().position(is_same);
        let Some(read) = found.and_then(|at| playing.inputs.properties.remove(at)) else {
            playing.count("values of properties");
            return None;
        };
        read.payload.map(|Content(payload)| payload)
    }

    fn playing(&self) -> MutexGuard<'_, CallInputs> {
        self.playing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallInputs {
    fn count(&mut self, name: &'static str) {
        *self.excess.entry(name).or_default() += 1;
    }

    fn read_wall(&mut self) -> u64 {
        self.wall = match self.inputs.wall.pop_front() {
            Some(recorded) => recorded,
            None => {
                self.count("readings of the wall clock");
                self.wall.saturating_add(STEP)
            }
        };
        self.wall
    }

    fn read_monotonic(&mut self) -> u64 {
        self.monotonic = match self.inputs.monotonic.pop_front() {
            Some(recorded) => recorded,
            None => {
                self.count("readings of the monotonic clock");
                self.monotonic.saturating_add(STEP)
            }
        };
        self.monotonic
    }

    fn fill(&mut self, bytes: &mut [u8], is_secure: bool) {
        let recorded = if is_secure {
            &mut self.random
        } else {
            &mut self.insecure
        };
        let (known, rest) = bytes.split_at_mut(bytes.len().min(recorded.len()));
        recorded.copy_to_slice(known);
        if !rest.is_empty() {
            self.generator.fill(rest);
            self.count("random numbers");
        }
    }
}

struct Wall(Arc<Script>);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.playing().read_wall())
    }
}

struct Monotonic(Arc<Script>);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0.playing().read_monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_come_as_recorded_and_continue_in_the_same_way() {
        let play = || {
            let script = Script::new(1_000);
            let inputs = Inputs {
                wall: [1_000_000_500].into(),
                random: Content(vec![1, 2, 3].into()),
                tokens: [7].into(),
                ..Inputs::default()
            };
            script.begin(1_000, inputs);

            let mut bytes = [0; 8];
            script.playing().fill(&mut bytes, true);
            assert_eq!(bytes[..3], [1, 2, 3]);
            let walls = [0; 2].map(|_| script.playing().read_wall());
            assert_eq!(walls, [1_000_000_500, 1_000_001_500]);
            assert_eq!([0; 2].map(|_| script.token().get()), [7, 8]);
            assert_eq!(script.remaining(Some(4)), Some(4));

            let excess: Vec<_> = script.excess().into_iter().collect();
            assert_eq!(
                excess,
                [("random numbers", 1), ("readings of the wall clock", 1)]
            );
            bytes
        };
        assert_eq!(play(), play());
    }

    #[test]
    fn time_passes_between_the_calls() {
        let script = Script::new(1_000);
        script.begin(3_000, Inputs::default());
        assert_eq!(script.playing().read_monotonic(), UP + 2_000_000_000 + STEP);
        let before = script.beginning;
        assert_eq!(script.now(), before + Duration::from_secs(2));
    }

    #[test]
    fn times_never_overflow() {
        let script = Script::new(u64::MAX);
        script.begin(u64::MAX, Inputs::default());
        assert_eq!(script.playing().read_wall(), u64::MAX);
    }
}

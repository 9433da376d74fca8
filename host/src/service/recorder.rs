//! The recorder of a service: writes down each call of its guest, with inputs and effect, and never waits. The reader of a
//! recording that cannot keep up gets the end of it in place of the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::effects::Effects;
use crate::guest::{Call, Fault, InputRecorder, InputSource, Instance};
use crate::message::Outcome;
use crate::recording::{
    CallRecord, DeliveryOutcome, Effect, End, Header, Inputs, RecordedCall, RecordedMessage,
};
use crate::rollout::Timestamp;
use crate::service_ctx::ServiceCtx;

/// Calls that may wait for the reader of a recording.
const WAITING: usize = 4_096;

/// Bytes of calls that may wait for the reader of a recording.
const WAITING_BYTES: usize = 16 << 20;

/// Writes down the calls of one service until its recording ends.
#[derive(Debug)]
pub(super) struct Recorder {
    inputs: Arc<InputRecorder>,
    calls: mpsc::Sender<Box<CallRecord>>,
    /// Bytes of the calls that wait.
    waiting: Arc<AtomicUsize>,
    /// `None`: the end was reported.
    ended: Option<oneshot::Sender<End>>,
    /// The running call, and when it began.
    running: Option<(u64, RecordedCall)>,
    /// Calls that are still to be recorded; `None`: any number.
    left: Option<u64>,
}

/// The reader's end of a recording. It serialises as its header.
#[derive(Debug)]
pub struct Recording {
    header: Header,
    calls: mpsc::Receiver<Box<CallRecord>>,
    waiting: Arc<AtomicUsize>,
    ended: oneshot::Receiver<End>,
    is_stopped: bool,
}

impl Recording {
    /// The recording of one call.
    pub fn of_call(header: Header, call: CallRecord) -> Self {
        let (calls, received) = mpsc::channel(1);
        let (ended, end) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(call.weight()));
        // there is room, and the receiver is here
        let _ = calls.try_send(Box::new(call));
        let _ = ended.send(End::DeadLetter);
        Self {
            header,
            calls: received,
            waiting,
            ended: end,
            is_stopped: false,
        }
    }

    /// The next call; `None` after the last one. Cancel-safe.
    pub async fn next(&mut self) -> Option<Box<CallRecord>> {
        let call = self.calls.recv().await?;
        self.waiting.fetch_sub(call.weight(), Ordering::Relaxed);
        Some(call)
    }

    /// Ends the recording; the calls that wait are still given out.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        self.calls.close();
    }

    /// The reason of the end, after the last call.
    pub async fn end(mut self) -> End {
        if let Ok(end) = self.ended.try_recv() {
            return end;
        }
        if self.is_stopped {
            return End::Stopped;
        }
        self.ended.await.unwrap_or(End::ServiceEnded)
    }
}

impl Serialize for Recording {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.header.serialize(serializer)
    }
}

impl Recorder {
    /// Begins a recording of the instance with this recorder of inputs, of `count` calls at most.
    pub(super) fn new(
        inputs: Arc<InputRecorder>,
        header: Header,
        count: Option<u64>,
    ) -> (Self, Recording) {
        let (calls, received) = mpsc::channel(WAITING);
        let (ended, end) = oneshot::channel();
        let waiting = Arc::<AtomicUsize>::default();
        inputs.begin();

        let recorder = Self {
            inputs,
            calls,
            waiting: waiting.clone(),
            ended: Some(ended),
            running: None,
            left: count,
        };

        let recording = Recording {
            header,
            calls: received,
            waiting,
            ended: end,
            is_stopped: false,
        };
        (recorder, recording)
    }

    /// The context for a new instance, whose inputs are recorded from its start on.
    pub(super) fn next_ctx(&mut self, ctx: &ServiceCtx) -> Arc<ServiceCtx> {
        self.inputs.end();
        self.inputs = InputRecorder::new_recording();
        Arc::new(ServiceCtx {
            inputs: Some(InputSource::Machine(self.inputs.clone())),
            ..ctx.clone()
        })
    }

    /// A call begins.
    pub(super) fn on_call(&mut self, call: &Call) {
        if self.running.is_some() {
            return self.end(End::HostFault);
        }
        match recorded(call) {
            Some(call) => self.running = Some((Timestamp::now().unix_millis, call)),
            None => self.end(End::Replaced),
        }
    }

    /// The call has ended.
    pub(super) fn on_outcome(&mut self, outcome: &Result<Effects, Fault>) {
        let Some((at, call)) = self.running.take() else {
            return;
        };
        let effect = match outcome {
            Ok(effects) => effects.into(),
            Err(fault) => Effect::of_fault(fault),
        };
        match self.inputs.take() {
            Ok(inputs) => self.push(CallRecord {
                at,
                call,
                inputs,
                effect,
            }),
            Err(_) => self.end(End::TooManyInputs),
        }
    }

    /// An instance was started and is to run from now on.
    pub(super) fn on_started(&mut self, instance: &Instance, effects: &Effects) {
        let is_recorded = instance
            .input_recorder()
            .is_some_and(|inputs| Arc::ptr_eq(inputs, &self.inputs));
        if !is_recorded {
            return self.end(End::Replaced);
        }
        match self.inputs.take() {
            Ok(inputs) => {
                let seed = self.inputs.seed();
                self.push(CallRecord {
                    at: Timestamp::now().unix_millis,
                    call: RecordedCall::Start,
                    inputs: Inputs { seed, ..inputs },
                    effect: effects.into(),
                });
            }
            Err(_) => self.end(End::TooManyInputs),
        }
    }

    /// Hands a call to the reader.
    fn push(&mut self, call: CallRecord) {
        let counts = !matches!(call.call, RecordedCall::Start | RecordedCall::Stop);
        let weight = call.weight();
        let waiting = self.waiting.fetch_add(weight, Ordering::Relaxed);
        if waiting + weight > WAITING_BYTES && waiting > 0 {
            return self.end(End::TooSlow);
        }

        match self.calls.try_send(Box::new(call)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return self.end(End::TooSlow),
            Err(mpsc::error::TrySendError::Closed(_)) => return self.end(End::Stopped),
        }
        if let Some(left) = self.left.as_mut().filter(|_| counts) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.end(End::Count);
            }
        }
    }

    /// Ends the recording.
    pub(super) fn end(&mut self, end: End) {
        self.inputs.end();
        if let Some(ended) = self.ended.take() {
            // the reader may have gone
            let _ = ended.send(end);
        }
    }

    /// Whether the recording has ended, or nobody reads it any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_none() || self.calls.is_closed()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end(End::ServiceEnded);
    }
}

/// The call as a recording has it; `None` for calls that only a reconfigured service or a new version gets.
fn recorded(call: &Call) -> Option<RecordedCall> {
    Some(match call {
        Call::Start => RecordedCall::Start,
        Call::Stop => RecordedCall::Stop,
        Call::Message { message, attempt } => RecordedCall::Message {
            message: RecordedMessage::from(message.to_detached()),
            attempt: *attempt,
        },
        Call::Tick(due) => RecordedCall::Tick {
            timer: due.name.clone(),
            count: due.count,
        },
        Call::Connected { session_present } => RecordedCall::Connected {
            session_present: *session_present,
        },
        Call::Disconnected => RecordedCall::Disconnected,
        Call::Delivered(token, outcome) => RecordedCall::Delivered {
            token: token.0.get(),
            outcome: match outcome {
                Outcome::Delivered => DeliveryOutcome::Delivered,
                Outcome::TimedOut => DeliveryOutcome::TimedOut,
                Outcome::Refused(why) => DeliveryOutcome::Refused(why.clone()),
            },
        },
        Call::ConfigChanged | Call::Load(_) => return None,
    })
}

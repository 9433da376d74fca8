//! One connection to the broker, until it ends.
//!
//! One turn: take the waiting commands, write once, read once, deliver the messages that were read. After a turn that read
//! something, the task yields so that the services run, and their commits go out together in the next turn's write.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};
use tracing::error;

use super::clock::now;
use super::close_reason::CloseReason;
use super::codec::CodecError;
use super::command_source::CommandSource;
use super::connect::disconnect;
use super::dispatcher::Dispatcher;
use super::framed::{FramedStream, WriteProgress};
use super::packet::{Incoming, Reason};
use super::state::{DueAction, Keepalive};

/// How often messages that hold up others are looked for: they are spooled when they are between one and two intervals old.
const HEAD_OF_LINE_INTERVAL: Duration = Duration::from_millis(50);
/// The shortest distance between two timers.
const MIN_TIMER: Duration = Duration::from_millis(1);
/// The longest distance between two timers; there is always one.
const MAX_TIMER: Duration = Duration::from_secs(86_400);

/// The end of a connection, and the reason code that the broker is sent.
struct Fault {
    close_reason: CloseReason,
    reason: Option<Reason>,
}

impl Fault {
    fn keepalive_timeout(text: String) -> Self {
        Self {
            close_reason: CloseReason::Lost(text),
            reason: Some(Reason::KEEPALIVE_TIMEOUT),
        }
    }

    fn from_disconnect(reason: Reason, text: Option<String>) -> Self {
        let close_reason = match reason {
            Reason::TAKEN_OVER => CloseReason::TakenOver,
            _ => {
                let text = text.map_or_else(String::new, |text| format!(": {text}"));
                let said = format!("the broker sent DISCONNECT, {reason}{text}");
                match reason {
                    _ if reason.is_unsupported() => CloseReason::Unsupported(reason, said),
                    _ if reason.blames_nothing_sent() => CloseReason::Lost(said),
                    _ => CloseReason::ClosedByBroker(said),
                }
            }
        };

        Self {
            close_reason,
            reason: None,
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        let text = match error.kind() {
            ErrorKind::UnexpectedEof => "the broker closed it".to_owned(),
            _ => error.to_string(),
        };
        let is_closed = matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::WriteZero
        );

        Self {
            close_reason: if is_closed {
                CloseReason::ClosedByBroker(text)
            } else {
                CloseReason::Lost(text)
            },
            reason: None,
        }
    }
}

impl From<CodecError> for Fault {
    fn from(error: CodecError) -> Self {
        Self {
            reason: Some(error.reason()),
            close_reason: CloseReason::Lost(error.to_string()),
        }
    }
}

/// A connection after CONNACK.
#[derive(Debug)]
pub(super) struct Connection {
    stream: FramedStream,
    keepalive: Keepalive,
    timer: Pin<Box<Sleep>>,
    /// When to look for messages that hold up others; `None`: nothing is unacknowledged.
    head_of_line_timer: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(super) fn new(stream: FramedStream, keepalive: Keepalive) -> Self {
        let first = keepalive.deadline().unwrap_or_else(|| now() + MAX_TIMER);
        Self {
            stream,
            keepalive,
            timer: Box::pin(sleep_until(first.into())),
            head_of_line_timer: None,
        }
    }

    /// Runs until the connection ends.
    pub(super) async fn run(
        mut self,
        dispatcher: &mut Dispatcher,
        commands: &mut CommandSource,
    ) -> CloseReason {
        // packets that came together with CONNACK are in the buffer already
        let mut outcome = self.dispatch_packets(dispatcher);
        if outcome.is_ok() {
            outcome = poll_fn(|context| self.poll(context, dispatcher, commands)).await;
        }

        let Err(fault) = outcome else {
            disconnect(self.stream, Reason::SUCCESS).await;
            return CloseReason::Stopped;
        };
        if let Some(reason) = fault.reason {
            disconnect(self.stream, reason).await;
        }
        fault.close_reason
    }

    /// One turn. Ready: the session was told to stop and nothing is left, or the connection has to be given up.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
        commands: &mut CommandSource,
    ) -> Poll<Result<(), Fault>> {
        let now = now();
        commands.poll(context, dispatcher);
        self.poll_head_of_line(context, dispatcher, now);
        self.poll_timers(context, dispatcher, now)?;

        if let Err(fault) = self.poll_write(context, dispatcher, now) {
            let last = self.drain_input(context, dispatcher);
            return Poll::Ready(Err(last.err().unwrap_or(fault)));
        }
        if commands.can_continue(dispatcher) {
            context.waker().wake_by_ref();
        }
        if dispatcher.drain_outputs() {
            context.waker().wake_by_ref();
        }

        let is_drained = self.stream.is_written() && dispatcher.state.is_drained();
        if commands.poll_stop(context, is_drained).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if commands.new_settings.is_some() {
            return Poll::Ready(Err(Fault {
                close_reason: CloseReason::Reconfigured,
                reason: Some(Reason::SUCCESS),
            }));
        }

        if self.stream.poll_read(context)?.is_ready() {
            self.keepalive.on_received(now);
            self.dispatch_packets(dispatcher)?;
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Reads what the broker sent before it stopped reading: acknowledgements, and the reason for the end.
    fn drain_input(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
    ) -> Result<(), Fault> {
        while let Poll::Ready(Ok(())) = self.stream.poll_read(context) {
            self.dispatch_packets(dispatcher)?;
        }
        Ok(())
    }

    fn dispatch_packets(&mut self, dispatcher: &mut Dispatcher) -> Result<(), Fault> {
        // until no packet is complete: a fault of a later packet shows only after those before it were taken
        loop {
            let mut batch = self.stream.packets()?;
            if batch.is_empty() {
                return Ok(());
            }
            while let Some(packet) = batch.next_packet() {
                dispatch(packet?, dispatcher)?;
            }
        }
    }

    /// Encodes and writes until there is nothing more or the socket is full.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
        now: Instant,
    ) -> Result<(), Fault> {
        loop {
            dispatcher.republish();
            self.encode(dispatcher);
            match self.stream.poll_write(context)? {
                WriteProgress::Idle => return Ok(()),
                WriteProgress::Complete => self.keepalive.on_sent(now, true),
                WriteProgress::Partial => {
                    self.keepalive.on_sent(now, false);
                    return Ok(());
                }
                WriteProgress::Stalled => {
                    self.keepalive.on_stalled(now);
                    return Ok(());
                }
            }
        }
    }

    fn encode(&mut self, dispatcher: &mut Dispatcher) {
        while self.stream.has_room() {
            let Some(packet) = dispatcher.state.poll_transmit() else {
                return;
            };
            if let Err(error) = self.stream.encode(&packet) {
                error!("{error}");
            }
        }
    }

    fn poll_head_of_line(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
        now: Instant,
    ) {
        let next = now + HEAD_OF_LINE_INTERVAL;
        if self.head_of_line_timer.is_none() && dispatcher.state.unacknowledged() > 0 {
            self.head_of_line_timer = Some(Box::pin(sleep_until(next.into())));
        }
        while let Some(timer) = &mut self.head_of_line_timer
            && timer.as_mut().poll(context).is_ready()
        {
            if dispatcher.check_head_of_line() {
                timer.as_mut().reset(next.into());
            } else {
                self.head_of_line_timer = None;
            }
        }
    }

    /// Lets time pass. The timer is reset only when it has run out, since its deadline moves away with every packet, or when the state
    /// wants an earlier one.
    fn poll_timers(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
        now: Instant,
    ) -> Result<(), Fault> {
        dispatcher.handle_timeout(now);
        let wanted = dispatcher.state.poll_timeout(now);
        if let Some(wanted) = wanted
            && self.timer.deadline() > wanted.into()
        {
            self.timer.as_mut().reset(wanted.into());
        }

        while self.timer.as_mut().poll(context).is_ready() {
            match self.keepalive.due(now) {
                DueAction::Nothing => {}
                DueAction::Ping => dispatcher.state.ping(),
                DueAction::Silent(time) => {
                    let seconds = time.as_secs_f64();
                    return Err(Fault::keepalive_timeout(format!(
                        "the broker sent nothing for {seconds:.1} s"
                    )));
                }
                DueAction::Stalled(time) => {
                    let seconds = time.as_secs_f64();
                    return Err(Fault::keepalive_timeout(format!(
                        "the broker read nothing for {seconds:.1} s"
                    )));
                }
            }

            let next = self
                .keepalive
                .deadline()
                .unwrap_or_else(|| now + MAX_TIMER)
                .max(now + MIN_TIMER);
            let next = wanted.map_or(next, |wanted| next.min(wanted));
            self.timer.as_mut().reset(next.into());
        }

        Ok(())
    }
}

fn dispatch(packet: Incoming, dispatcher: &mut Dispatcher) -> Result<(), Fault> {
    if let Incoming::Disconnect { reason, text } = packet {
        return Err(Fault::from_disconnect(reason, text));
    }
    dispatcher.on_packet(packet).map_err(|violation| Fault {
        reason: Some(violation.reason),
        close_reason: CloseReason::Lost(violation.to_string()),
    })
}

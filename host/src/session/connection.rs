//! Actor: serves one connection until it ends. In: bytes of the broker, commands, the clock. Out: bytes, deliveries, why it ended.
//! Owns the wire and its keepalive.
//!
//! One turn: take the commands that wait, write once, read once, route what came. When something came, the task steps back so
//! that the services run, and their commits go out together in the next turn's write.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};
use tracing::error;

use super::attempt::leave;
use super::codec::CodecError;
use super::dispatcher::Dispatcher;
use super::framed::{FramedStream, WriteProgress};
use super::now;
use super::packet::{Incoming, Reason};
use super::state::{Due, Keepalive};
use super::task::Orders;

/// Why a connection ended.
#[derive(Debug)]
pub enum CloseReason {
    /// We were told to stop, and said goodbye.
    Stopped,
    /// Another client has our client identifier.
    TakenOver,
    /// There are new settings to connect with; we said goodbye.
    Reconfigured,
    /// The broker has not what was asked of it, by this reason; the session reconnects and asks for less.
    Unsupported(Reason, String),
    /// The broker closed it, perhaps for something that it was sent; the session reconnects.
    ClosedByBroker(String),
    /// Anything else; the session reconnects.
    Lost(String),
}

/// What is wrong, and what the broker is told about it.
struct Fault {
    ended: CloseReason,
    reason: Option<Reason>,
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        let text = match error.kind() {
            ErrorKind::UnexpectedEof => "the broker closed it".to_owned(),
            _ => error.to_string(),
        };
        let closed = matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::WriteZero
        );
        Self {
            ended: if closed {
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
            ended: CloseReason::Lost(error.to_string()),
        }
    }
}

/// A connection that is being served.
#[derive(Debug)]
pub struct ServedConnection {
    wire: FramedStream,
    keepalive: Keepalive,
    timer: Pin<Box<Sleep>>,
    /// When to look for messages that hold up others; `None`: nothing is unacknowledged.
    look: Option<Pin<Box<Sleep>>>,
}

impl ServedConnection {
    pub fn new(wire: FramedStream, keepalive: Keepalive) -> Self {
        let first = keepalive.deadline().unwrap_or_else(far);
        Self {
            wire,
            keepalive,
            timer: Box::pin(sleep_until(first.into())),
            look: None,
        }
    }

    /// Serves until the connection ends.
    pub async fn run(mut self, dispatcher: &mut Dispatcher, orders: &mut Orders) -> CloseReason {
        // what came together with CONNACK waits in the wire already
        let mut outcome = self.packets(dispatcher);
        if outcome.is_ok() {
            outcome = poll_fn(|context| self.turn(context, dispatcher, orders)).await;
        }
        let Err(fault) = outcome else {
            return self.goodbye(Reason::SUCCESS, CloseReason::Stopped).await;
        };
        match fault.reason {
            Some(reason) => self.goodbye(reason, fault.ended).await,
            None => fault.ended,
        }
    }

    /// Ready: told to stop and nothing is left, or the connection is to be given up.
    fn turn(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
        orders: &mut Orders,
    ) -> Poll<Result<(), Fault>> {
        let now = now();
        orders.poll(context, dispatcher);
        self.look_at_head_of_line(context, dispatcher, now);
        self.watch(context, dispatcher, now)?;
        if let Err(fault) = self.write(context, dispatcher, now) {
            return Poll::Ready(Err(self
                .last_words(context, dispatcher)
                .err()
                .unwrap_or(fault)));
        }
        if orders.may_go_on(dispatcher) {
            context.waker().wake_by_ref();
        }
        if dispatcher.report() {
            context.waker().wake_by_ref();
        }
        let drained = self.wire.is_written() && dispatcher.state.is_drained();
        if orders.poll_stop(context, drained).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if orders.renewal.is_some() {
            return Poll::Ready(Err(Fault {
                ended: CloseReason::Reconfigured,
                reason: Some(Reason::SUCCESS),
            }));
        }
        if self.wire.poll_read(context)?.is_ready() {
            self.keepalive.received(now);
            self.packets(dispatcher)?;
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The connection takes nothing more; what the broker said before is still read: what it took, and why it ends.
    fn last_words(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
    ) -> Result<(), Fault> {
        while let Poll::Ready(Ok(())) = self.wire.poll_read(context) {
            self.packets(dispatcher)?;
        }
        Ok(())
    }

    fn packets(&mut self, dispatcher: &mut Dispatcher) -> Result<(), Fault> {
        // until nothing is complete: what is wrong with a later packet shows only when those before it are out
        loop {
            let mut batch = self.wire.packets()?;
            if batch.is_empty() {
                return Ok(());
            }
            while let Some(packet) = batch.next_packet() {
                packet_came(packet?, dispatcher)?;
            }
        }
    }

    /// Encodes and writes until there is nothing more or the socket is full.
    fn write(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
        now: Instant,
    ) -> Result<(), Fault> {
        loop {
            dispatcher.publish_again();
            self.encode(dispatcher);
            let w = self.wire.poll_write(context)?;
            match w {
                WriteProgress::Idle => return Ok(()),
                WriteProgress::Complete => self.keepalive.sent(now, true),
                WriteProgress::Partial => {
                    self.keepalive.sent(now, false);
                    return Ok(());
                }
                WriteProgress::Stalled => {
                    self.keepalive.stalled(now);
                    return Ok(());
                }
            }
        }
    }

    fn encode(&mut self, dispatcher: &mut Dispatcher) {
        while self.wire.has_room() {
            let Some(packet) = dispatcher.state.next_packet() else {
                return;
            };
            if let Err(error) = self.wire.encode(&packet) {
                error!("{error}");
            }
        }
    }

    fn look_at_head_of_line(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
        now: Instant,
    ) {
        if self.look.is_none() && dispatcher.state.unacknowledged() > 0 {
            self.look = Some(Box::pin(sleep_until((now + LOOK).into())));
        }
        while let Some(timer) = &mut self.look
            && timer.as_mut().poll(context).is_ready()
        {
            if dispatcher.look_at_head_of_line() {
                timer.as_mut().reset((now + LOOK).into());
            } else {
                self.look = None;
            }
        }
    }

    /// The timer is set anew only when it has run out: deadlines move away with every packet.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        dispatcher: &mut Dispatcher,
        now: Instant,
    ) -> Result<(), Fault> {
        dispatcher.tick(now);
        let often = dispatcher.state.wants_ticks();
        if often && self.timer.deadline() > (now + OFTEN).into() {
            self.timer.as_mut().reset((now + OFTEN).into());
        }
        while self.timer.as_mut().poll(context).is_ready() {
            match self.keepalive.due(now) {
                Due::Nothing => {}
                Due::Ping => dispatcher.state.ping(),
                Due::Silent(time) => {
                    return Err(gone(format!(
                        "nothing came for {:.1} s",
                        time.as_secs_f64()
                    )));
                }
                Due::Stalled(time) => {
                    return Err(gone(format!(
                        "the broker read nothing for {:.1} s",
                        time.as_secs_f64()
                    )));
                }
            }
            let next = self
                .keepalive
                .deadline()
                .unwrap_or_else(far)
                .max(now + TICK);
            let next = if often { next.min(now + OFTEN) } else { next };
            self.timer.as_mut().reset(next.into());
        }
        Ok(())
    }

    /// Says DISCONNECT as far as the socket takes it at once, and closes.
    async fn goodbye(self, reason: Reason, ended: CloseReason) -> CloseReason {
        leave(self.wire, reason).await;
        ended
    }
}

fn packet_came(packet: Incoming, dispatcher: &mut Dispatcher) -> Result<(), Fault> {
    if let Incoming::Disconnect { reason, text } = packet {
        return Err(disconnected(reason, text));
    }
    dispatcher.received(packet).map_err(|violation| Fault {
        reason: Some(violation.reason),
        ended: CloseReason::Lost(violation.to_string()),
    })
}

/// How often to look for messages that hold up others: they are asked for when they are between one and two of these old.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);
/// The finest distance of two looks at the clock.
const TICK: std::time::Duration = std::time::Duration::from_millis(1);
/// How often the time is told where it matters.
const OFTEN: std::time::Duration = std::time::Duration::from_millis(100);

fn far() -> Instant {
    now() + std::time::Duration::from_secs(86_400)
}

fn gone(reason: String) -> Fault {
    Fault {
        ended: CloseReason::Lost(reason),
        reason: Some(Reason::KEEPALIVE_TIMEOUT),
    }
}

fn disconnected(reason: Reason, text: Option<String>) -> Fault {
    let ended = match reason {
        Reason::TAKEN_OVER => CloseReason::TakenOver,
        _ => {
            let words = text.map_or_else(String::new, |text| format!(": {text}"));
            let said = format!("the broker said DISCONNECT, {reason}{words}");
            match reason {
                _ if reason.is_unsupported() => CloseReason::Unsupported(reason, said),
                _ if reason.blames_nothing_sent() => CloseReason::Lost(said),
                _ => CloseReason::ClosedByBroker(said),
            }
        }
    };
    Fault {
        ended,
        reason: None,
    }
}

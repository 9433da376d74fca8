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
use super::desk::Desk;
use super::now;
use super::packet::{Incoming, Reason};
use super::state::{Due, Keepalive};
use super::task::Orders;
use super::wire::{Wire, Written};

/// Why a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// We were told to stop, and said goodbye.
    Stopped,
    /// Another client has our client identifier.
    TakenOver,
    /// There are new settings to connect with; we said goodbye.
    Renewed,
    /// The broker has not what was asked of it, by this reason; the session reconnects and asks for less.
    Unsupported(Reason, String),
    /// The broker closed it, perhaps for something that it was sent; the session reconnects.
    Closed(String),
    /// Anything else; the session reconnects.
    Lost(String),
}

/// What is wrong, and what the broker is told about it.
struct Fault {
    ended: Ended,
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
                Ended::Closed(text)
            } else {
                Ended::Lost(text)
            },
            reason: None,
        }
    }
}

impl From<CodecError> for Fault {
    fn from(error: CodecError) -> Self {
        Self {
            reason: Some(error.reason()),
            ended: Ended::Lost(error.to_string()),
        }
    }
}

/// A connection that is being served.
#[derive(Debug)]
pub struct Serving {
    wire: Wire,
    keepalive: Keepalive,
    timer: Pin<Box<Sleep>>,
    /// When to look for messages that hold up others; `None`: nothing is unacknowledged.
    look: Option<Pin<Box<Sleep>>>,
}

impl Serving {
    pub fn new(wire: Wire, keepalive: Keepalive) -> Self {
        let first = keepalive.deadline().unwrap_or_else(far);
        Self {
            wire,
            keepalive,
            timer: Box::pin(sleep_until(first.into())),
            look: None,
        }
    }

    /// Serves until the connection ends.
    pub async fn run(mut self, desk: &mut Desk, orders: &mut Orders) -> Ended {
        // what came together with CONNACK waits in the wire already
        let mut outcome = self.packets(desk);
        if outcome.is_ok() {
            outcome = poll_fn(|context| self.turn(context, desk, orders)).await;
        }
        let Err(fault) = outcome else {
            return self.goodbye(Reason::SUCCESS, Ended::Stopped).await;
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
        desk: &mut Desk,
        orders: &mut Orders,
    ) -> Poll<Result<(), Fault>> {
        let now = now();
        orders.poll(context, desk);
        self.look_at_head_of_line(context, desk, now);
        self.watch(context, desk, now)?;
        if let Err(fault) = self.write(context, desk, now) {
            return Poll::Ready(Err(self.last_words(context, desk).err().unwrap_or(fault)));
        }
        if orders.may_go_on(desk) {
            context.waker().wake_by_ref();
        }
        if desk.report() {
            context.waker().wake_by_ref();
        }
        let drained = self.wire.is_written() && desk.state.is_drained();
        if orders.poll_stop(context, drained).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if orders.renewal.is_some() {
            return Poll::Ready(Err(Fault {
                ended: Ended::Renewed,
                reason: Some(Reason::SUCCESS),
            }));
        }
        if self.wire.poll_read(context)?.is_ready() {
            self.keepalive.received(now);
            self.packets(desk)?;
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The connection takes nothing more; what the broker said before is still read: what it took, and why it ends.
    fn last_words(&mut self, context: &mut Context<'_>, desk: &mut Desk) -> Result<(), Fault> {
        while let Poll::Ready(Ok(())) = self.wire.poll_read(context) {
            self.packets(desk)?;
        }
        Ok(())
    }

    fn packets(&mut self, desk: &mut Desk) -> Result<(), Fault> {
        // until nothing is complete: what is wrong with a later packet shows only when those before it are out
        loop {
            let mut batch = self.wire.packets()?;
            if batch.is_empty() {
                return Ok(());
            }
            while let Some(packet) = batch.next_packet() {
                packet_came(packet?, desk)?;
            }
        }
    }

    /// Encodes and writes until there is nothing more or the socket is full.
    fn write(
        &mut self,
        context: &mut Context<'_>,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<(), Fault> {
        loop {
            desk.publish_again();
            self.encode(desk);
            let w = self.wire.poll_write(context)?;
            match w {
                Written::Nothing => return Ok(()),
                Written::All => self.keepalive.sent(now, true),
                Written::Some => {
                    self.keepalive.sent(now, false);
                    return Ok(());
                }
                Written::Stalled => {
                    self.keepalive.stalled(now);
                    return Ok(());
                }
            }
        }
    }

    fn encode(&mut self, desk: &mut Desk) {
        while self.wire.has_room() {
            let Some(packet) = desk.state.next_packet() else {
                return;
            };
            if let Err(error) = self.wire.encode(&packet) {
                error!("{error}");
            }
        }
    }

    fn look_at_head_of_line(&mut self, context: &mut Context<'_>, desk: &mut Desk, now: Instant) {
        if self.look.is_none() && desk.state.unacknowledged() > 0 {
            self.look = Some(Box::pin(sleep_until((now + LOOK).into())));
        }
        while let Some(timer) = &mut self.look
            && timer.as_mut().poll(context).is_ready()
        {
            if desk.look_at_head_of_line() {
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
        desk: &mut Desk,
        now: Instant,
    ) -> Result<(), Fault> {
        desk.tick(now);
        let often = desk.state.wants_ticks();
        if often && self.timer.deadline() > (now + OFTEN).into() {
            self.timer.as_mut().reset((now + OFTEN).into());
        }
        while self.timer.as_mut().poll(context).is_ready() {
            match self.keepalive.due(now) {
                Due::Nothing => {}
                Due::Ping => desk.state.ping(),
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
    async fn goodbye(self, reason: Reason, ended: Ended) -> Ended {
        leave(self.wire, reason).await;
        ended
    }
}

fn packet_came(packet: Incoming, desk: &mut Desk) -> Result<(), Fault> {
    if let Incoming::Disconnect { reason, text } = packet {
        return Err(disconnected(reason, text));
    }
    desk.received(packet).map_err(|violation| Fault {
        reason: Some(violation.reason),
        ended: Ended::Lost(violation.to_string()),
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
        ended: Ended::Lost(reason),
        reason: Some(Reason::KEEPALIVE_TIMEOUT),
    }
}

fn disconnected(reason: Reason, text: Option<String>) -> Fault {
    let ended = match reason {
        Reason::TAKEN_OVER => Ended::TakenOver,
        _ => {
            let words = text.map_or_else(String::new, |text| format!(": {text}"));
            let said = format!("the broker said DISCONNECT, {reason}{words}");
            match reason {
                _ if reason.is_unsupported() => Ended::Unsupported(reason, said),
                _ if reason.blames_nothing_sent() => Ended::Lost(said),
                _ => Ended::Closed(said),
            }
        }
    };
    Fault {
        ended,
        reason: None,
    }
}

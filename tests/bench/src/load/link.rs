//! One connection of the generator. It sends packets, counts answers, and gives the other side all
//! that it needs (acknowledgements, subscriptions, pings); only answers reach the measurement.

use std::collections::VecDeque;
use std::io;

use anyhow::{Context, Result, bail};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::wire::packets::{Filters, push_ack, push_packet, read_connect};
use crate::wire::properties::push_varint;
use crate::wire::{Frame, Inbox, Publish, Template, Version, kind};

/// A subscription of the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscriber {
    /// The filter.
    pub filter: String,
    /// The subscription identifier that came with it; zero when there was none.
    pub id: u32,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    inbox: Inbox,
    outbox: Vec<u8>,
    sent: usize,
    pid: u16,
    /// Version that the other side speaks.
    pub version: Version,
    /// How many QoS 1 messages the other side takes at once.
    pub receive_maximum: usize,
    /// QoS 1 messages that it has not acknowledged.
    pub unacknowledged: usize,
    /// Its subscriptions, in order.
    pub subscribed: Vec<Subscriber>,
    /// The topic whose messages are answers.
    pub answer_topic: Vec<u8>,
    /// Messages on other topics.
    pub others: u64,
    /// Messages with their stamps that wait until the other side has acknowledged others, as they do in a broker.
    waiting: VecDeque<(Template, Vec<u8>)>,
}

impl Link {
    /// A connection on which nothing was said yet.
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            inbox: Inbox::default(),
            outbox: Vec::with_capacity(1 << 20),
            sent: 0,
            pid: 0,
            version: Version::V5,
            receive_maximum: usize::from(u16::MAX),
            unacknowledged: 0,
            subscribed: vec![],
            answer_topic: vec![],
            others: 0,
            waiting: VecDeque::new(),
        })
    }

    /// A message to the other side on `topic`, as a broker sends it: with the identifier of the subscription.
    pub(crate) fn template(&self, topic: &str, payload: &[u8], qos: u8) -> Template {
        let id = self
            .subscribed
            .iter()
            .find(|s| s.filter == topic)
            .map_or(0, |s| s.id);
        Template::new(topic, payload, qos, self.version, id)
    }

    /// Queues raw bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// Queues a message; `stamp` replaces the first bytes of its payload.
    #[inline]
    pub(crate) fn publish(&mut self, template: &Template, stamp: &[u8]) {
        let pid = &mut self.pid;
        let next = || {
            *pid = if *pid == u16::MAX { 1 } else { *pid + 1 };
            *pid
        };
        match stamp {
            [] => template.push(&mut self.outbox, next),
            stamp => template.push_stamped(&mut self.outbox, next, stamp),
        }
        self.unacknowledged += usize::from(template.is_acknowledged());
    }

    /// Queues a message as `publish`, behind those that wait; one that is to be acknowledged is sent when the receive maximum allows it.
    pub(crate) fn queue(&mut self, template: &Template, stamp: &[u8]) {
        if template.is_acknowledged() {
            self.waiting.push_back((template.clone(), stamp.to_vec()));
        } else {
            self.publish(template, stamp);
        }
    }

    /// How many more messages the other side takes now.
    #[inline]
    pub(crate) fn credit(&self, template: &Template) -> usize {
        if template.is_acknowledged() {
            self.receive_maximum.saturating_sub(self.unacknowledged)
        } else {
            usize::MAX
        }
    }

    /// Writes what is queued as far as the socket takes it, waits until something comes, and handles all of it:
    /// `answer` gets the payload of each answer. Cancelling it loses nothing.
    ///
    /// # Errors
    /// When the connection is gone, or something came that cannot be read.
    pub(crate) async fn turn(&mut self, mut answer: impl FnMut(&[u8])) -> Result<()> {
        loop {
            self.flush()?;
            let interest = if self.outbox.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            self.stream.ready(interest).await?;
            let stream = &self.stream;
            match self.inbox.fill(|room| stream.try_read(room)) {
                Ok(0) => bail!("the connection was closed"),
                Ok(_) => {
                    while let Some(frame) = self.inbox.next() {
                        self.handle(frame, &mut answer)?;
                    }
                    return self.flush();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes what is queued as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while self.unacknowledged < self.receive_maximum
            && let Some((template, stamp)) = self.waiting.pop_front()
        {
            self.publish(&template, &stamp);
        }
        while self.sent < self.outbox.len() {
            match self.stream.try_write(&self.outbox[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }

        self.outbox.clear();
        self.sent = 0;
        Ok(())
    }

    #[inline]
    fn handle(&mut self, frame: Frame, answer: &mut impl FnMut(&[u8])) -> Result<()> {
        match frame.kind() {
            kind::PUBLISH => self
                .handle_publish(&frame, answer)
                .context("a PUBLISH that cannot be read"),
            kind::PUBACK => {
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
                Ok(())
            }
            _ => self
                .handle_other(&frame)
                .with_context(|| format!("a packet {:#x} that cannot be read", frame.first)),
        }
    }

    #[inline]
    fn handle_publish(&mut self, frame: &Frame, answer: &mut impl FnMut(&[u8])) -> Option<()> {
        let publish = Publish::read(self.inbox.body(frame), frame.qos(), self.version)?;
        if publish.topic == self.answer_topic {
            answer(publish.payload);
        } else {
            self.others += 1;
        }
        match frame.qos() {
            0 => {}
            1 => push_ack(&mut self.outbox, kind::PUBACK, publish.pid),
            _ => push_ack(&mut self.outbox, kind::PUBREC, publish.pid),
        }
        Some(())
    }

    fn handle_other(&mut self, frame: &Frame) -> Option<()> {
        let body = self.inbox.body(frame);
        match frame.kind() {
            kind::CONNECT => {
                let (version, receive_maximum) = read_connect(body)?;
                (self.version, self.receive_maximum) = (version, receive_maximum.into());
                let connack: &[u8] = if version == Version::V5 {
                    &[0, 0, 0]
                } else {
                    &[0, 0]
                };
                push_packet(&mut self.outbox, kind::CONNACK, connack);
            }
            kind::SUBSCRIBE => {
                let read = Filters::read(body, self.version, true)?;
                let granted: Vec<u8> = read
                    .filters
                    .iter()
                    .map(|(_, options)| options & 3)
                    .collect();
                let id = read.id;
                self.subscribed
                    .extend(read.filters.iter().map(|(filter, _)| Subscriber {
                        filter: String::from_utf8_lossy(filter).into_owned(),
                        id,
                    }));
                push_grants(
                    &mut self.outbox,
                    kind::SUBACK,
                    read.pid,
                    self.version,
                    &granted,
                );
            }
            kind::UNSUBSCRIBE => {
                let read = Filters::read(body, self.version, false)?;
                let done = vec![
                    0;
                    if self.version == Version::V5 {
                        read.filters.len()
                    } else {
                        0
                    }
                ];

                push_grants(
                    &mut self.outbox,
                    kind::UNSUBACK,
                    read.pid,
                    self.version,
                    &done,
                );
            }
            kind::PUBREL => push_ack(
                &mut self.outbox,
                kind::PUBCOMP,
                u16::from_be_bytes(*body.first_chunk()?),
            ),
            kind::PINGREQ => push_packet(&mut self.outbox, kind::PINGRESP, &[]),
            _ => {}
        }

        Some(())
    }
}

/// Appends SUBACK or UNSUBACK.
fn push_grants(out: &mut Vec<u8>, first: u8, pid: u16, version: Version, grants: &[u8]) {
    let mut body = pid.to_be_bytes().to_vec();
    if version == Version::V5 {
        push_varint(&mut body, 0);
    }
    body.extend(grants);
    push_packet(out, first, &body);
}

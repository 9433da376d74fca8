//! Queue of messages on disk, for those that do not fit into memory.
//!
//! A broker should stop at the receive maximum, but not every broker does: mosquitto 2.0.11 sends that many more for each
//! acknowledgement of the oldest message. The broker keeps each message until it is acknowledged, so nothing here has to survive the
//! process: the files have no names. Writing and most reading happen in the system's page cache, because a file is usually read long
//! before the system would write it out. If the disk is slower than the broker, the session reads no faster than the disk writes,
//! so the broker waits.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::{Delivery, Trace};
use crate::message::{Message, Receipt, record};
use crate::secure_dir;
use crate::span;

/// Size at which another file is begun, so that the space of messages that were read is freed.
const FILE: u64 = 16 << 20;

/// Messages on disk.
#[derive(Debug)]
pub struct SpillQueue {
    /// Directory of the files; `None`: everything waits in memory.
    folder: Option<Arc<Path>>,
    /// Service whose messages these are, for the log.
    service: Arc<str>,
    threshold: usize,
    slots: VecDeque<Slot>,
    bytes: usize,
    files: VecDeque<Segment>,
    /// Whether the last message could not be written.
    failing: bool,
}

/// A message that waits.
#[derive(Debug)]
struct Slot {
    weight: usize,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    /// It could not be written.
    Memory(Box<Delivery>),
    /// It is the next in the files.
    Disk {
        head: usize,
        payload: usize,
        dup: bool,
        receipt: Option<Receipt>,
        trace: Option<Arc<Trace>>,
    },
}

/// A file, written at its end and read from its start.
#[derive(Debug)]
struct Segment {
    file: File,
    written: u64,
    read: u64,
}

/// A message that waited on disk and cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Receipt to acknowledge, so that the message holds up no others.
    pub receipt: Option<Receipt>,
    /// Reason for the log.
    pub reason: String,
}

impl Default for SpillQueue {
    /// Creates a queue that never uses the disk.
    fn default() -> Self {
        Self {
            folder: None,
            service: Arc::from(""),
            threshold: usize::MAX,
            slots: VecDeque::new(),
            bytes: 0,
            files: VecDeque::new(),
            failing: false,
        }
    }
}

impl SpillQueue {
    /// Creates a queue of `service` with files in `folder`, for when messages in memory take more than `threshold` bytes.
    pub fn new(folder: Arc<Path>, service: &str, threshold: usize) -> Self {
        Self {
            folder: Some(folder),
            service: Arc::from(service),
            threshold,
            ..Self::default()
        }
    }

    /// The name of the service, if it has one.
    pub(super) fn service(&self) -> Option<Arc<str>> {
        Some(Arc::clone(&self.service)).filter(|name| !name.is_empty())
    }

    /// Bytes that wait in memory before any wait here.
    pub(super) const fn threshold(&self) -> usize {
        self.threshold
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes that its messages would take in memory.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a message; it stays in memory when it cannot be written.
    pub(super) fn push(&mut self, delivery: Delivery, weight: usize) {
        let storage = match self.write(&delivery) {
            Ok(storage) => {
                self.failing = false;
                storage
            }
            Err(error) => {
                self.log_failure(&error);
                Storage::Memory(Box::new(Delivery {
                    message: delivery.message.to_detached(),
                    ..delivery
                }))
            }
        };

        self.bytes += weight;
        self.slots.push_back(Slot { weight, storage });
    }

    fn log_failure(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let folder = self.folder.as_deref().unwrap_or(Path::new("")).display();
            let service = &*self.service;
            span::service(service).in_scope(|| {
                warn!(
                    "waiting messages take memory, because they cannot be written to a file in {folder}: {error}"
                );
            });
        }
    }

    fn write(&mut self, delivery: &Delivery) -> io::Result<Storage> {
        let Delivery {
            message,
            receipt,
            trace,
        } = delivery;
        let mut bytes = record::head(message)?.into_bytes();
        let head = bytes.len();
        let payload = message.payload.len();
        bytes.extend_from_slice(&message.payload);
        self.segment()?.write(&bytes)?;
        Ok(Storage::Disk {
            head,
            payload,
            dup: message.dup,
            receipt: *receipt,
            trace: trace.clone(),
        })
    }

    /// The file that has room; made if there is none.
    fn segment(&mut self) -> io::Result<&mut Segment> {
        let has_room = self
            .files
            .back()
            .is_some_and(|segment| segment.written < FILE);
        if !has_room {
            let folder = self.folder.as_deref().ok_or(io::ErrorKind::Unsupported)?;
            secure_dir::create(folder)?;
            self.files.push_back(Segment {
                file: tempfile::tempfile_in(folder)?,
                written: 0,
                read: 0,
            });
        }

        self.files
            .back_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Takes the next message.
    pub(super) fn pop(&mut self) -> Option<Result<Delivery, Unreadable>> {
        let Slot { weight, storage } = self.slots.pop_front()?;
        self.bytes -= weight;
        let delivery = match storage {
            Storage::Memory(delivery) => Ok(*delivery),
            Storage::Disk {
                head,
                payload,
                dup,
                receipt,
                trace,
            } => match self.read(head, payload) {
                Ok(mut message) => {
                    message.dup = dup;
                    Ok(Delivery {
                        message,
                        receipt,
                        trace,
                    })
                }
                Err(error) => Err(Unreadable {
                    receipt,
                    reason: error.to_string(),
                }),
            },
        };

        if self.slots.is_empty() {
            self.files.clear();
        }
        Some(delivery)
    }

    fn read(&mut self, head: usize, payload: usize) -> io::Result<Message> {
        while self.files.len() > 1 && self.files.front().is_some_and(Segment::is_read) {
            self.files.pop_front();
        }
        let bytes = self
            .files
            .front_mut()
            .ok_or(io::ErrorKind::NotFound)?
            .read(head + payload)?;
        let (head, payload) = bytes.split_at(head);
        let message = std::str::from_utf8(head)
            .ok()
            .and_then(|head| record::message(head, payload));
        message.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Receipts of all messages, in order.
    pub(super) fn receipts(&self) -> impl Iterator<Item = Option<Receipt>> {
        self.slots.iter().map(Slot::receipt)
    }

    /// Removes all messages. Returns their receipts.
    pub(super) fn clear(&mut self) -> Vec<Receipt> {
        self.files.clear();
        self.bytes = 0;
        std::mem::take(&mut self.slots)
            .iter()
            .filter_map(Slot::receipt)
            .collect()
    }
}

impl Slot {
    fn receipt(&self) -> Option<Receipt> {
        match &self.storage {
            Storage::Memory(delivery) => delivery.receipt,
            Storage::Disk { receipt, .. } => *receipt,
        }
    }
}

impl Segment {
    const fn is_read(&self) -> bool {
        self.read == self.written
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Reads the next `count` bytes. They count as read even when that fails.
    fn read(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let from = self.read;
        self.read += count as u64;
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::{Message, Properties, Qos};
    use crate::topic::Topic;

    fn delivery(number: u64, payload: Vec<u8>) -> Delivery {
        let topic = Topic::new("house/attic").unwrap();
        let user_properties = vec![("number".to_owned(), number.to_string())];
        let mut message = Message::new(topic.clone(), payload, Qos::ExactlyOnce, true);
        message.dup = number.is_multiple_of(2);
        message.properties = Some(Box::new(Properties {
            user_properties,
            utf8: true,
            ..Properties::default()
        }));
        let trace = Some(Arc::new(Trace {
            origin: topic,
            rounds: 3,
        }));
        Delivery {
            message,
            receipt: Some(Receipt::Arrived(number)),
            trace,
        }
    }

    fn push(queue: &mut SpillQueue, delivery: Delivery) {
        let weight = delivery.message.weight();
        queue.push(delivery, weight);
    }

    fn on_disk(queue: &SpillQueue) -> usize {
        queue
            .slots
            .iter()
            .filter(|slot| matches!(slot.storage, Storage::Disk { .. }))
            .count()
    }

    #[test]
    fn spilled_messages_return_whole_and_files_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = SpillQueue::new(folder.path().join("new").into(), "it", 0);
        let payload = |number: u64| vec![u8::try_from(number).unwrap(); 1 << 20];
        for number in 0..40 {
            push(&mut queue, delivery(number, payload(number)));
            assert_eq!(on_disk(&queue), queue.len());
            if number >= 20 {
                assert_eq!(
                    queue.pop().unwrap(),
                    Ok(delivery(number - 20, payload(number - 20)))
                );
            }
        }

        // 20 MiB wait: in the file that is read, the one that is written, and at most one between them
        assert!(queue.files.len() <= 3, "{} files", queue.files.len());
        assert!(queue.bytes() > 20 << 20);
        for number in 20..40 {
            assert_eq!(queue.pop().unwrap(), Ok(delivery(number, payload(number))));
        }
        assert_eq!(
            (queue.pop(), queue.bytes(), queue.files.len()),
            (None, 0, 0)
        );
        assert_eq!(
            std::fs::read_dir(folder.path().join("new"))
                .unwrap()
                .count(),
            0,
            "the files have no names"
        );
    }

    #[test]
    fn messages_that_cannot_be_spilled_wait_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let blocked: Arc<Path> = folder.path().join("file").into();
        std::fs::write(&blocked, "").unwrap();
        let mut queue = SpillQueue::new(Arc::clone(&blocked), "it", 0);
        push(&mut queue, delivery(0, vec![1]));
        assert!(queue.failing && on_disk(&queue) == 0);
        std::fs::remove_file(&blocked).unwrap();
        push(&mut queue, delivery(1, vec![2]));
        assert!(!queue.failing && on_disk(&queue) == 1);
        let taken: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(Result::unwrap)
            .collect();
        assert_eq!(taken, [delivery(0, vec![1]), delivery(1, vec![2])]);
    }

    #[test]
    fn unreadable_messages_are_reported_and_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = SpillQueue::new(folder.path().into(), "it", 0);
        push(&mut queue, delivery(0, vec![1; 9]));
        push(&mut queue, delivery(1, vec![2; 9]));
        queue.files[0].file.write_all_at(b"?", 0).unwrap();
        assert_eq!(
            queue.pop().unwrap().unwrap_err().receipt,
            Some(Receipt::Arrived(0))
        );
        assert_eq!(queue.pop().unwrap(), Ok(delivery(1, vec![2; 9])));
        push(&mut queue, delivery(2, vec![3; 9]));
        queue.files[0].file.set_len(0).unwrap();
        assert_eq!(
            queue.pop().unwrap().unwrap_err().receipt,
            Some(Receipt::Arrived(2))
        );
    }
}

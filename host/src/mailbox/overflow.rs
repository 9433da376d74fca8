//! Machine: messages that wait on disk because there are too many for memory. In: deliveries. Out: the same, in order. Owns files
//! without names, which are gone with the process.
//!
//! A broker should stop at the receive maximum, and not every one does: mosquitto 2.0.11 sends that many more for each
//! acknowledgement of the oldest. What it sends it also keeps until it is acknowledged, so nothing here has to survive. Writing goes
//! to the system's cache of pages and so does reading, mostly: a file is emptied long before the system would write it out. Where the
//! disk is slower than the broker, the session reads no faster than the disk writes, and so the broker waits.

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

/// When a file is so large, another one is begun, so that what was read is given back to the disk.
const FILE: u64 = 16 << 20;

/// Messages on disk.
#[derive(Debug)]
pub struct Overflow {
    /// Where the files are; `None`: everything waits in memory.
    folder: Option<Arc<Path>>,
    /// Whose messages these are, for the log.
    service: Arc<str>,
    begins_at: usize,
    slots: VecDeque<Slot>,
    bytes: usize,
    files: VecDeque<Pages>,
    /// The last message could not be written.
    failing: bool,
}

/// A message that waits.
#[derive(Debug)]
struct Slot {
    weight: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
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
struct Pages {
    file: File,
    written: u64,
    read: u64,
}

/// A message that waited on disk and cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What to name so that it holds up no others.
    pub receipt: Option<Receipt>,
    /// Why.
    pub reason: String,
}

impl Default for Overflow {
    /// Nothing ever waits on disk.
    fn default() -> Self {
        Self {
            folder: None,
            service: Arc::from(""),
            begins_at: usize::MAX,
            slots: VecDeque::new(),
            bytes: 0,
            files: VecDeque::new(),
            failing: false,
        }
    }
}

impl Overflow {
    /// Messages of `service` wait in files in `folder` when those in memory take more than `begins_at` bytes.
    pub fn new(folder: Arc<Path>, service: &str, begins_at: usize) -> Self {
        Self {
            folder: Some(folder),
            service: Arc::from(service),
            begins_at,
            ..Self::default()
        }
    }

    /// The name of the service, where it has one.
    pub(super) fn service(&self) -> Option<Arc<str>> {
        Some(Arc::clone(&self.service)).filter(|name| !name.is_empty())
    }

    /// How many bytes wait in memory before any wait here.
    pub(super) const fn begins_at(&self) -> usize {
        self.begins_at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// What its messages would take in memory.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a message behind the others: into memory when it cannot be written.
    pub(super) fn push(&mut self, delivery: Delivery, weight: usize) {
        let place = match self.write(&delivery) {
            Ok(place) => {
                self.failing = false;
                place
            }
            Err(error) => {
                self.say(&error);
                Place::Memory(Box::new(Delivery {
                    message: delivery.message.detached(),
                    ..delivery
                }))
            }
        };
        self.bytes += weight;
        self.slots.push_back(Slot { weight, place });
    }

    fn say(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let folder = self.folder.as_deref().unwrap_or(Path::new("")).display();
            let service = &*self.service;
            warn!(
                service,
                "messages that wait take memory, because they cannot be written to a file in {folder}: {error}"
            );
        }
    }

    fn write(&mut self, delivery: &Delivery) -> io::Result<Place> {
        let Delivery {
            message,
            receipt,
            trace,
        } = delivery;
        let mut bytes = record::head(message)?.into_bytes();
        let (head, payload) = (bytes.len(), message.payload.len());
        bytes.extend_from_slice(&message.payload);
        self.pages()?.write(&bytes)?;
        Ok(Place::Disk {
            head,
            payload,
            dup: message.dup,
            receipt: *receipt,
            trace: trace.clone(),
        })
    }

    /// The file that has room.
    fn pages(&mut self) -> io::Result<&mut Pages> {
        let has_room = self.files.back().is_some_and(|pages| pages.written < FILE);
        if !has_room {
            let folder = self.folder.as_deref().ok_or(io::ErrorKind::Unsupported)?;
            secure_dir::create(folder)?;
            self.files.push_back(Pages {
                file: tempfile::tempfile_in(folder)?,
                written: 0,
                read: 0,
            });
        }
        self.files
            .back_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The next message.
    pub(super) fn pop(&mut self) -> Option<Result<Delivery, Unreadable>> {
        let Slot { weight, place } = self.slots.pop_front()?;
        self.bytes -= weight;
        let delivery = match place {
            Place::Memory(delivery) => Ok(*delivery),
            Place::Disk {
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
        while self.files.len() > 1 && self.files.front().is_some_and(Pages::is_read) {
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

    /// The receipts of all messages, in order.
    pub(super) fn receipts(&self) -> impl Iterator<Item = Option<Receipt>> {
        self.slots.iter().map(Slot::receipt)
    }

    /// Forgets all messages, and gives their receipts.
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
        match &self.place {
            Place::Memory(delivery) => delivery.receipt,
            Place::Disk { receipt, .. } => *receipt,
        }
    }
}

impl Pages {
    const fn is_read(&self) -> bool {
        self.read == self.written
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// The next `count` bytes. They count as read also when that fails.
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

    fn push(overflow: &mut Overflow, delivery: Delivery) {
        let weight = delivery.message.weight();
        overflow.push(delivery, weight);
    }

    fn on_disk(overflow: &Overflow) -> usize {
        overflow
            .slots
            .iter()
            .filter(|slot| matches!(slot.place, Place::Disk { .. }))
            .count()
    }

    #[test]
    fn spilled_messages_return_whole_and_files_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut overflow = Overflow::new(folder.path().join("new").into(), "it", 0);
        let payload = |number: u64| vec![u8::try_from(number).unwrap(); 1 << 20];
        for number in 0..40 {
            push(&mut overflow, delivery(number, payload(number)));
            assert_eq!(on_disk(&overflow), overflow.len());
            if number >= 20 {
                assert_eq!(
                    overflow.pop().unwrap(),
                    Ok(delivery(number - 20, payload(number - 20)))
                );
            }
        }
        // 20 MiB wait: in the file that is read, the one that is written, and at most one between them
        assert!(overflow.files.len() <= 3, "{} files", overflow.files.len());
        assert!(overflow.bytes() > 20 << 20);
        for number in 20..40 {
            assert_eq!(
                overflow.pop().unwrap(),
                Ok(delivery(number, payload(number)))
            );
        }
        assert_eq!(
            (overflow.pop(), overflow.bytes(), overflow.files.len()),
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
        let mut overflow = Overflow::new(Arc::clone(&blocked), "it", 0);
        push(&mut overflow, delivery(0, vec![1]));
        assert!(overflow.failing && on_disk(&overflow) == 0);
        std::fs::remove_file(&blocked).unwrap();
        push(&mut overflow, delivery(1, vec![2]));
        assert!(!overflow.failing && on_disk(&overflow) == 1);
        let taken: Vec<_> = std::iter::from_fn(|| overflow.pop())
            .map(Result::unwrap)
            .collect();
        assert_eq!(taken, [delivery(0, vec![1]), delivery(1, vec![2])]);
    }

    #[test]
    fn unreadable_messages_are_reported_and_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let mut overflow = Overflow::new(folder.path().into(), "it", 0);
        push(&mut overflow, delivery(0, vec![1; 9]));
        push(&mut overflow, delivery(1, vec![2; 9]));
        overflow.files[0].file.write_all_at(b"?", 0).unwrap();
        assert_eq!(
            overflow.pop().unwrap().unwrap_err().receipt,
            Some(Receipt::Arrived(0))
        );
        assert_eq!(overflow.pop().unwrap(), Ok(delivery(1, vec![2; 9])));
        push(&mut overflow, delivery(2, vec![3; 9]));
        overflow.files[0].file.set_len(0).unwrap();
        assert_eq!(
            overflow.pop().unwrap().unwrap_err().receipt,
            Some(Receipt::Arrived(2))
        );
    }
}

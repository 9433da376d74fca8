//! Cuts a stream of bytes into MQTT packets. Bytes are moved to the front of the buffer only when
//! the room behind them runs out. Pure.

use std::io;
use std::ops::Range;

use super::properties::varint;

/// Bytes that one read may bring.
const READ: usize = 256 * 1024;

/// One packet: its first byte, and where its body (everything behind the remaining length) stands in the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Packet type and flags.
    pub first: u8,
    /// Place of the body; valid until the next read.
    pub body: Range<usize>,
}

impl Frame {
    /// The packet type, one of `wire::kind`.
    pub(crate) fn kind(&self) -> u8 {
        self.first & 0xF0
    }

    /// The quality of service of a PUBLISH.
    pub(crate) fn qos(&self) -> u8 {
        (self.first >> 1) & 3
    }
}

/// The input buffer.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            bytes: vec![0; 2 * READ],
            start: 0,
            end: 0,
        }
    }
}

impl Inbox {
    /// Reads once with `read`, which gets the free part of the buffer; returns the number of bytes read.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn fill(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.bytes.len() - self.end < READ / 4 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.bytes.len() - self.end < READ / 4 {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
        }

        let n = read(&mut self.bytes[self.end..])?;
        self.end += n;
        Ok(n)
    }

    /// The next complete packet; `None` when there is none yet.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let first = *self
            .bytes
            .get(self.start)
            .filter(|_| self.start < self.end)?;
        let (length, bytes) = varint(&self.bytes[self.start + 1..self.end])?;
        let body = self.start + 1 + bytes..self.start + 1 + bytes + length as usize;
        (body.end <= self.end).then(|| {
            self.start = body.end;
            Frame { first, body }
        })
    }

    /// The body of `frame`.
    #[inline]
    pub(crate) fn body(&self, frame: &Frame) -> &[u8] {
        &self.bytes[frame.body.clone()]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn packets_are_cut_however_the_bytes_arrive() {
        let stream: Vec<u8> = [
            vec![0xC0, 0],
            vec![0x30, 3, 0, 1, b'a'],
            [vec![0x32, 200, 1], vec![7; 200]].concat(),
        ]
        .concat();
        for step in 1..stream.len() {
            let mut inbox = Inbox::default();
            let mut seen = vec![];
            for part in stream.chunks(step) {
                inbox
                    .fill(|room| {
                        room[..part.len()].copy_from_slice(part);
                        Ok(part.len())
                    })
                    .unwrap();

                while let Some(frame) = inbox.next() {
                    seen.push((frame.first, inbox.body(&frame).to_vec()));
                }
            }

            assert_eq!(
                seen,
                [
                    (0xC0, vec![]),
                    (0x30, vec![0, 1, b'a']),
                    (0x32, vec![7; 200])
                ],
                "in steps of {step}"
            );
        }
    }
}

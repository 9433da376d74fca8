//! A PUBLISH that is larger than allowed: its payload is read past, and only the beginning is kept.

use bytes::{Buf, BytesMut};

use super::frame::Header;
use super::publish;
use crate::session::packet::{RejectedPublish, TOO_LARGE};

/// The largest number of bytes after the fixed header that are needed to report and to acknowledge it: topic and packet identifier.
pub(super) const HEAD: usize = 2 + 65_535 + 2;

/// A packet that is being read past.
#[derive(Debug, Clone)]
pub(super) struct Oversize {
    /// Number of its bytes that are still to come.
    left: usize,
    rejected: RejectedPublish,
}

impl Oversize {
    /// Starts with a packet that begins in `buffer`; `None` while its topic and packet identifier are not there.
    pub(super) fn begin(header: &Header, buffer: &[u8]) -> Option<Self> {
        let body = buffer.get(header.start()..).unwrap_or_default();
        let topic = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
        let needed = header.remaining().min(2 + topic + 2);
        let head = body.get(..needed)?;
        Some(Self {
            left: header.size(),
            rejected: publish::rejected(header.flags(), head, header.size(), TOO_LARGE),
        })
    }

    /// Drops its bytes from `buffer`; `true` when that was the last one.
    pub(super) fn read_past(&mut self, buffer: &mut BytesMut) -> bool {
        let come = self.left.min(buffer.len());
        self.left -= come;
        if come == buffer.len() {
            // unlike `advance`, this leaves the memory to the next packet
            buffer.clear();
        } else {
            buffer.advance(come);
        }

        self.left == 0
    }

    /// The report about it.
    pub(super) fn into_rejected(self) -> RejectedPublish {
        self.rejected
    }
}

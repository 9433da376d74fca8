//! Machine: reads past a PUBLISH that is larger than allowed. In: its header, the bytes as they come. Out: what can be said of it, when
//! its last byte has come. Owns that, and none of its payload.

use bytes::{Buf, BytesMut};

use super::frame::Header;
use super::publish;
use crate::session::packet::{RejectedPublish, TOO_LARGE};

/// The most bytes after the fixed header that have to be there to name and to acknowledge it: a topic and a packet identifier.
pub const HEAD: usize = 2 + 65_535 + 2;

/// A packet that is being read past.
#[derive(Debug, Clone)]
pub struct Oversize {
    /// Bytes of it that are still to come.
    left: usize,
    rejected: RejectedPublish,
}

impl Oversize {
    /// A packet with this header that begins in `buffer`; `None` while its topic and packet identifier are not there.
    pub fn begin(header: &Header, buffer: &[u8]) -> Option<Self> {
        let body = buffer.get(header.start()..).unwrap_or_default();
        let topic = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
        let needed = header.remaining().min(2 + topic + 2);
        let head = body.get(..needed)?;
        Some(Self {
            left: header.size(),
            rejected: publish::rejected(header.flags(), head, header.size(), TOO_LARGE),
        })
    }

    /// Drops what has come of it; `true` when that was all.
    pub fn read_past(&mut self, buffer: &mut BytesMut) -> bool {
        let come = self.left.min(buffer.len());
        self.left -= come;
        if come == buffer.len() {
            // unlike `advance`, this leaves the memory to what comes next
            buffer.clear();
        } else {
            buffer.advance(come);
        }
        self.left == 0
    }

    /// What can be said of it.
    pub fn into_rejected(self) -> RejectedPublish {
        self.rejected
    }
}

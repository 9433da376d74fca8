//! Fields of a packet's body, never read beyond its end.

use std::ops::Range;

/// The body ended before the field did, or the field is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadField(pub &'static str);

const SHORT: BadField = BadField("a field of it reaches beyond its end");

/// A position in the body of a packet.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at >= self.body.len()
    }

    pub(super) fn u8(&mut self) -> Result<u8, BadField> {
        let byte = *self.body.get(self.at).ok_or(SHORT)?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, BadField> {
        let range = self.skip(2)?;
        Ok(u16::from_be_bytes([
            self.body[range.start],
            self.body[range.start + 1],
        ]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, BadField> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// Reads a variable byte integer (MQTT 5, section 1.5.5).
    pub(super) fn varint(&mut self) -> Result<u32, BadField> {
        let mut number = 0;
        for place in 0..4 {
            let byte = self.u8()?;
            number |= u32::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }

        Err(BadField("a variable byte integer of more than four bytes"))
    }

    /// Skips `count` bytes and returns their range.
    pub(super) fn skip(&mut self, count: usize) -> Result<Range<usize>, BadField> {
        let range = self.at..self.at + count;
        if range.end > self.body.len() {
            return Err(SHORT);
        }
        self.at = range.end;
        Ok(range)
    }

    /// Skips a field with a two-byte length and returns the range of its content.
    pub(super) fn field(&mut self) -> Result<Range<usize>, BadField> {
        let length = usize::from(self.u16()?);
        self.skip(length)
    }

    /// Reads a UTF-8 text.
    pub(super) fn text(&mut self) -> Result<&'a str, BadField> {
        let range = self.field()?;
        std::str::from_utf8(&self.body[range])
            .map_err(|_| BadField("a text of its properties is not UTF-8"))
    }

    /// Skips the properties that come next, and returns a reader of them. Positions stay those of the whole body.
    pub(super) fn properties(&mut self) -> Result<Reader<'a>, BadField> {
        let length = self.varint()? as usize;
        let range = self.skip(length)?;
        Ok(Reader {
            body: &self.body[..range.end],
            at: range.start,
        })
    }
}

//! Fields of a packet's body, to be written.

use bytes::{BufMut, BytesMut};

/// Writes a variable byte integer (MQTT 5, section 1.5.5).
pub(super) fn put_varint(mut number: usize, out: &mut BytesMut) {
    loop {
        let low = u8::try_from(number & 0x7F).unwrap_or_default();
        number >>= 7;
        out.put_u8(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return;
        }
    }
}

/// Writes bytes with their two-byte length; `publish_size` has checked that it fits.
pub(super) fn put_field(bytes: &[u8], out: &mut BytesMut) {
    out.put_u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(bytes);
}

/// Writes a text with its two-byte length.
pub(super) fn put_text(text: &str, out: &mut BytesMut) {
    put_field(text.as_bytes(), out);
}

//! Variable byte integers and the properties of MQTT 5 packets (section 2.2.2). Pure.

/// Reads a variable byte integer (section 1.5.5): its value and how many bytes it took; `None` when it is not complete.
#[inline]
pub(crate) fn varint(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }

    None
}

/// Appends `value` as a variable byte integer.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// Splits `bytes` after its properties: the properties, and the rest.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, used) = varint(bytes)?;
    bytes.get(used..)?.split_at_checked(length as usize)
}

/// The value of the first property `wanted` that is a number.
pub(crate) fn number(mut properties: &[u8], wanted: u8) -> Option<u32> {
    while let Some((&id, rest)) = properties.split_first() {
        let (value, length) = match id {
            0x0B => varint(rest)?,
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => {
                (big_endian(rest.get(..1)?), 1)
            }
            0x13 | 0x21 | 0x22 | 0x23 => (big_endian(rest.get(..2)?), 2),
            0x02 | 0x11 | 0x18 | 0x27 => (big_endian(rest.get(..4)?), 4),
            0x26 => {
                let name = 2 + big_endian(rest.get(..2)?) as usize;
                (0, name + 2 + big_endian(rest.get(name..name + 2)?) as usize)
            }
            _ => (0, 2 + big_endian(rest.get(..2)?) as usize),
        };

        if id == wanted {
            return Some(value);
        }
        properties = rest.get(length..)?;
    }

    None
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_byte_integers_of_the_standard() {
        for (value, bytes) in [
            (0, vec![0]),
            (127, vec![0x7F]),
            (128, vec![0x80, 1]),
            (268_435_455, vec![0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let mut out = vec![];
            push_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(varint(&out), Some((value as u32, bytes.len())));
        }

        assert_eq!(varint(&[0x80]), None);
    }

    #[test]
    fn a_number_is_found_behind_other_properties() {
        let properties = [
            0x26, 0, 1, b'a', 0, 2, b'b', b'c', 0x15, 0, 1, b'x', 0x11, 0, 0, 0, 9, 0x21, 1, 2,
        ];
        assert_eq!(number(&properties, 0x21), Some(258));
        assert_eq!(number(&properties, 0x22), None);
    }
}

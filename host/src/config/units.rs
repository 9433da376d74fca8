//! Spans of time and sizes as people write them (`1h30m`, `16MiB`), read and formatted.

use std::time::Duration;

/// The longest span that is accepted: a hundred years. More would overflow clocks.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Bytes of a KiB.
pub(super) const KIB: usize = 1024;
/// Bytes of a MiB.
pub(super) const MIB: usize = 1024 * KIB;
/// The largest size that is accepted.
pub(super) const MOST_BYTES: usize = usize::MAX >> 1;

const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// A span of time: numbers with the units d, h, m, s, ms, one after the other; whole milliseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (digits, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let unit = tail.split(|c: char| !c.is_ascii_alphabetic()).next()?;
        let factor = TIMES.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(scale(digits, factor)?)?;
        rest = tail[unit.len()..].trim_start();
    }

    let millis = u64::try_from(total)
        .ok()
        .filter(|_| !text.trim().is_empty())?;
    Some(Duration::from_millis(millis)).filter(|span| *span <= LONGEST)
}

/// A size in bytes: a number with one of the units B, KiB, MiB, GiB, kB, MB, GB; whole bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let factor = SIZES.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    u64::try_from(scale(digits, factor)?).ok()
}

/// `span` as `parse_duration` reads it; parts of a millisecond are dropped.
pub fn format_duration(span: Duration) -> String {
    let mut millis = span.as_millis();
    let mut text = String::new();
    for (unit, factor) in TIMES {
        let count = millis / u128::from(factor);
        millis %= u128::from(factor);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }

    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// `bytes` as `parse_size` reads it, in the largest unit that fits without rest.
pub(super) fn format_size(bytes: u64) -> String {
    let whole = SIZES[..4]
        .iter()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    whole.map_or_else(
        || format!("{bytes}B"),
        |(unit, factor)| format!("{}{unit}", bytes / factor),
    )
}

/// `digits` (with a decimal point perhaps) times `factor`; `None` when the product is not a whole number.
fn scale(digits: &str, factor: u64) -> Option<u128> {
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if integer.is_empty() || (digits.contains('.') && fraction.is_empty()) || fraction.len() > 9 {
        return None;
    }
    let divisor = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u128>().ok()?.checked_mul(factor.into())?
    };
    let whole = integer.parse::<u128>().ok()?.checked_mul(factor.into())?;
    if part.is_multiple_of(divisor) {
        whole.checked_add(part / divisor)
    } else {
        None
    }
}

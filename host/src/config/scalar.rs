//! Pure: what an unquoted word of YAML means (YAML 1.2, core schema, section 10.3). In: the word. Out: `Scalar`.
//! Owns nothing.

/// The value of a scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number, with infinities and NaN.
    Float(f64),
    /// Everything else, and everything in quotes.
    Text,
}

/// What the unquoted `word` means.
pub(super) fn resolve(word: &str) -> Scalar {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        _ => number(word).unwrap_or(Scalar::Text),
    }
}

/// Why MIQRO, whose YAML is of version 1.1, gave the guest something else for the unquoted `word` than this host does.
pub(super) fn differs_in_miqro(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    let mixed = word != lower
        && word != word.to_ascii_uppercase()
        && !word.starts_with(|c: char| c.is_uppercase());
    match lower.as_str() {
        _ if mixed => None,
        "yes" | "on" => {
            Some("is text here and was `true` in MIQRO; write true, or put it in quotes")
        }
        "no" | "off" => {
            Some("is text here and was `false` in MIQRO; write false, or put it in quotes")
        }
        _ if padded(word) => Some(
            "is text here and was an octal number in MIQRO; put it in quotes, or drop the zeros",
        ),
        _ if grouped(word) => Some(
            "is text here and was a number in MIQRO; write it without underscores, or in quotes",
        ),
        _ => None,
    }
}

fn number(word: &str) -> Option<Scalar> {
    let (sign, digits) = match word.as_bytes().first()? {
        b'-' => (-1, &word[1..]),
        b'+' => (1, &word[1..]),
        _ => (1, word),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Some(Scalar::Float(f64::from(sign) * f64::INFINITY));
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            let value = i128::from_str_radix(rest, radix)
                .ok()
                .filter(|_| !rest.starts_with(['+', '-']))?;
            return Some(Scalar::Int(i128::from(sign) * value));
        }
    }
    if padded(word) {
        return None; // 007 is a telephone extension rather than a number: keep the zeros
    }
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return digits
            .parse::<i128>()
            .ok()
            .map(|value| Scalar::Int(i128::from(sign) * value))
            .or_else(|| float(word));
    }
    float(word)
}

fn float(word: &str) -> Option<Scalar> {
    let allowed = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    let shaped = word.bytes().all(allowed) && word.bytes().any(|b| b.is_ascii_digit());
    if shaped {
        word.parse().ok().map(Scalar::Float)
    } else {
        None
    }
}

/// Leading zeros before further digits.
fn padded(word: &str) -> bool {
    let digits = word.trim_start_matches(['-', '+']);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

fn grouped(word: &str) -> bool {
    let digits = word.trim_start_matches(['-', '+']);
    let numeric = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'.'));
    numeric && digits.contains('_') && digits.starts_with(|c: char| c.is_ascii_digit())
}

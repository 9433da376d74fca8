//! The meaning of an unquoted word of YAML (YAML 1.2, core schema, section 10.3).

/// The value of a scalar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
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

/// The meaning of the unquoted `word`.
pub(super) fn resolve(word: &str) -> Scalar {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        _ => number(word).unwrap_or(Scalar::Text),
    }
}

/// The difference, if any, to MIQRO, whose YAML is of version 1.1: there a guest got another value for the unquoted `word`.
pub(super) fn difference_to_miqro(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    let mixed_case = word != lower
        && word != word.to_ascii_uppercase()
        && !word.starts_with(|c: char| c.is_uppercase());
    match lower.as_str() {
        _ if mixed_case => None,
        "yes" | "on" => {
            Some("is text here and was `true` in MIQRO; write true, or put it in quotes")
        }
        "no" | "off" => {
            Some("is text here and was `false` in MIQRO; write false, or put it in quotes")
        }
        _ if has_leading_zeros(word) => Some(
            "is text here and was an octal number in MIQRO; put it in quotes, or drop the zeros",
        ),
        _ if has_digit_groups(word) => Some(
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

    if has_leading_zeros(word) {
        // 007 is a telephone extension rather than a number: keep the zeros
        return None;
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

/// Whether there are zeros before further digits.
fn has_leading_zeros(word: &str) -> bool {
    let digits = word.trim_start_matches(['-', '+']);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the digits are grouped, as in `1_000`.
fn has_digit_groups(word: &str) -> bool {
    let digits = word.trim_start_matches(['-', '+']);
    let numeric = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'.'));
    numeric && digits.contains('_') && digits.starts_with(|c: char| c.is_ascii_digit())
}

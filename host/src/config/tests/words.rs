//! Single words: spans of time, sizes, scalars, slips.

use std::time::Duration;

use proptest::prelude::*;

use crate::config::scalar::{Scalar, resolve};
use crate::config::suggest::nearest;
use crate::config::units::{format_duration, format_size, parse_duration, parse_size};

#[test]
fn durations_are_numbers_with_units() {
    let millis = |text: &str| parse_duration(text).map(|span| span.as_millis());
    assert_eq!(millis("500ms"), Some(500));
    assert_eq!(millis("5s"), Some(5000));
    assert_eq!(millis("1h30m"), Some(5_400_000));
    assert_eq!(millis(" 1h 30m "), Some(5_400_000));
    assert_eq!(millis("1.5s"), Some(1500));
    assert_eq!(millis("7d"), Some(604_800_000));
    assert_eq!(millis("0s"), Some(0));
    for wrong in [
        "",
        " ",
        "5",
        "s",
        "5 parsecs",
        "-5s",
        "1.5ms",
        "5S",
        "1..5s",
        ".5s",
        "5.s",
        "99999999999999999999d",
        "200000d",
        "5s5",
    ] {
        assert_eq!(parse_duration(wrong), None, "{wrong}");
    }
}

#[test]
fn sizes_are_numbers_with_a_unit() {
    assert_eq!(parse_size("1000B"), Some(1000));
    assert_eq!(parse_size("64KiB"), Some(65536));
    assert_eq!(parse_size("1.5 MiB"), Some(1_572_864));
    assert_eq!(parse_size("2GB"), Some(2_000_000_000));
    for wrong in ["", "64", "KiB", "64kib", "64 K", "1.3B", "-1B", "64MiB2"] {
        assert_eq!(parse_size(wrong), None, "{wrong}");
    }
}

#[test]
fn unquoted_words_mean_what_yaml_1_2_says() {
    for (word, meaning) in [
        ("~", Scalar::Null),
        ("True", Scalar::Bool(true)),
        ("0x1F", Scalar::Int(31)),
        ("0o17", Scalar::Int(15)),
        ("-12", Scalar::Int(-12)),
        ("+.inf", Scalar::Float(f64::INFINITY)),
        ("1e3", Scalar::Float(1000.0)),
        (".5", Scalar::Float(0.5)),
        ("yes", Scalar::Text),
        ("0123", Scalar::Text),
        ("1_000", Scalar::Text),
        ("3.1.1", Scalar::Text),
        ("0x-1", Scalar::Text),
        ("e", Scalar::Text),
        ("-", Scalar::Text),
        (".", Scalar::Text),
    ] {
        assert_eq!(resolve(word), meaning, "{word}");
    }
}

#[test]
fn slips_are_recognised_and_other_words_are_not() {
    let words = ["keepalive", "host", "port", "when_full", "qos"];
    assert_eq!(nearest("keepAlive", words), Some("keepalive"));
    assert_eq!(nearest("keep-alvie", words), Some("keepalive"));
    assert_eq!(nearest("whenfull", words), Some("when_full"));
    assert_eq!(nearest("hots", words), Some("host"));
    assert_eq!(nearest("colour", words), None);
    assert_eq!(nearest("device", words), None);
}

proptest! {
    #[test]
    fn spans_and_sizes_are_read_back_as_shown(millis in 0u64..3_000_000_000_000, bytes: u64) {
        let span = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&format_duration(span)), Some(span));
        prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
    }

    #[test]
    fn any_word_can_be_read(word in "\\PC{0,12}", number in "[0-9.+eExo_-]{0,40}[a-zA-Z]{0,3}") {
        for word in [word, number] {
            let _ = (parse_duration(&word), parse_size(&word), resolve(&word), nearest(&word, ["keepalive", ""]));
        }
    }
}

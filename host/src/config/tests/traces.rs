//! The section `traces`: off until it names a collector.

use super::{problems, quiet};

#[test]
fn there_are_no_traces_until_a_collector_is_named() {
    assert_eq!(quiet("broker:\n").traces, None);
    let traces = quiet("traces: {otlp: 'http://127.0.0.1:4318'}")
        .traces
        .unwrap();
    assert_eq!((traces.sample_every, traces.ca_file), (0, None));
    assert_eq!(traces.otlp.port_u16(), Some(4318));

    let missing = problems("traces: {sample_every: 1}");
    assert!(missing.contains("otlp"), "{missing}");
    for wrong in [
        "127.0.0.1:4318",
        "grpc://a",
        "http://user@a",
        "http://a?x",
        "",
    ] {
        let found = problems(&format!("traces: {{otlp: '{wrong}'}}"));
        assert!(found.contains("expected"), "{wrong}: {found}");
    }
}

#[test]
fn section_is_shown_and_read_again() {
    let config = quiet("traces: {otlp: 'https://a/b', ca_file: ca.pem, sample_every: 7}");
    let again = quiet(&config.to_yaml());
    assert_eq!(config.traces, again.traces);
    assert!(config.traces.is_some());
}

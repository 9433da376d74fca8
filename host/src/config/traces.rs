//! The section `traces`: spans of messages for a collector of OpenTelemetry.

use std::path::PathBuf;

use http::Uri;

use super::format::set;
use super::key::Key;
use super::value::ConfigValue;

/// The export of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// The collector; `/v1/traces` is appended to its path.
    pub otlp: Uri,
    /// File with trusted roots (PEM) for https; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// One in so many messages without a trace begins one; 0: none does.
    pub sample_every: u64,
}

/// The text is not the URL of a collector.
#[derive(Debug, thiserror::Error)]
#[error("expected http://HOST[:PORT] or https://HOST[:PORT] without user and query, found {0:?}")]
struct UrlError(String);

/// Reads the section; `None` when it has no usable `otlp`.
pub(super) fn read_traces(value: ConfigValue<'_>) -> Option<Traces> {
    let mut section = value.into_section();
    let otlp = section.take_required("otlp");
    let ca_file = section.take("ca_file").and_then(|value| value.path());
    let mut sample_every = 0;
    if let Some(value) = section.take("sample_every") {
        set(value.number(0..=1_000_000_000), &mut sample_every);
    }
    section.finish();

    Some(Traces {
        otlp: otlp?.parse(parse_url)?,
        ca_file,
        sample_every,
    })
}

fn parse_url(text: &str) -> Result<Uri, UrlError> {
    let wrong = || UrlError(text.to_owned());
    let url: Uri = text.parse().map_err(|_| wrong())?;
    let authority = url.authority().ok_or_else(wrong)?;
    let is_known = matches!(url.scheme_str(), Some("http" | "https"));
    if !is_known || authority.as_str().contains('@') || url.query().is_some() {
        return Err(wrong());
    }
    Ok(url)
}

/// The key of the section for the reference.
pub(super) fn key() -> Key {
    let keys = vec![
        Key::new(
            "otlp",
            "The collector, to which spans are sent as OTLP over HTTP (binary protobuf). `/v1/traces` is appended.",
            "URL",
        )
        .example("http://127.0.0.1:4318"),
        Key::new(
            "ca_file",
            "A file with trusted roots (PEM), for a collector at `https://`.",
            "path",
        )
        .default("the system's roots")
        .example("/etc/miqro-host/ca.pem"),
        Key::new(
            "sample_every",
            "One in so many messages without a `traceparent` begins a trace; `0`: none does. Messages with a `traceparent` are recorded \
             when its flag says so.",
            "number, 0 to 1000000000",
        )
        .default("`0`")
        .example("1000"),
    ];

    Key::new(
        "traces",
        "Traces of messages for a collector of OpenTelemetry; see [Traces](observability.md#traces). Without this section none are recorded.",
        "section",
    )
    .example("{otlp: 'http://127.0.0.1:4318'}")
    .keys(keys)
    .needs_restart(true)
}

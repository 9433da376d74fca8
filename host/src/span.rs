//! Spans that say on whose behalf a log line is written.
//!
//! A task enters its span once, around each poll, so events need no field for it: `logging` takes the name from the innermost
//! span. A task that writes about a service of another task enters that service's span for the event.

use tracing::{Span, error_span};

/// Name of the span of a service.
pub const SERVICE: &str = "service";

/// Name of the span of an MQTT connection.
pub const SESSION: &str = "session";

/// Span of the service `name`. Its level is that of errors, so that it exists whatever level is configured.
pub fn service(name: &str) -> Span {
    error_span!("service", name = %name)
}

/// Span of the MQTT connection with this client identifier.
pub fn session(client_id: &str) -> Span {
    error_span!("session", name = %client_id)
}

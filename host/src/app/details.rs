//! Configuration and stored state of one service, for operators.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::service_ctx::ServiceCtx;

/// Section of a service in the effective configuration, without secrets.
pub(super) fn section(ctx: &ServiceCtx) -> Value {
    ctx.config.section()
}

/// Stored state of a service, in the order of its keys: values as `text`, or as hexadecimal digits in `hex` where they are not text.
pub(super) fn state(ctx: &ServiceCtx) -> Value {
    ctx.state.state().iter().map(describe_value).collect()
}

fn describe_value((key, value): &(String, Bytes)) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => json!({ "key": key, "bytes": value.len(), "text": text }),
        Err(_) => json!({ "key": key, "bytes": value.len(), "hex": hex::encode(value) }),
    }
}

//! Tests of guests from bytes to effects, with small components written as text (`tests/*.wat`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::config::{GuestConfig, Limits, Service};
use crate::effects::{DueTimer, Effects};
use crate::message::{Message, Qos};
use crate::service_ctx::ServiceCtx;
use crate::topic::{BaseTopic, Topic};

mod api;
mod calls;
mod compiling;

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory.bytes = 16 << 20;
    limits.call.time = Duration::from_millis(200);
    limits.call.publishes = 4;
    limits.call.publish_bytes = 16 << 20;
    limits.call.payload = 4_096;
    limits.total.subscriptions = 2;
    limits.total.timers = 2;
    limits.total.state = 64;
    limits
}

fn ctx() -> ServiceCtx {
    let service = Service {
        limits: limits(),
        config: GuestConfig {
            json: serde_json::json!({"a": 1}),
            secrets: Vec::new(),
        },
        ..Service::new("echo", BaseTopic::of_service("echo").unwrap())
    };

    ServiceCtx::new(Arc::new(service))
}

fn engine() -> Arc<Engine> {
    Engine::new(EngineOptions {
        services: 1,
        ..EngineOptions::default()
    })
    .unwrap()
}

fn cached_engine(dir: &Path) -> Arc<Engine> {
    Engine::new(EngineOptions {
        cache_dir: Some(dir.to_owned()),
        services: 1,
        ..EngineOptions::default()
    })
    .unwrap()
}

/// The component in `guest.wat`, with `handle` doing what `body` says. `body` must leave the address of the result.
fn guest(body: &str) -> Vec<u8> {
    wat::parse_str(include_str!("tests/guest.wat").replace("(; handle ;)", body)).unwrap()
}

fn message(payload: &'static str) -> Call {
    let topic = Topic::new("service/echo/echo").unwrap();
    let message = Message::new(
        topic,
        Bytes::from_static(payload.as_bytes()),
        Qos::AtMostOnce,
        false,
    );

    Call::Message {
        message,
        attempt: 1,
    }
}

async fn instance(bytes: &[u8], ctx: ServiceCtx) -> Box<Instance> {
    engine()
        .compile(bytes)
        .unwrap()
        .instantiate(Arc::new(ctx))
        .await
        .unwrap()
}

/// Outcome of one message for a guest whose `handle` is `body`.
async fn outcome(body: &str) -> (Option<Box<Instance>>, Result<Effects, Fault>) {
    instance(&guest(body), ctx())
        .await
        .call(message("hello"))
        .await
}

/// The service task spawns calls: their future must be `Send` and own everything.
#[allow(dead_code)]
fn a_call_can_be_spawned(
    guest: Box<Instance>,
) -> impl Future<Output = impl Sized> + Send + 'static {
    guest.call(Call::Start)
}

//! The guest without a host: one call after the other, as the host makes them. Prints nanoseconds a
//! call, one line for each payload size.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use miqro_host::config::Service;
use miqro_host::guest::{Call, Engine, EngineOptions, Instance};
use miqro_host::message::{Message, Qos};
use miqro_host::service_ctx::ServiceCtx;
use miqro_host::topic::{BaseTopic, Topic};

/// Payload sizes that are measured.
pub(crate) const SIZES: [usize; 2] = [32, 1024];
/// Calls between two looks at the clock.
const BATCH: u32 = 1_000;
const SPAN: Duration = Duration::from_millis(100);
/// Number of spans, of which the best counts: other load on the machine only makes a call slower.
const SPANS: usize = 7;

/// Measures and prints.
///
/// # Errors
/// When the component cannot be loaded, or a call fails.
pub(crate) async fn run(component: &Path) -> Result<()> {
    let engine = Engine::new(EngineOptions {
        services: 1,
        ..EngineOptions::default()
    })?;
    let component = engine.compile(&std::fs::read(component)?)?;
    let base = BaseTopic::of_service("echo")?;
    let topic = base.topic("echo")?;
    let ctx = ServiceCtx::new(Arc::new(Service::new("echo", base)));
    let mut instance = component.instantiate(Arc::new(ctx)).await?;
    instance = called(instance, Call::Start).await?;
    for size in SIZES {
        let mut best = f64::INFINITY;
        for _ in 0..SPANS {
            let nanoseconds;
            (instance, nanoseconds) = span(instance, &topic, size).await?;
            best = best.min(nanoseconds);
        }
        println!("{best:.0}");
    }

    Ok(())
}

/// Nanoseconds a call over one span.
async fn span(
    mut instance: Box<Instance>,
    topic: &Topic,
    size: usize,
) -> Result<(Box<Instance>, f64)> {
    let message = Message::new(topic.clone(), vec![b'x'; size], Qos::AtMostOnce, false);
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed() < SPAN {
        for _ in 0..BATCH {
            instance = called(
                instance,
                Call::Message {
                    message: message.clone(),
                    attempt: 1,
                },
            )
            .await?;
        }

        calls += BATCH;
    }

    Ok((
        instance,
        start.elapsed().as_nanos() as f64 / f64::from(calls),
    ))
}

async fn called(instance: Box<Instance>, call: Call) -> Result<Box<Instance>> {
    let (instance, effects) = Box::pin(instance.call(call)).await;
    effects?;
    instance.context("the instance is gone")
}

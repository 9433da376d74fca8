//! The generator as a client of a real broker.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Link;
use crate::process::Process;
use crate::wire::{Template, Version, packets};

/// How many answers may be on their way to the generator at QoS 1.
const RECEIVE_MAXIMUM: u16 = 2_000;
/// How long a contender may take to answer for the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// The client identifier of the generator.
const CLIENT_ID: &str = "miqro-bench-load";

/// Connects to the broker on `port` and subscribes to `response`, whose messages are answers.
///
/// # Errors
/// When the broker refuses.
pub(crate) async fn connect(port: u16, response: &str) -> Result<Link> {
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .context("the broker cannot be reached")?;
    let mut link = Link::new(stream)?;
    link.answer_topic = response.into();
    link.push(&packets::connect(
        &format!("{CLIENT_ID}-{}", response.replace('/', "-")),
        RECEIVE_MAXIMUM,
    ));
    // not every broker takes packets before it has answered with CONNACK
    timeout(FIRST_ANSWER, link.turn(|_| ()))
        .await
        .context("no CONNACK")??;
    link.push(&packets::subscribe(response, 1));
    Ok(link)
}

/// Connects to the broker on `port`, subscribes to `response` and asks on `request` until `process` answers.
///
/// # Errors
/// When the broker refuses or the contender never answers.
pub(crate) async fn open(
    port: u16,
    request: &str,
    response: &str,
    process: &mut Process,
) -> Result<Link> {
    let mut link = connect(port, response).await?;
    let hello = Template::new(request, b"hello", 0, Version::V5, 0);
    let end = Instant::now() + FIRST_ANSWER;
    let mut answers = 0;
    while Instant::now() < end {
        process.check()?;
        link.publish(&hello, &[]);
        let tick = Instant::now() + Duration::from_millis(50);
        while let Ok(turn) = timeout(tick - Instant::now(), link.turn(|_| answers += 1)).await {
            turn?;
        }
        if answers > 0 {
            // earlier questions may still be answered: they must not be taken for answers to measured ones
            while let Ok(turn) = timeout(Duration::from_millis(100), link.turn(|_| ())).await {
                turn?;
            }
            return Ok(link);
        }
    }

    bail!("no answer on {response} within {FIRST_ANSWER:?}")
}

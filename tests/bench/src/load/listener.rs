//! The generator as the broker of one contender. Gives the `Link` of the connection that subscribed
//! to the request topic, and the number of filters in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Link;
use crate::process::Process;

/// How long a contender may take to subscribe.
const START: Duration = Duration::from_secs(10);

/// The listening side.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Its port.
    pub port: u16,
    links: mpsc::Receiver<Link>,
    counts: Arc<Counts>,
    /// Ends with the listener.
    _accepting: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Counts {
    subscribed: AtomicU64,
    published: AtomicU64,
}

impl Listener {
    /// Listens on a free port of 127.0.0.1. The connection that subscribes to `request` is handed out by `link`; all
    /// others are served for as long as the listener lives.
    pub(crate) async fn new(request: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (found, links) = mpsc::channel(4);
        let counts = Arc::new(Counts::default());
        let mut accepting = JoinSet::new();
        let request = request.to_owned();
        let shared = counts.clone();
        accepting.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(link) = Link::new(stream) {
                    served.spawn(serve(link, request.clone(), found.clone(), shared.clone()));
                }
            }
        });

        Ok(Self {
            port,
            links,
            counts,
            _accepting: accepting,
        })
    }

    /// Waits for the connection on which `process` subscribes to the request topic. Its SUBACK is already on the way.
    ///
    /// # Errors
    /// When the process ends, or does not subscribe in time.
    pub(crate) async fn link(&mut self, process: &mut Process) -> Result<Link> {
        let end = Instant::now() + START;
        while Instant::now() < end {
            process.check()?;
            if let Ok(link) = timeout(Duration::from_millis(100), self.links.recv()).await {
                return link.context("the generator no longer listens");
            }
        }

        bail!("no subscription within {START:?}")
    }

    /// Waits until so many filters were subscribed to.
    ///
    /// # Errors
    /// When the process ends, or does not subscribe in time.
    pub(crate) async fn wait_for_subscriptions(
        &self,
        wanted: u64,
        process: &mut Process,
        limit: Duration,
    ) -> Result<()> {
        wait_for(
            "subscriptions",
            || self.subscribed(),
            wanted,
            process,
            limit,
        )
        .await
    }

    /// Waits until so many messages were published.
    ///
    /// # Errors
    /// When the process ends, or does not publish in time.
    pub(crate) async fn wait_for_publishes(
        &self,
        wanted: u64,
        process: &mut Process,
        limit: Duration,
    ) -> Result<()> {
        wait_for("publishes", || self.published(), wanted, process, limit).await
    }

    /// How many filters were subscribed to on the connections that were not handed out.
    pub(crate) fn subscribed(&self) -> u64 {
        self.counts.subscribed.load(Ordering::Relaxed)
    }

    /// How many messages came on the connections that were not handed out.
    pub(crate) fn published(&self) -> u64 {
        self.counts.published.load(Ordering::Relaxed)
    }
}

async fn serve(mut link: Link, request: String, found: mpsc::Sender<Link>, counts: Arc<Counts>) {
    let mut known = 0;
    while link.turn(|_| ()).await.is_ok() {
        counts
            .published
            .fetch_add(std::mem::take(&mut link.others), Ordering::Relaxed);
        let new = &link.subscribed[known..];
        counts
            .subscribed
            .fetch_add(new.len() as u64, Ordering::Relaxed);
        known = link.subscribed.len();
        if new.iter().any(|s| s.filter == request) {
            // nobody waiting any more: the measurement is over, and so is this connection
            let _ = found.send(link).await;
            return;
        }
    }
}

/// Waits until `count` is at least `wanted`.
async fn wait_for(
    what: &str,
    count: impl Fn() -> u64,
    wanted: u64,
    process: &mut Process,
    limit: Duration,
) -> Result<()> {
    let end = Instant::now() + limit;
    while count() < wanted {
        process.check()?;
        if Instant::now() > end {
            bail!("{} of {wanted} {what} within {limit:?}", count());
        }

        sleep(Duration::from_millis(10)).await;
    }

    Ok(())
}

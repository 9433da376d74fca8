//! Numbered messages at a rate, and a check that each of them is answered: the number sent, the
//! missing ones and those that came twice, also over ends of the broker.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::Options;
use crate::{Client, Message};

/// How far apart the bursts are of which a load consists.
const BURST: Duration = Duration::from_millis(5);
/// How many messages of a load may be unanswered: a rate that a busy machine cannot keep would never end.
const AHEAD: u32 = 10_000;
/// How many messages of a load without a rate are under way at once.
const UNDER_WAY: u32 = 32;
/// How many are unanswered at once where the host is to spool none: it does so with eight that hold up others.
const FEW: u32 = 7;
/// A payload that comes back after everything that was sent before it.
const LAST: &str = "last";

/// Publishes `0`, `1`, `2` and so on with QoS 1, until it is stopped: see [`Tally::load`].
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<u32>>,
}

impl Load {
    /// Ends it; returns how many messages the broker has taken.
    ///
    /// # Errors
    /// When the connection broke or the broker refused a message.
    pub async fn stop(self) -> Result<u32> {
        self.stop.send_replace(true);
        self.task.await?
    }
}

/// Publishes `rate` messages a second, and no more than [`AHEAD`] before they are answered.
async fn publish(
    mut client: Client,
    topic: String,
    rate: u32,
    mut stopped: watch::Receiver<bool>,
    mut answered: watch::Receiver<u32>,
) -> Result<u32> {
    let mut pace = interval(BURST);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let burst = (rate / (1000 / BURST.as_millis() as u32)).max(1);
    let mut sent = 0;
    while !*stopped.borrow_and_update() {
        let is_ahead = sent >= *answered.borrow_and_update() + AHEAD;
        tokio::select! {
            _ = stopped.changed() => {}
            Ok(()) = answered.changed(), if is_ahead => {}
            _ = pace.tick(), if !is_ahead => {
                for number in sent..sent + burst {
                    client.post(Message::new(&topic, number.to_string())).await?;
                }
                sent += burst;
            }
            // nobody counts answers any more
            else => break,
        }
    }

    client.acknowledged(sent as usize).await?;
    client.disconnect().await?;
    Ok(sent)
}

/// Checks that the service `relay` answers messages, `rate` a second: each once and in order.
///
/// # Errors
/// When one is not answered, answered twice or too early.
pub async fn relay_answers(port: u16, rate: u32) -> Result<()> {
    let mut tally = Tally::start(port, "service/relay/in", "service/relay/out").await?;
    let load = tally.load(rate).await?;
    tally.further(500).await?;
    tally.each_once(load.stop().await?).await
}

/// Messages that were sent to a broker that ended.
#[derive(Debug)]
pub struct Sent {
    /// Those that it acknowledged.
    pub taken: Range<u32>,
    /// The number that comes next: those between may have reached it.
    pub next: u32,
}

/// Publishes the numbers from `first` on with QoS 1 on `topic`, some of them under way at once, until the connection ends.
pub async fn until_the_end(client: Client, topic: &str, first: u32) -> Sent {
    publish_to_the_end(client, topic, first, None).await
}

/// As [`until_the_end`]; with `answered`, the number of answers so far, few are unanswered at once.
async fn publish_to_the_end(
    mut client: Client,
    topic: &str,
    first: u32,
    mut answered: Option<watch::Receiver<u32>>,
) -> Sent {
    let before = answered.as_ref().map_or(0, |answered| *answered.borrow());
    let mut next = first;
    let mut taken = first;
    loop {
        let most = answered.as_mut().map_or(u32::MAX, |answered| {
            first + FEW + (*answered.borrow_and_update() - before)
        });
        if next < most && next - taken < UNDER_WAY {
            // an error shows at the next acknowledgement too
            let _ = client.post(Message::new(topic, next.to_string())).await;
            next += 1;
            continue;
        }
        let answer = async {
            match &mut answered {
                Some(answered) if next >= most => drop(answered.changed().await),
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            outcome = client.acknowledged(1) => match outcome {
                Ok(()) => taken += 1,
                Err(_) => break,
            },
            () = answer => {}
        }
    }

    Sent {
        taken: first..taken,
        next,
    }
}

/// Checks the answers of a service that sends each message back, in order.
#[derive(Debug)]
pub struct Tally {
    options: Options,
    client: Client,
    input: String,
    output: String,
    /// In the order of their coming.
    came: Vec<u32>,
    seen: BTreeSet<u32>,
    /// The number of those in `seen`, for a load.
    answered: watch::Sender<u32>,
    settlements: u32,
}

impl Tally {
    /// Listens to the answers on `output`, with a session of its own that the broker keeps. Messages on `input` are
    /// answered there.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn start(port: u16, input: &str, output: &str) -> Result<Self> {
        let options = Options {
            keep_session: true,
            ..Options::new(port)
        };
        let mut client = Client::with(&options).await?;
        client.subscribe(output, 1).await?;
        let input = input.into();
        let output = output.into();
        Ok(Self {
            options,
            client,
            input,
            output,
            came: Vec::new(),
            seen: BTreeSet::new(),
            answered: watch::Sender::default(),
            settlements: 0,
        })
    }

    /// Starts to publish what is to be answered, `rate` messages a second. It waits when too many are unanswered, so the
    /// answers have to be waited for now and then.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn load(&self, rate: u32) -> Result<Load> {
        let client = Client::connect(self.options.port).await?;
        let (stop, stopped) = watch::channel(false);
        let answered = self.answered.subscribe();
        let task = tokio::spawn(publish(client, self.input.clone(), rate, stopped, answered));
        Ok(Load { stop, task })
    }

    /// Publishes the numbers from `first` on until the connection of `client` ends, and so few at once that the host takes none of them
    /// to its disk: one that the broker has is one that the host has not answered.
    pub fn until_the_end(&self, client: Client, first: u32) -> impl Future<Output = Sent> + use<> {
        let input = self.input.clone();
        let answered = self.answered.subscribe();
        async move { publish_to_the_end(client, &input, first, Some(answered)).await }
    }

    /// Goes on with a broker that has ended and is there again.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn resume(&mut self) -> Result<()> {
        let mut next = Client::with(&self.options).await?;
        next.subscribe(&self.output, 1).await?;
        for message in std::mem::replace(&mut self.client, next).rest().await? {
            self.take(&message)?;
        }
        Ok(())
    }

    /// The numbers that have been answered so far.
    pub fn seen(&self) -> &BTreeSet<u32> {
        &self.seen
    }

    /// How many answers came more than once so far.
    pub fn twice(&self) -> usize {
        self.came.len() - self.seen.len()
    }

    /// Waits until everything that is under way has been answered.
    ///
    /// # Errors
    /// When the last message is not answered.
    pub async fn settled(&mut self) -> Result<()> {
        self.settlements += 1;
        let last = format!("{LAST} {}", self.settlements);
        self.client.publish(&self.input, last.clone()).await?;
        loop {
            let message = self.client.expect(&self.output).await?;
            if message.payload == last {
                return Ok(());
            }
            self.take(&message)?;
        }
    }

    /// Waits until `count` further numbers have been answered.
    ///
    /// # Errors
    /// When no further answer comes.
    pub async fn further(&mut self, count: usize) -> Result<()> {
        self.until(self.seen.len() + count).await
    }

    /// Waits until the numbers below `count` and everything else that is under way have been answered; returns how many
    /// came more than once.
    ///
    /// # Errors
    /// When a number does not come; the error says which.
    pub async fn all(&mut self, count: u32) -> Result<usize> {
        self.until(count as usize).await?;
        self.settled().await?;
        ensure!(
            self.seen.len() == count as usize,
            "{} numbers answered in place of {count}",
            self.seen.len()
        );
        ensure!(
            self.seen.last() < Some(&count),
            "{:?} was never sent",
            self.seen.last()
        );
        Ok(self.twice())
    }

    /// As [`Tally::all`], and each came once and in order.
    ///
    /// # Errors
    /// When one does not come, comes twice or comes too early.
    pub async fn each_once(&mut self, count: u32) -> Result<()> {
        let twice = self.all(count).await?;
        ensure!(
            twice == 0,
            "{twice} of {count} were answered twice, the first {:?}",
            self.first_twice()
        );
        let wrong = (0..count)
            .zip(&self.came)
            .find(|(expected, came)| expected != *came);
        ensure!(
            wrong.is_none(),
            "not in order: (expected, came) = {wrong:?}"
        );
        Ok(())
    }

    /// Checks that the answers came in order, but for those that came before.
    ///
    /// # Errors
    /// When one came too early.
    pub fn in_order(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        let first = self.came.iter().filter(|number| seen.insert(**number));
        let wrong = (0..).zip(first).find(|(expected, came)| expected != *came);
        ensure!(
            wrong.is_none(),
            "not in order: (expected, came) = {wrong:?}"
        );
        Ok(())
    }

    async fn until(&mut self, count: usize) -> Result<()> {
        while self.seen.len() < count {
            let message = self
                .client
                .expect(&self.output)
                .await
                .with_context(|| self.missing(count))?;
            self.take(&message)?;
        }

        Ok(())
    }

    fn take(&mut self, message: &Message) -> Result<()> {
        // of an earlier settlement, once more
        if message.payload.starts_with(LAST.as_bytes()) {
            return Ok(());
        }
        let number = message
            .text()
            .parse()
            .with_context(|| format!("answered: {}", message.text()))?;
        self.came.push(number);
        self.seen.insert(number);
        self.answered.send_replace(self.seen.len() as u32);
        Ok(())
    }

    fn first_twice(&self) -> Option<u32> {
        let mut seen = BTreeSet::new();
        self.came
            .iter()
            .copied()
            .find(|number| !seen.insert(*number))
    }

    fn missing(&self, count: usize) -> String {
        let missing = (0..count as u32).filter(|number| !self.seen.contains(number));
        let first: Vec<u32> = missing.take(10).collect();
        format!(
            "{} answers in place of {count}; the first that are missing: {first:?}",
            self.seen.len()
        )
    }
}

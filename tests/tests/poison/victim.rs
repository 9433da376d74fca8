//! A relay next to trouble: the service `victim` of a host. Its client asks 50 times a second and
//! fails if an answer is missing or the longest time between two answers is too long.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use miqro_tests::{Client, Deadline, Message};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PERIOD: Duration = Duration::from_millis(20);
const QUESTION: &str = "service/victim/in";
const ANSWER: &str = "service/victim/out";

/// Asks and listens until it is checked.
#[derive(Debug)]
pub(super) struct Victim {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Answers>>,
}

#[derive(Debug)]
struct Answers {
    asked: u32,
    seen: BTreeSet<u32>,
    gap: Duration,
    /// The longest time between two questions: how long the machine keeps a process from running that has work for it.
    pause: Duration,
}

impl Victim {
    /// Begins to ask through the broker on `port`, when a first question was answered.
    pub(super) async fn start(port: u16) -> Result<Self> {
        let mut asking = Client::connect(port).await?;
        let mut listening = Client::connect(port).await?;
        listening.subscribe(ANSWER, 1).await?;
        asking.publish(QUESTION, "first").await?;
        listening.expect(ANSWER).await?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self {
            stop,
            task: tokio::spawn(ask(asking, listening, stopped)),
        })
    }

    /// Stops to ask: every question was answered, and no two answers were further apart than `longest`, or than four pauses of the
    /// test itself on a machine that is busy with other things.
    pub(super) async fn check(self, longest: Duration) -> Result<()> {
        self.stop.send_replace(true);
        let Answers {
            asked,
            seen,
            gap,
            pause,
        } = Deadline::new()
            .wait("the victim's answers", self.task)
            .await???;
        let missing: Vec<u32> = (0..asked).filter(|number| !seen.contains(number)).collect();
        ensure!(
            missing.is_empty(),
            "of {asked} questions these have no answer: {missing:?}"
        );
        let longest = longest.max(4 * pause);
        ensure!(
            gap <= longest,
            "the longest gap between two answers was {gap:?}, expected at most {longest:?}"
        );
        Ok(())
    }
}

async fn ask(
    mut asking: Client,
    mut listening: Client,
    mut stopped: watch::Receiver<bool>,
) -> Result<Answers> {
    let listener = tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        let mut gap = Duration::ZERO;
        let mut last = Instant::now();
        loop {
            let answer = listening.expect(ANSWER).await?.text();
            gap = gap.max(last.elapsed());
            last = Instant::now();
            if answer == "last" {
                return anyhow::Ok((seen, gap));
            }
            // the first one may come again
            seen.extend(answer.parse::<u32>());
        }
    });
    let mut pace = tokio::time::interval(PERIOD);
    let mut asked = 0;
    let mut pause = Duration::ZERO;
    let mut last = Instant::now();
    while !*stopped.borrow_and_update() {
        tokio::select! {
            _ = stopped.changed() => {}
            _ = pace.tick() => {
                asking.post(Message::new(QUESTION, asked.to_string())).await?;
                asked += 1;
                pause = pause.max(last.elapsed());
                last = Instant::now();
            }
        }
    }
    asking.acknowledged(asked as usize).await?;
    asking.publish(QUESTION, "last").await?;
    let (seen, gap) = listener.await??;
    asking.disconnect().await?;
    Ok(Answers {
        asked,
        seen,
        gap,
        pause,
    })
}

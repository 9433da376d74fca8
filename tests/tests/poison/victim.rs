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
    /// The most answers of the troublesome service between two of the victim.
    overtaken: u32,
    /// The longest time between two questions: how long the machine keeps a process from running that has work for it.
    pause: Duration,
}

impl Victim {
    /// Begins to ask through the broker on `port`, when a first question was answered.
    pub(super) async fn start(port: u16) -> Result<Self> {
        Self::beside(port, "nobody/answers").await
    }

    /// As [`Victim::start`], beside a service whose answers come on `other`.
    pub(super) async fn beside(port: u16, other: &str) -> Result<Self> {
        let mut asking = Client::connect(port).await?;
        let mut listening = Client::connect(port).await?;
        listening.subscribe(ANSWER, 1).await?;
        asking.publish(QUESTION, "first").await?;
        listening.expect(ANSWER).await?;
        listening.subscribe(other, 1).await?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self {
            stop,
            task: tokio::spawn(ask(asking, listening, stopped)),
        })
    }

    /// Stops to ask: every question was answered, and between no two answers the other service answered `most` times or more. That
    /// holds on a machine of any speed, because both services run on it.
    pub(super) async fn check_beside(self, most: u32) -> Result<()> {
        let Answers { overtaken, .. } = self.answers().await?;
        ensure!(
            overtaken < most,
            "the other service answered {overtaken} times between two answers, expected less than {most}"
        );
        Ok(())
    }

    /// Stops to ask: every question was answered, and no two answers were further apart than `longest`, or than four pauses of the
    /// test itself on a machine that is busy with other things.
    pub(super) async fn check(self, longest: Duration) -> Result<()> {
        let Answers { gap, pause, .. } = self.answers().await?;
        let longest = longest.max(4 * pause);
        ensure!(
            gap <= longest,
            "the longest gap between two answers was {gap:?}, expected at most {longest:?}"
        );
        Ok(())
    }

    /// Stops to ask, when every question was answered.
    async fn answers(self) -> Result<Answers> {
        self.stop.send_replace(true);
        let answers = Deadline::new()
            .wait("the victim's answers", self.task)
            .await???;
        let asked = 0..answers.asked;
        let missing: Vec<u32> = asked
            .filter(|number| !answers.seen.contains(number))
            .collect();
        ensure!(
            missing.is_empty(),
            "of {} questions these have no answer: {missing:?}",
            answers.asked
        );
        Ok(answers)
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
        let mut others = 0;
        let mut overtaken = 0;
        let mut last = Instant::now();
        loop {
            let answer = listening.next().await?;
            if answer.topic != ANSWER {
                others += 1;
                overtaken = overtaken.max(others);
                continue;
            }
            others = 0;
            let answer = answer.text();
            gap = gap.max(last.elapsed());
            last = Instant::now();
            if answer == "last" {
                return anyhow::Ok((seen, gap, overtaken));
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
    let (seen, gap, overtaken) = listener.await??;
    asking.disconnect().await?;
    Ok(Answers {
        asked,
        seen,
        gap,
        overtaken,
        pause,
    })
}

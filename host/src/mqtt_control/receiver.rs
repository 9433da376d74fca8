//! Reads requests, has them carried out one after the other, and answers them.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

use super::asker::Asker;
use super::outlet::Outlet;
use super::problem_log::{Problem, ProblemLog};
use super::reporter::News;
use super::request;
use super::topics::Topics;
use crate::config::WhenFull;
use crate::control::{self, Answer, PendingRequest, Reply, Request};
use crate::mailbox::{self, Delivery, Mailbox, Next};
use crate::message::Message;
use crate::timers::sleep_until;
use crate::token_bucket::TokenBucket;

/// Messages that may wait to be read; further ones are dropped and counted.
const UNREAD: mailbox::Limits = mailbox::Limits {
    messages: 256,
    bytes: 4 << 20,
    when_full: WhenFull::DropNewest,
};

/// Requests a second that are read; further ones are dropped and counted.
const RATE: u64 = 50;

/// Requests that may wait for the one that is carried out; further ones are refused.
const WAITING: usize = 16;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads requests.
#[derive(Debug)]
pub(super) struct Receiver {
    commands: Vec<&'static str>,
    topics: Topics,
    outlet: Outlet,
    requests: mpsc::Sender<PendingRequest>,
    news: mpsc::Sender<News>,
    mailbox: Mailbox,
    /// Given to the router at the start, so that the mailbox ends with it.
    sender: Option<mailbox::Sender>,
    bucket: TokenBucket,
    /// Messages that the mailbox has dropped, as far as they were logged.
    dropped: u64,
    problems: ProblemLog,
}

/// A request with the client that sent it.
#[derive(Debug)]
struct AskedRequest {
    asker: Asker,
    request: Request,
}

impl Receiver {
    /// `commands`: those that may be asked for.
    pub(super) fn new(
        commands: Vec<&'static str>,
        topics: Topics,
        outlet: Outlet,
        (requests, news): (mpsc::Sender<PendingRequest>, mpsc::Sender<News>),
    ) -> Self {
        let (sender, mailbox) = mailbox::mailbox(UNREAD);
        Self {
            commands,
            topics,
            outlet,
            requests,
            news,
            mailbox,
            sender: Some(sender),
            bucket: TokenBucket::default(),
            dropped: 0,
            problems: ProblemLog::default(),
        }
    }

    /// Serves requests until the session has ended.
    pub(super) async fn run(self) {
        let (queue, queued) = mpsc::channel(WAITING);
        let worker = Worker {
            topics: self.topics.clone(),
            outlet: self.outlet.clone(),
            requests: self.requests.clone(),
            news: self.news.clone(),
        };

        tokio::join!(self.read(queue), worker.run(queued));
    }

    async fn read(mut self, queue: mpsc::Sender<AskedRequest>) {
        let filters = vec![
            self.topics.requests.clone(),
            self.topics.former_info.clone(),
        ];
        if let Some(sender) = self.sender.take() {
            self.outlet.subscribe(filters, sender).await;
        }

        loop {
            tokio::select! {
                next = self.mailbox.next() => match next {
                    Next::Delivery(delivery) => self.on_delivery(delivery, &queue).await,
                    Next::Closed => return,
                    Next::Timers | Next::Notice(_) | Next::Unreadable(_) | Next::Congested => {}
                },
                () = sleep_until(self.problems.next_due()) => {
                    let lines = self.problems.take_due(Instant::now());
                    lines.iter().for_each(|line| warn!("{line}"));
                }
            }
        }
    }

    async fn on_delivery(&mut self, delivery: Delivery, queue: &mpsc::Sender<AskedRequest>) {
        let Delivery {
            message, receipt, ..
        } = delivery;
        if let Some(receipt) = receipt {
            self.outlet.acknowledge(receipt).await;
        }
        if message.topic == self.topics.info {
            return self.on_info(&message);
        }

        self.count_dropped();
        if !self.bucket.take(RATE, Instant::now()) {
            let line = format!("an mqtt request was dropped: more than {RATE} a second");
            return self.report(Problem::Dropped, 1, line);
        }
        if message.retain {
            let topic = &message.topic;
            let line = format!(
                "a retained mqtt request on {topic} is ignored: publish requests without the retain flag, and an empty \
                 retained message to remove it"
            );
            return self.report(Problem::Retained, 1, line);
        }

        match Asker::of(&message, &self.topics) {
            Ok(asker) => self.on_request(asker, &message, queue).await,
            Err(error) => {
                let line = format!("an mqtt request on {} is refused: {error}", message.topic);
                self.report(Problem::ResponseTopic, 1, line);
            }
        }
    }

    /// Tells the reporter about the states of an earlier run.
    fn on_info(&self, message: &Message) {
        // the host gets its own info as well, without the flag
        if message.retain
            && let Ok(former) = serde_json::from_slice(&message.payload)
            && self.news.try_send(News::Former(former)).is_err()
        {
            warn!("retained states of an earlier run may stay at the broker");
        }
    }

    async fn on_request(
        &mut self,
        asker: Asker,
        message: &Message,
        queue: &mpsc::Sender<AskedRequest>,
    ) {
        let Some(command) = self.topics.command_of(&message.topic) else {
            return;
        };
        let read = request::read(command, &message.payload, &self.commands);
        let asker = asker.with_names(read.transaction, read.command);

        let request = match read.outcome {
            Ok(request) => request,
            Err(error) => return self.refuse(&asker, message, error.to_string()).await,
        };
        let asked = AskedRequest { asker, request };
        if let Err(full) = queue.try_send(asked) {
            let asked = full.into_inner();
            let busy = format!("{WAITING} requests wait already; try again later");
            self.refuse(&asked.asker, message, busy).await;
        }
    }

    /// Answers a request that is not carried out.
    async fn refuse(&mut self, asker: &Asker, message: &Message, reason: String) {
        if !asker.is_waiting() {
            let line = format!("an mqtt request on {} is refused: {reason}", message.topic);
            self.report(Problem::Unanswered, 1, line);
        }

        let answer = asker.answer(&Reply::Error(reason), &self.topics);
        if let Some(answer) = answer {
            self.outlet.publish(vec![answer]).await;
        }
    }

    /// Notes the messages that did not fit into the mailbox.
    fn count_dropped(&mut self) {
        let dropped = self.mailbox.counters().dropped_newest;
        let new = dropped - self.dropped;
        self.dropped = dropped;
        if new > 0 {
            let most = UNREAD.messages;
            let line = format!("{new} mqtt requests were dropped: more than {most} waited");
            self.report(Problem::Dropped, new, line);
        }
    }

    fn report(&mut self, problem: Problem, number: u64, line: String) {
        if let Some(line) = self
            .problems
            .record(problem, (number, line), Instant::now())
        {
            warn!("{line}");
        }
    }
}

/// Has requests carried out.
struct Worker {
    topics: Topics,
    outlet: Outlet,
    requests: mpsc::Sender<PendingRequest>,
    news: mpsc::Sender<News>,
}

impl Worker {
    async fn run(self, mut queued: mpsc::Receiver<AskedRequest>) {
        while let Some(AskedRequest { asker, request }) = queued.recv().await {
            let is_change = request.is_change();
            let reply = self.ask(&asker, request).await;
            if is_change {
                // a full channel has enough reasons for a report
                let _ = self.news.try_send(News::Changed);
            }
            if let Some(answer) = asker.answer(&reply, &self.topics) {
                self.outlet.publish(vec![answer]).await;
            }
        }
    }

    async fn ask(&self, asker: &Asker, request: Request) -> Reply<Answer> {
        let asking = control::ask(&self.requests, request, asker.caller());
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| {
            Reply::Error(format!(
                "not finished within {PATIENCE:?}; the audit log will tell the outcome"
            ))
        })
    }
}

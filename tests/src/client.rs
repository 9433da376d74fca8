//! A test's own MQTT client, the same for both protocol versions. Each message has a deadline; a
//! connection that breaks is an error and is not repaired.

mod link;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{Deadline, Message};
use link::{Link, Reply};

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 5.0.
    V5,
    /// MQTT 3.1.1.
    V311,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// The version of the protocol.
    pub version: Version,
    /// Client identifier.
    pub id: String,
    /// Whether the broker keeps the session for an hour after the connection is gone.
    pub keep_session: bool,
    /// User name and password.
    pub login: Option<(String, String)>,
}

impl Options {
    /// MQTT 5, a new identifier, a session that ends with the connection.
    pub fn new(port: u16) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = format!("test-{}-{count}", std::process::id());
        Self {
            port,
            version: Version::V5,
            id,
            keep_session: false,
            login: None,
        }
    }
}

/// A connected client.
#[derive(Debug)]
pub struct Client {
    link: Link,
    messages: UnboundedReceiver<Message>,
    replies: UnboundedReceiver<Reply>,
    /// Whether the broker still had the session.
    session_present: bool,
}

impl Client {
    /// Connects with MQTT 5.
    ///
    /// # Errors
    /// When there is no broker or it refuses.
    pub async fn connect(port: u16) -> Result<Self> {
        Self::with(&Options::new(port)).await
    }

    /// Connects.
    ///
    /// # Errors
    /// When there is no broker or it refuses.
    pub async fn with(options: &Options) -> Result<Self> {
        let (link, messages, replies) = Link::open(options);
        let mut client = Self {
            link,
            messages,
            replies,
            session_present: false,
        };

        match client.reply("CONNACK").await? {
            Reply::Connected { session_present } => client.session_present = session_present,
            other => bail!("{other:?} in place of CONNACK"),
        }
        Ok(client)
    }

    /// Whether the broker still had the session.
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// Subscribes and waits for the answer; returns the granted quality of service.
    ///
    /// # Errors
    /// When the broker refuses or the connection breaks.
    pub async fn subscribe(&mut self, filter: &str, qos: u8) -> Result<u8> {
        self.link.subscribe(filter, qos).await?;
        match self.reply("SUBACK").await? {
            Reply::Subscribed(granted) => {
                granted.map_err(|reason| anyhow::anyhow!("{filter}: {reason}"))
            }
            other => bail!("{other:?} in place of SUBACK"),
        }
    }

    /// Publishes with QoS 1 and waits until the broker has it.
    ///
    /// # Errors
    /// When the broker refuses or the connection breaks.
    pub async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>) -> Result<()> {
        self.send(Message::new(topic, payload)).await
    }

    /// Publishes with QoS 0: the broker does not deliver it again to a host that was killed before its acknowledgement had left, where
    /// a test counts what was handled.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn publish_once(&mut self, topic: &str, payload: impl Into<Bytes>) -> Result<()> {
        self.send(Message::new(topic, payload).qos(0)).await
    }

    /// Publishes and, with QoS 1 and 2, waits until the broker has it.
    ///
    /// # Errors
    /// When the broker refuses or the connection breaks.
    pub async fn send(&mut self, message: Message) -> Result<()> {
        let qos = message.qos;
        self.post(message).await?;
        if qos == 0 {
            Ok(())
        } else {
            self.acknowledged(1).await
        }
    }

    /// Publishes without waiting for the broker's answer; see [`Client::acknowledged`].
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn post(&mut self, message: Message) -> Result<()> {
        Deadline::new()
            .wait("room to publish", self.link.publish(message))
            .await?
    }

    /// Waits until the broker has `count` more of the messages of QoS 1 and 2 that were posted.
    ///
    /// # Errors
    /// When the broker refuses one or the connection breaks.
    pub async fn acknowledged(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            match self.reply("PUBACK or PUBCOMP").await? {
                Reply::Published(outcome) => outcome.map_err(anyhow::Error::msg)?,
                other => bail!("{other:?} in place of an acknowledgement"),
            }
        }

        Ok(())
    }

    /// The next message.
    ///
    /// # Errors
    /// When there is none before the deadline, or the connection breaks.
    pub async fn next(&mut self) -> Result<Message> {
        self.next_by(Deadline::new()).await
    }

    async fn next_by(&mut self, deadline: Deadline) -> Result<Message> {
        let message = deadline.wait("a message", self.messages.recv()).await?;
        message.context("the connection broke while waiting for a message")
    }

    /// All that came before the connection ended. It must have ended: a broker that was killed does not end it before it is gone.
    ///
    /// # Errors
    /// When the connection lives.
    pub async fn rest(mut self) -> Result<Vec<Message>> {
        let all = async {
            let mut rest = Vec::new();
            while let Some(message) = self.messages.recv().await {
                rest.push(message);
            }
            rest
        };

        Deadline::new().wait("the end of the connection", all).await
    }

    /// Publishes to `question` again after each answer on `answer`, until one is `text`.
    ///
    /// # Errors
    /// When none is in time, or the connection is lost.
    pub async fn ask_until(&mut self, question: &str, answer: &str, text: &str) -> Result<()> {
        let asked = async {
            loop {
                self.publish(question, "").await?;
                if self.expect(answer).await?.text() == text {
                    return Ok(());
                }
            }
        };

        Deadline::new().wait(text, asked).await?
    }

    /// Publishes to `question` again after each answer, while `meanwhile` runs: for a program that begins to listen at some time.
    ///
    /// # Errors
    /// As `meanwhile`, or when no answer is in time, or the connection is lost.
    pub async fn ask_during<T>(
        &mut self,
        question: &str,
        text: &'static str,
        meanwhile: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let asking = async {
            loop {
                self.publish(question, text).await?;
                self.next().await?;
                tokio::task::yield_now().await;
            }
        };

        tokio::select! {
            result = meanwhile => result,
            failed = asking => failed,
        }
    }

    /// The next message on `topic`; messages on other topics are passed over.
    ///
    /// # Errors
    /// When there is none before the deadline, or the connection breaks.
    pub async fn expect(&mut self, topic: &str) -> Result<Message> {
        self.expect_by(Deadline::new(), topic).await
    }

    /// As [`Client::expect`], with a deadline of the test.
    ///
    /// # Errors
    /// As [`Client::expect`].
    pub async fn expect_by(&mut self, deadline: Deadline, topic: &str) -> Result<Message> {
        loop {
            let message = self.next_by(deadline).await;
            let message = message.with_context(|| format!("waiting for {topic}"))?;
            if message.topic == topic {
                return Ok(message);
            }
        }
    }

    /// All messages that the broker had for this client before it answers a message of its own.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn pending(&mut self) -> Result<Vec<Message>> {
        let topic = format!("test/pending/{}", self.link.id());
        self.subscribe(&topic, 1).await?;
        self.publish(&topic, "").await?;
        let mut before = Vec::new();
        loop {
            match self.next().await? {
                message if message.topic == topic => return Ok(before),
                message => before.push(message),
            }
        }
    }

    /// Leaves the broker with DISCONNECT.
    ///
    /// # Errors
    /// When the connection is broken already.
    pub async fn disconnect(mut self) -> Result<()> {
        self.link.disconnect().await?;
        let gone = async { while self.replies.recv().await.is_some() {} };
        Deadline::new()
            .wait("the end of the connection", gone)
            .await
    }

    async fn reply(&mut self, what: &str) -> Result<Reply> {
        match Deadline::new()
            .wait(what, self.replies.recv())
            .await?
            .with_context(|| format!("no {what}"))?
        {
            Reply::Broken(reason) => bail!("waiting for {what}: {reason}"),
            reply => Ok(reply),
        }
    }
}

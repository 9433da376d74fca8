//! One guest without broker and clock. The bench does what broker, timers and store would: it delivers messages that the service has
//! subscribed to, moves the clock, and keeps state, timers and subscriptions.
//!
//! It does not deliver to the service what the service itself publishes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Service;
use crate::effects::{DueTimer, Effects};
use crate::fault_kind::FaultKind;
use crate::guest::{
    Call, Component, Fault, InputSource, Instance, OptionalExport, ServiceState, VirtualClock,
};
use crate::message::{Message, OnlyIfChanged, Outcome, Publication, Subscription, Token};
use crate::rollout::handover::{self, StartedInstance};
use crate::service;
use crate::service_ctx::ServiceCtx;
use crate::timers::set::TimerSet;
use crate::topic::Topic;

use super::answers::{Answers, answer};

/// Outcomes that are reported after one call, at most: a service may publish a message for each.
const OUTCOMES: usize = 1000;

/// Something that a bench cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// The guest failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The service has not subscribed to the topic.
    #[error("the service has no subscription that matches {topic}; it has {filters}")]
    NotSubscribed {
        /// The topic.
        topic: Topic,
        /// Its filters.
        filters: String,
    },
}

/// A guest with its surroundings.
pub struct Bench {
    component: Component,
    ctx: Arc<ServiceCtx>,
    clock: Arc<VirtualClock>,
    answers: Answers,
    /// `None` between a fault and the next call.
    instance: Option<Box<Instance>>,
    /// The effects of `start` and of later calls, as far as they are subscriptions.
    subscribed: Effects,
    published: Vec<Message>,
    /// The last message of each topic, for `only-if-changed`.
    last: HashMap<Topic, (Bytes, Instant)>,
    outcomes: VecDeque<Token>,
}

impl Bench {
    /// Starts a service, and reports to it that it is connected.
    ///
    /// # Errors
    /// The fault of the guest.
    pub async fn start(
        component: Component,
        config: Service,
        state: impl IntoIterator<Item = (String, Bytes)>,
        answers: BTreeMap<String, Bytes>,
    ) -> Result<Self, BenchError> {
        let clock = VirtualClock::new();
        let ctx = Arc::new(ServiceCtx {
            state: Arc::new(ServiceState::with_state(state)),
            inputs: Some(InputSource::Virtual(clock.clone())),
            ..ServiceCtx::new(Arc::new(config))
        });

        let (ctx, answers) = Answers::connect(ctx, answers);
        let mut bench = Self {
            component,
            ctx,
            clock,
            answers,
            instance: None,
            subscribed: Effects::default(),
            published: Vec::new(),
            last: HashMap::new(),
            outcomes: VecDeque::new(),
        };

        bench.restart().await?;
        Ok(bench)
    }

    /// Starts the guest again: its memory is lost, its state is not.
    ///
    /// # Errors
    /// The fault of the guest.
    pub async fn restart(&mut self) -> Result<(), BenchError> {
        self.instance = None;
        let prepared = self.prepare().await?;
        self.install(prepared);
        self.optional(
            OptionalExport::Connected,
            Call::Connected {
                session_present: false,
            },
        )
        .await
    }

    /// Has another instance take over the data that this one saves.
    ///
    /// # Errors
    /// The fault of the guest; then the former instance is lost as well.
    pub async fn swap(&mut self) -> Result<(), BenchError> {
        let Some(instance) = self.instance.take() else {
            return self.restart().await;
        };
        let (_, saved) = instance.save().await;
        let saved = saved?.map(Bytes::from);

        let prepared = self.prepare().await?;
        let loading = handover::load(prepared, saved);
        let prepared = answer(&mut self.answers, loading).await?;
        self.install(prepared);
        Ok(())
    }

    async fn prepare(&mut self) -> Result<StartedInstance, Fault> {
        let starting = handover::prepare(self.component.clone(), self.ctx.clone());
        answer(&mut self.answers, starting).await
    }

    /// Makes a started instance the running one; its timers and subscriptions replace the former ones.
    fn install(&mut self, prepared: StartedInstance) {
        let StartedInstance {
            instance, effects, ..
        } = prepared;
        self.instance = Some(instance);
        *self.ctx.state.timers() = TimerSet::new();
        self.subscribed = Effects::default();
        self.commit(effects);
    }

    /// Delivers a message that the service has subscribed to.
    ///
    /// # Errors
    /// The fault of the guest, or when it has no such subscription.
    pub async fn deliver(&mut self, message: Message) -> Result<(), BenchError> {
        let subscriptions = self.subscriptions();
        let matches = |one: &Subscription| one.filter.matches(&message.topic);
        if subscriptions.iter().any(matches) {
            return self.handle(message).await;
        }

        let filters: Vec<&str> = subscriptions
            .iter()
            .map(|one| one.filter.as_str())
            .collect();
        let filters = if filters.is_empty() {
            "none".to_owned()
        } else {
            filters.join(", ")
        };
        Err(BenchError::NotSubscribed {
            topic: message.topic,
            filters,
        })
    }

    /// Hands a message to the guest, subscribed to or not.
    ///
    /// # Errors
    /// The fault of the guest.
    pub async fn handle(&mut self, message: Message) -> Result<(), BenchError> {
        let attempt = 1;
        self.call(Call::Message { message, attempt }).await
    }

    /// Lets time pass, and calls the guest for each timer that is due.
    ///
    /// # Errors
    /// The first fault of the guest, after all timers had their turn.
    pub async fn advance(&mut self, time: Duration) -> Result<(), BenchError> {
        let end = self.clock.now() + time;
        let mut first = Ok(());
        loop {
            let next = self.ctx.state.timers().next();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.clock.move_to(next);
            let due = self.ctx.state.timers().due(self.clock.now());
            for timer in due {
                first = first.and(self.tick(timer).await);
            }
        }

        self.clock.move_to(end);
        first
    }

    /// Calls `tick` for a timer.
    ///
    /// # Errors
    /// The fault of the guest.
    pub async fn tick(&mut self, timer: DueTimer) -> Result<(), BenchError> {
        self.call(Call::Tick(timer)).await
    }

    /// Reports to the guest that the connection was established, or lost.
    ///
    /// # Errors
    /// The fault of the guest.
    pub async fn connect(&mut self, connected: bool) -> Result<(), BenchError> {
        if connected {
            let call = Call::Connected {
                session_present: false,
            };
            self.optional(OptionalExport::Connected, call).await
        } else {
            self.optional(OptionalExport::Disconnected, Call::Disconnected)
                .await
        }
    }

    /// Stops the guest.
    ///
    /// # Errors
    /// The fault of the guest.
    pub async fn stop(&mut self) -> Result<(), BenchError> {
        self.optional(OptionalExport::Stop, Call::Stop).await
    }

    async fn optional(&mut self, export: OptionalExport, call: Call) -> Result<(), BenchError> {
        if self.component.exports().has(export) {
            self.call(call).await
        } else {
            Ok(())
        }
    }

    /// Runs a call, and reports the outcomes of its messages: the broker takes them all. A guest that failed before is started
    /// again first.
    async fn call(&mut self, call: Call) -> Result<(), BenchError> {
        self.call_once(call).await?;
        for _ in 0..OUTCOMES {
            let Some(token) = self.outcomes.pop_front() else {
                break;
            };
            self.call_once(Call::Delivered(token, Outcome::Delivered))
                .await?;
        }

        Ok(())
    }

    async fn call_once(&mut self, call: Call) -> Result<(), BenchError> {
        if self.instance.is_none() {
            let prepared = self.prepare().await?;
            self.install(prepared);
        }
        let Some(instance) = self.instance.take() else {
            return Ok(());
        };

        let (instance, outcome) = answer(&mut self.answers, instance.call(call)).await;
        self.instance = instance;
        self.commit(outcome?);
        Ok(())
    }

    /// Puts the effects of a call in force.
    fn commit(&mut self, mut effects: Effects) {
        self.ctx.state.apply(std::mem::take(&mut effects.state));
        let timers = std::mem::take(&mut effects.timers);
        self.ctx.state.timers().apply(timers, self.clock.now());
        for publication in std::mem::take(&mut effects.publishes) {
            self.publish(publication);
        }
        self.subscribed.append(effects);
    }

    fn publish(&mut self, publication: Publication) {
        let Publication { message, terms } = publication;
        let now = self.clock.now();
        let rule = terms.as_ref().and_then(|terms| terms.only_if_changed);
        self.outcomes.extend(terms.and_then(|terms| terms.token));

        let unchanged = self.last.get(&message.topic).is_some_and(|(payload, at)| {
            let recent = match rule {
                None => false,
                Some(OnlyIfChanged::Always) => true,
                Some(OnlyIfChanged::Within(time)) => now.duration_since(*at) < time,
            };
            recent && *payload == message.payload
        });

        if !unchanged {
            self.last
                .insert(message.topic.clone(), (message.payload.clone(), now));
            self.published.push(message);
        }
    }

    /// Takes the messages that the service has published since the last time.
    pub fn take_published(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.published)
    }

    /// The subscriptions of the service, without the host's own.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        let mut all = service::subscriptions(&self.ctx.config, &self.subscribed);
        let enabled = self.ctx.config.base.filter("enabled").ok();
        all.retain(|one| Some(&one.filter) != enabled.as_ref());
        all
    }

    /// The timers of the service, and the time until each is due.
    pub fn timers(&self) -> BTreeMap<String, Duration> {
        let now = self.clock.now();
        let timers = self.ctx.state.timers();
        timers
            .iter()
            .filter_map(|(name, at)| Some((name.to_owned(), at?.saturating_duration_since(now))))
            .collect()
    }

    /// The state of the service.
    pub fn state(&self) -> Vec<(String, Bytes)> {
        self.ctx.state.state()
    }

    /// Its section of the configuration.
    pub fn config(&self) -> &Service {
        &self.ctx.config
    }

    /// How often the service wanted something that is not granted to it, since the last time.
    pub fn take_denials(&self) -> u64 {
        let counted = self.ctx.state.meter().take();
        let exceeded = counted.map(|(exceeded, _)| exceeded).unwrap_or_default();
        exceeded
            .get(&FaultKind::Grants)
            .copied()
            .unwrap_or_default()
    }
}

//! Timers and loops: methods with `#[timer]` and `#[every]`, and closures that are added at run time. The timers are the host's.

use std::time::Duration;

use crate::error::{Error, Result, TimersError};
use crate::host;
use crate::messaging::milliseconds;
use crate::registry::{self, Clockwork};
use crate::service::{IntoFlow, IntoOutcome, Service, Timing};

/// Sets the one-shot timer `name`; one of that name that runs is replaced, that is restarted. The method with
/// `#[timer("name")]` runs when it is due.
///
/// # Errors
///
/// A [`TimersError`].
pub fn after(name: &str, delay: Duration) -> Result {
    Ok(host::timers::after(name, milliseconds(delay)).map_err(TimersError::from)?)
}

/// Cancels a timer or a loop; unknown names are ignored.
pub fn cancel(name: &str) {
    host::timers::cancel(name);
}

/// How long until a timer is due, as things were when this call began; `None` when there is no such timer.
pub fn remaining(name: &str) -> Option<Duration> {
    host::timers::remaining(name).map(Duration::from_millis)
}

/// Calls `tick` with the name of each one-shot timer that matches `pattern` (as a topic filter does), beginning with the next.
pub fn on<S, R>(pattern: &str, tick: impl Fn(&mut S, &str) -> R + 'static)
where
    S: Service,
    R: IntoOutcome,
{
    let tick = registry::erase_tick(move |service: &mut S, name: &str| {
        tick(service, name)
            .into_outcome()
            .map(|()| std::ops::ControlFlow::Continue(()))
    });
    registry::wind(Clockwork {
        name: pattern.to_owned(),
        timing: None,
        tick: Some(tick),
    });
}

/// A loop of the service by its name, to stop and to restart it.
///
/// ```
/// use miqro_sdk::prelude::*;
///
/// #[derive(Default)]
/// struct Pump;
///
/// #[service]
/// impl Pump {
///     #[every("10s", stopped)]
///     fn pump(&mut self) -> Result {
///         publish("stroke", ())
///     }
///     #[handle("run")]
///     fn run(&mut self, run: bool) -> Result {
///         if run { Loop::named("pump").start() } else { Loop::named("pump").stop(); Ok(()) }
///     }
/// }
/// # let mut host = miqro_sdk::test::TestHost::<Pump>::start().unwrap();
/// # host.send("run", "on").unwrap();
/// # host.advance(std::time::Duration::ZERO).unwrap();
/// # host.expect_next("stroke", "");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    name: String,
}

impl Loop {
    /// The loop `name`: an annotated one is named like its method.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Adds a loop that runs each `period`, beginning now.
    ///
    /// # Errors
    ///
    /// A [`TimersError`].
    pub fn add<S, R>(
        name: &str,
        period: Duration,
        tick: impl Fn(&mut S) -> R + 'static,
    ) -> Result<Self>
    where
        S: Service,
        R: IntoFlow,
    {
        let tick = registry::erase_tick(move |service: &mut S, _| tick(service).into_flow());
        let timing = Timing {
            period: milliseconds(period),
            delay: 0,
            jitter: 0,
        };
        registry::wind(Clockwork {
            name: name.to_owned(),
            timing: Some(timing),
            tick: Some(tick),
        });
        arm(name, timing, 0)?;
        Ok(Self::named(name))
    }

    /// Stops a loop that was added, and forgets it.
    pub fn remove(self) {
        self.stop();
        registry::unwind(&self.name);
    }

    /// Starts the loop as it was declared; nothing happens when it ran already when this call of the service began
    /// ([`restart`](Self::restart) is for after a [`stop`](Self::stop) in the same call).
    ///
    /// # Errors
    ///
    /// When there is no such loop, or a [`TimersError`].
    pub fn start(&self) -> Result {
        if self.remaining().is_some() {
            Ok(())
        } else {
            self.restart()
        }
    }

    /// Stops the loop.
    pub fn stop(&self) {
        cancel(&self.name);
    }

    /// Starts the loop again as it was declared: at once, or after its delay.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn restart(&self) -> Result {
        let timing = self.timing()?;
        arm(&self.name, timing, jittered(timing))
    }

    /// Starts the loop again, after one period.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn restart_delayed(&self) -> Result {
        let timing = self.timing()?;
        arm(&self.name, timing, timing.period)
    }

    /// How long until the next run; `None` when the loop is stopped.
    pub fn remaining(&self) -> Option<Duration> {
        remaining(&self.name)
    }

    fn timing(&self) -> Result<Timing> {
        registry::timing(&self.name)
            .ok_or_else(|| Error::new(format!("there is no loop {}", self.name)))
    }
}

/// Milliseconds before the first run.
pub(crate) fn jittered(timing: Timing) -> u64 {
    let chance = if timing.jitter == 0 {
        0
    } else {
        host::clock::random() % timing.jitter.saturating_add(1)
    };
    timing.delay.saturating_add(chance)
}

pub(crate) fn arm(name: &str, timing: Timing, delay: u64) -> Result {
    Ok(host::timers::every(name, timing.period, delay).map_err(TimersError::from)?)
}

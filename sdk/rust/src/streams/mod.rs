//! Streams of readings, as AntEvents and ThingFlow have them: chains of operators over messages, or over samples of sensors on a timer.
//!
//! A stream is pushed: `push` hands it one item and returns the items that come out at its end. One bad item (it cannot be read, or an
//! operator fails) is logged and counted, and the stream continues with the next.
//!
//! ```
//! use miqro_sdk::prelude::*;
//! use miqro_sdk::streams::{self, Reading, Stream};
//!
//! struct Lux {
//!     readings: Stream<Vec<u8>, Reading>,
//! }
//!
//! #[service]
//! impl Lux {
//!     #[new]
//!     fn new() -> Self {
//!         let readings = streams::readings()
//!             .filter(|reading| reading.val >= 0.0)
//!             .sliding_mean(2)
//!             .publish("mean", 0)
//!             .window(Some(3), Some(Duration::from_secs(60)))
//!             .map(|window| window.into_iter().max_by(|a, b| a.val.total_cmp(&b.val)))
//!             .flatten()
//!             .publish("max", 1)
//!             .timer("readings");
//!         Self { readings }
//!     }
//!
//!     #[handle("raw")]
//!     fn raw(&mut self, payload: Vec<u8>) -> Result {
//!         self.readings.push(payload).map(drop)
//!     }
//!
//!     // windows of time and silences end by a timer
//!     #[timer]
//!     fn readings(&mut self) -> Result {
//!         self.readings.due().map(drop)
//!     }
//! }
//!
//! # let mut host = miqro_sdk::test::TestHost::<Lux>::start().unwrap();
//! # host.send("raw", r#"["lux-1", 624, 284.1312]"#).unwrap();
//! # host.send("raw", "not a reading").unwrap();
//! # host.send("raw", r#"["lux-1", 626, 288.2113]"#).unwrap();
//! # host.expect_next("mean", r#"["lux-1", 624, 284.1312]"#);
//! # host.expect_next("mean", r#"["lux-1", 626, 286.1712]"#);
//! # host.advance(Duration::from_secs(60)).unwrap();
//! # host.expect_next("max", r#"["lux-1", 626, 286.1712]"#);
//! ```

mod branches;
mod operator;
mod operators;
mod reading;
mod window;

use std::time::Duration;

use serde::de::DeserializeOwned;

pub use operator::Operator;
pub use reading::{Measured, Reading};

use crate::decode::{Decode, Json};
use crate::error::Result;
use crate::streams::operator::{Chain, Each};
use crate::{clock, timers};

/// A chain of operators that takes items `I` and gives items `O`; see the [module](crate::streams).
#[must_use = "a stream does nothing before something is pushed"]
pub struct Stream<I, O> {
    operator: Box<dyn Operator<I, Out = O>>,
    timer: Option<String>,
}

/// A stream of whatever is pushed.
pub fn of<T: 'static>() -> Stream<T, T> {
    Stream::from(Each::new(|item, out: &mut Vec<T>| {
        out.push(item);
        Ok(())
    }))
}

/// A stream of values from JSON payloads.
pub fn from_json<T: DeserializeOwned + 'static>() -> Stream<Vec<u8>, T> {
    of::<Vec<u8>>().try_map(|payload| Ok(Json::<T>::decode(&payload).map(|Json(item)| item)?))
}

/// A stream of [`Reading`]s, `["lux-1", 624, 284.1312]`.
pub fn readings() -> Stream<Vec<u8>, Reading> {
    from_json()
}

impl<I: 'static, O: 'static> Stream<I, O> {
    fn from(operator: impl Operator<I, Out = O> + 'static) -> Self {
        Self {
            operator: Box::new(operator),
            timer: None,
        }
    }

    /// Goes on with an operator of one's own.
    pub fn then<P: 'static>(self, operator: impl Operator<O, Out = P> + 'static) -> Stream<I, P> {
        Stream {
            operator: Box::new(Chain::new(self.operator, operator)),
            timer: self.timer,
        }
    }

    /// The name of the one-shot timer that the stream sets when a window or a silence will end; the method with
    /// `#[timer("name")]` calls [`due`](Self::due).
    pub fn timer(mut self, name: &str) -> Self {
        self.timer = Some(name.to_owned());
        self
    }

    /// Pushes one item; returns what comes out.
    ///
    /// # Errors
    ///
    /// When its timer cannot be set. A fault of an item is not an error: it is logged and counted.
    pub fn push(&mut self, item: I) -> Result<Vec<O>> {
        self.run(|operator, now, out| operator.next(item, now, out))
    }

    /// Ends the windows and silences whose time has come; returns what comes out.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn due(&mut self) -> Result<Vec<O>> {
        self.run(|operator, now, out| operator.due(now, out))
    }

    /// Ends the stream: items that windows, `reduce` and similar operators have gathered come out.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn end(&mut self) -> Result<Vec<O>> {
        self.run(|operator, now, out| operator.end(now, out))
    }

    /// Whether nothing can come out any more, as after `take`.
    pub fn is_complete(&self) -> bool {
        self.operator.is_complete()
    }

    fn run(
        &mut self,
        act: impl FnOnce(&mut dyn Operator<I, Out = O>, Duration, &mut Vec<O>) -> Result,
    ) -> Result<Vec<O>> {
        let now = clock::monotonic();
        let mut out = Vec::new();
        operator::forgive(act(&mut *self.operator, now, &mut out));
        match (&self.timer, self.operator.deadline()) {
            (Some(timer), Some(deadline)) => timers::after(timer, deadline.saturating_sub(now))?,
            (Some(timer), None) => timers::cancel(timer),
            (None, _) => {}
        }
        Ok(out)
    }
}

//! One operator, and the chain of two.

use std::marker::PhantomData;
use std::time::Duration;

use crate::counters::{self, count};
use crate::error::Result;

/// A step of a stream. Most are made by [`Stream`](crate::streams::Stream)'s methods; this is for one's own.
pub trait Operator<I> {
    /// Type of the items that come out.
    type Out;

    /// Takes one item.
    ///
    /// # Errors
    ///
    /// The item is dropped, and that is logged and counted.
    fn next(&mut self, item: I, now: Duration, out: &mut Vec<Self::Out>) -> Result;

    /// The time is `now`: ends what ends by then.
    ///
    /// # Errors
    ///
    /// Are logged and counted.
    fn due(&mut self, _now: Duration, _out: &mut Vec<Self::Out>) -> Result {
        Ok(())
    }

    /// No items come any more: gives what it still has.
    ///
    /// # Errors
    ///
    /// Are logged and counted.
    fn end(&mut self, _now: Duration, _out: &mut Vec<Self::Out>) -> Result {
        Ok(())
    }

    /// When `due` is to be called.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Whether it takes no more items.
    fn is_complete(&self) -> bool {
        false
    }
}

/// An operator that is a function of each item.
pub(super) struct Each<F, O> {
    run: F,
    out: PhantomData<fn() -> O>,
}

impl<F, O> Each<F, O> {
    pub(super) fn new(run: F) -> Self {
        Self {
            run,
            out: PhantomData,
        }
    }
}

impl<I, O, F: FnMut(I, &mut Vec<O>) -> Result> Operator<I> for Each<F, O> {
    type Out = O;

    fn next(&mut self, item: I, _now: Duration, out: &mut Vec<O>) -> Result {
        (self.run)(item, out)
    }
}

/// Two operators, one behind the other.
pub(super) struct Chain<I, M, B> {
    first: Box<dyn Operator<I, Out = M>>,
    second: B,
    ended: bool,
}

impl<I, M, B: Operator<M>> Chain<I, M, B> {
    pub(super) fn new(first: Box<dyn Operator<I, Out = M>>, second: B) -> Self {
        Self {
            first,
            second,
            ended: false,
        }
    }

    /// Hands on what the first gave, each on its own: one that fails does not take the others with it.
    fn pass(&mut self, between: Vec<M>, now: Duration, out: &mut Vec<B::Out>) -> Result {
        between
            .into_iter()
            .for_each(|item| forgive(self.second.next(item, now, out)));
        if self.first.is_complete() && !self.ended {
            self.ended = true;
            return self.second.end(now, out);
        }
        Ok(())
    }
}

impl<I, M, B: Operator<M>> Operator<I> for Chain<I, M, B> {
    type Out = B::Out;

    fn next(&mut self, item: I, now: Duration, out: &mut Vec<B::Out>) -> Result {
        let mut between = Vec::new();
        let outcome = self.first.next(item, now, &mut between);
        self.pass(between, now, out).and(outcome)
    }

    fn due(&mut self, now: Duration, out: &mut Vec<B::Out>) -> Result {
        let mut between = Vec::new();
        forgive(self.first.due(now, &mut between));
        forgive(self.pass(between, now, out));
        self.second.due(now, out)
    }

    fn end(&mut self, now: Duration, out: &mut Vec<B::Out>) -> Result {
        let mut between = Vec::new();
        forgive(self.first.end(now, &mut between));
        between
            .into_iter()
            .for_each(|item| forgive(self.second.next(item, now, out)));
        if std::mem::replace(&mut self.ended, true) {
            Ok(())
        } else {
            self.second.end(now, out)
        }
    }

    fn deadline(&self) -> Option<Duration> {
        [self.first.deadline(), self.second.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_complete(&self) -> bool {
        self.second.is_complete() || self.first.is_complete()
    }
}

/// Logs and counts an item that was dropped.
pub(super) fn forgive(outcome: Result) {
    if let Err(error) = outcome {
        count(|counters| counters.stream_errors += 1);
        crate::warn!("a stream dropped an item: {}", error; count = counters::counters().stream_errors);
    }
}

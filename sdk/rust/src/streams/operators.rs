//! The operators of a stream: each returns the stream with one more step.

use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;

use crate::decode::Json;
use crate::error::Result;
use crate::messaging::message;
use crate::streams::branches::Branches;
use crate::streams::operator::Each;
use crate::streams::reading::Measured;
use crate::streams::window::{Fold, Take, TakeLast, Timeout, Window};
use crate::streams::{Operator, Stream};

impl<I: 'static, T: 'static> Stream<I, T> {
    /// Goes on with those items for which `keep` is true (AntEvents: `where`).
    pub fn filter(self, mut keep: impl FnMut(&T) -> bool + 'static) -> Self {
        self.each(move |item, out| {
            out.extend(Some(item).filter(&mut keep));
            Ok(())
        })
    }

    /// Makes another item of each (AntEvents: `select`).
    pub fn map<O: 'static>(self, mut make: impl FnMut(T) -> O + 'static) -> Stream<I, O> {
        self.each(move |item, out| {
            out.push(make(item));
            Ok(())
        })
    }

    /// As [`map`](Self::map), with a function that may fail: then the item is dropped, logged and counted.
    pub fn try_map<O: 'static>(
        self,
        mut make: impl FnMut(T) -> Result<O> + 'static,
    ) -> Stream<I, O> {
        self.each(move |item, out| {
            out.push(make(item)?);
            Ok(())
        })
    }

    /// Gives what has been gathered, after each item.
    pub fn scan<A: Clone + 'static>(
        self,
        mut gathered: A,
        mut gather: impl FnMut(A, T) -> A + 'static,
    ) -> Stream<I, A> {
        self.map(move |item| {
            gathered = gather(gathered.clone(), item);
            gathered.clone()
        })
    }

    /// Gives what has been gathered, at the end (AntEvents: `aggregate`).
    pub fn reduce<A: Clone + 'static>(
        self,
        start: A,
        gather: impl FnMut(A, T) -> A + 'static,
    ) -> Stream<I, A> {
        self.then(Fold {
            gathered: start,
            gather,
        })
    }

    /// Leaves out the first `count` items (AntEvents: `drop`).
    pub fn skip(self, mut count: usize) -> Self {
        self.filter(move |_| {
            let passes = count == 0;
            count = count.saturating_sub(1);
            passes
        })
    }

    /// The first `count` items; none for 0. Then the stream is complete.
    pub fn take(self, count: usize) -> Self {
        self.then(Take { left: count })
    }

    /// The first item.
    pub fn first(self) -> Self {
        self.take(1)
    }

    /// The last item, at the end.
    pub fn last(self) -> Self {
        self.take_last(1)
    }

    /// The last `count` items, at the end.
    pub fn take_last(self, count: usize) -> Self {
        self.then(TakeLast::new(count))
    }

    /// `true` when the first item comes for which `is` is true, or `false` at the end when none came.
    pub fn some(self, is: impl FnMut(&T) -> bool + 'static) -> Stream<I, bool> {
        self.filter(is)
            .map(|_| true)
            .take(1)
            .then(OrFalse { seen: false })
    }

    /// Items in lists: a list ends when it has `count` items, or when its first item is `span` old (it takes the stream's
    /// [timer](Self::timer) then), whichever comes first; with neither, at the end of the stream (AntEvents: `buffer_with_count`, `buffer_with_time`,
    /// `buffer_with_time_or_count`).
    pub fn window(self, count: Option<usize>, span: Option<Duration>) -> Stream<I, Vec<T>> {
        self.then(Window::new(count, span))
    }

    /// Adds the item that `make` gives whenever none came for `span`; it takes the stream's [timer](Self::timer), and begins with
    /// the first item (AntEvents: `supply_event_when_timeout`).
    pub fn on_timeout(self, span: Duration, make: impl FnMut() -> T + 'static) -> Self {
        self.then(Timeout::new(span, make))
    }

    /// Leaves out items that equal the one before.
    pub fn deduplicate(self) -> Self
    where
        T: Clone + PartialEq,
    {
        let mut last = None;
        self.filter(move |item| {
            let is_new = last.as_ref() != Some(item);
            last = Some(item.clone());
            is_new
        })
    }

    /// The mean of the last `count` values, from the first item on.
    pub fn sliding_mean(self, count: usize) -> Self
    where
        T: Measured,
    {
        let mut values = std::collections::VecDeque::new();
        self.map(move |item| {
            values.push_back(item.value());
            if values.len() > count.max(1) {
                values.pop_front();
            }
            #[allow(clippy::cast_precision_loss)]
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            item.with_value(mean)
        })
    }

    /// The median of each `count` items, in the shape of their last.
    pub fn median(self, count: usize) -> Self
    where
        T: Measured,
    {
        self.window(Some(count), None).each(|window: Vec<T>, out| {
            let mut values: Vec<f64> = window.iter().map(T::value).collect();
            values.sort_by(f64::total_cmp);
            let middle = values.len() / 2;
            let median = if values.len() % 2 == 1 {
                values[middle]
            } else {
                f64::midpoint(values[middle - 1], values[middle])
            };
            out.extend(
                window
                    .into_iter()
                    .next_back()
                    .map(|item| item.with_value(median)),
            );

            Ok(())
        })
    }

    /// Sends items for which `is` is true into `branch`, and goes on with the others. One after the other, they are a table of
    /// cases.
    pub fn dispatch<O: 'static>(
        self,
        is: impl FnMut(&T) -> bool + 'static,
        branch: Stream<T, O>,
    ) -> Self
    where
        T: Clone,
    {
        self.then(Branches::dispatch(is, branch.operator))
    }

    /// Sends each item into `branch` too.
    pub fn passthrough<O: 'static>(self, branch: Stream<T, O>) -> Self
    where
        T: Clone,
    {
        self.parallel(vec![branch])
    }

    /// Sends each item into all `branches` too.
    pub fn parallel<O: 'static>(self, branches: Vec<Stream<T, O>>) -> Self
    where
        T: Clone,
    {
        self.then(Branches::all(
            branches.into_iter().map(|branch| branch.operator),
        ))
    }

    /// Calls `look` with each item.
    pub fn inspect(self, mut look: impl FnMut(&T) + 'static) -> Self {
        self.each(move |item, out| {
            look(&item);
            out.push(item);
            Ok(())
        })
    }

    /// Logs each item.
    pub fn output(self) -> Self
    where
        T: Debug,
    {
        self.inspect(|item| crate::info!("{:?}", item))
    }

    /// Logs how many items there were, at each `every`th.
    pub fn output_count(self, every: u64) -> Self {
        let mut count = 0_u64;
        self.inspect(move |_| {
            count += 1;
            if count.is_multiple_of(every.max(1)) {
                crate::info!("items"; count = count);
            }
        })
    }

    /// Publishes each item as JSON below the base topic, and goes on with it: several of these are a fan-out to several topics,
    /// each with its QoS.
    pub fn publish(self, topic: &str, qos: u8) -> Self
    where
        T: Serialize,
    {
        let topic = topic.to_owned();
        self.each(move |item, out| {
            message(&topic).qos(qos).send(Json(&item))?;
            out.push(item);
            Ok(())
        })
    }

    /// Makes JSON of each item.
    pub fn to_json(self) -> Stream<I, String>
    where
        T: Serialize,
    {
        self.try_map(|item| Ok(crate::json::to_text(&item)?))
    }

    fn each<O: 'static>(self, run: impl FnMut(T, &mut Vec<O>) -> Result + 'static) -> Stream<I, O> {
        self.then(Each::new(run))
    }
}

impl<I: 'static, T: IntoIterator + 'static> Stream<I, T> {
    /// The items within each item.
    pub fn flatten(self) -> Stream<I, T::Item> {
        self.each(|item, out| {
            out.extend(item);
            Ok(())
        })
    }
}

/// Passes `true` on, or gives `false` at the end.
struct OrFalse {
    seen: bool,
}

impl Operator<bool> for OrFalse {
    type Out = bool;

    fn next(&mut self, item: bool, _now: Duration, out: &mut Vec<bool>) -> Result {
        self.seen = true;
        out.push(item);
        Ok(())
    }

    fn end(&mut self, _now: Duration, out: &mut Vec<bool>) -> Result {
        out.extend((!self.seen).then_some(false));
        Ok(())
    }
}

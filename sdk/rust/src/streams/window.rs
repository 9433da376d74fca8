//! Operators that gather items: windows, the first or last ones, timeouts.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::Result;
use crate::streams::Operator;

/// Lists that end by count, by time, or by either.
pub(super) struct Window<T> {
    items: Vec<T>,
    count: usize,
    span: Option<Duration>,
    begun: Duration,
}

impl<T> Window<T> {
    pub(super) fn new(count: Option<usize>, span: Option<Duration>) -> Self {
        Self {
            items: Vec::new(),
            count: count.unwrap_or(usize::MAX).max(1),
            span,
            begun: Duration::ZERO,
        }
    }

    fn give(&mut self, out: &mut Vec<Vec<T>>) {
        if !self.items.is_empty() {
            out.push(std::mem::take(&mut self.items));
        }
    }
}

impl<T> Operator<T> for Window<T> {
    type Out = Vec<T>;

    fn next(&mut self, item: T, now: Duration, out: &mut Vec<Vec<T>>) -> Result {
        // an item that comes before the late timer belongs to the next list
        self.due(now, out)?;
        if self.items.is_empty() {
            self.begun = now;
        }
        self.items.push(item);
        if self.items.len() >= self.count {
            self.give(out);
        }
        Ok(())
    }

    fn due(&mut self, now: Duration, out: &mut Vec<Vec<T>>) -> Result {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.give(out);
        }
        Ok(())
    }

    fn end(&mut self, _now: Duration, out: &mut Vec<Vec<T>>) -> Result {
        self.give(out);
        Ok(())
    }

    fn deadline(&self) -> Option<Duration> {
        self.span
            .filter(|_| !self.items.is_empty())
            .map(|span| self.begun + span)
    }
}

/// Gathers items and gives the result at the end.
pub(super) struct Fold<A, F> {
    pub(super) gathered: A,
    pub(super) gather: F,
}

impl<T, A: Clone, F: FnMut(A, T) -> A> Operator<T> for Fold<A, F> {
    type Out = A;

    fn next(&mut self, item: T, _now: Duration, _out: &mut Vec<A>) -> Result {
        self.gathered = (self.gather)(self.gathered.clone(), item);
        Ok(())
    }

    fn end(&mut self, _now: Duration, out: &mut Vec<A>) -> Result {
        out.push(self.gathered.clone());
        Ok(())
    }
}

/// The first items.
pub(super) struct Take {
    pub(super) left: usize,
}

impl<T> Operator<T> for Take {
    type Out = T;

    fn next(&mut self, item: T, _now: Duration, out: &mut Vec<T>) -> Result {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            out.push(item);
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.left == 0
    }
}

/// The last items, at the end.
pub(super) struct TakeLast<T> {
    items: VecDeque<T>,
    count: usize,
}

impl<T> TakeLast<T> {
    pub(super) fn new(count: usize) -> Self {
        Self {
            items: VecDeque::new(),
            count,
        }
    }
}

impl<T> Operator<T> for TakeLast<T> {
    type Out = T;

    fn next(&mut self, item: T, _now: Duration, _out: &mut Vec<T>) -> Result {
        self.items.push_back(item);
        if self.items.len() > self.count {
            self.items.pop_front();
        }
        Ok(())
    }

    fn end(&mut self, _now: Duration, out: &mut Vec<T>) -> Result {
        out.extend(std::mem::take(&mut self.items));
        Ok(())
    }
}

/// An item for each silence.
pub(super) struct Timeout<F> {
    span: Duration,
    make: F,
    deadline: Option<Duration>,
}

impl<F> Timeout<F> {
    pub(super) fn new(span: Duration, make: F) -> Self {
        Self {
            span,
            make,
            deadline: None,
        }
    }
}

impl<T, F: FnMut() -> T> Operator<T> for Timeout<F> {
    type Out = T;

    fn next(&mut self, item: T, now: Duration, out: &mut Vec<T>) -> Result {
        self.deadline = Some(now + self.span);
        out.push(item);
        Ok(())
    }

    fn due(&mut self, now: Duration, out: &mut Vec<T>) -> Result {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.deadline = Some(now + self.span);
            out.push((self.make)());
        }
        Ok(())
    }

    fn end(&mut self, _now: Duration, _out: &mut Vec<T>) -> Result {
        self.deadline = None;
        Ok(())
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline
    }
}

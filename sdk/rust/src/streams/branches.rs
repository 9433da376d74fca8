//! Streams besides a stream: items, or copies of them, go into branches, whose own output ends there.

use std::time::Duration;

use crate::error::Result;
use crate::streams::Operator;
use crate::streams::operator::forgive;

/// One branch, whatever comes out of it.
trait Branch<T> {
    fn next(&mut self, item: T, now: Duration);
    fn due(&mut self, now: Duration);
    fn end(&mut self, now: Duration);
    fn deadline(&self) -> Option<Duration>;
}

impl<T, O> Branch<T> for Box<dyn Operator<T, Out = O>> {
    fn next(&mut self, item: T, now: Duration) {
        forgive((**self).next(item, now, &mut Vec::new()));
    }

    fn due(&mut self, now: Duration) {
        forgive((**self).due(now, &mut Vec::new()));
    }

    fn end(&mut self, now: Duration) {
        forgive((**self).end(now, &mut Vec::new()));
    }

    fn deadline(&self) -> Option<Duration> {
        (**self).deadline()
    }
}

/// Whether an item goes into the branch.
type Predicate<T> = Box<dyn FnMut(&T) -> bool>;

/// Sends items into branches: those that are meant, or all.
pub(super) struct Branches<T> {
    /// `None`: all items go into the branches and on.
    is: Option<Predicate<T>>,
    branches: Vec<Box<dyn Branch<T>>>,
}

impl<T: 'static> Branches<T> {
    pub(super) fn dispatch<O: 'static>(
        is: impl FnMut(&T) -> bool + 'static,
        branch: Box<dyn Operator<T, Out = O>>,
    ) -> Self {
        Self {
            is: Some(Box::new(is)),
            branches: vec![Box::new(branch)],
        }
    }

    pub(super) fn all<O: 'static>(
        branches: impl Iterator<Item = Box<dyn Operator<T, Out = O>>>,
    ) -> Self {
        Self {
            is: None,
            branches: branches
                .map(|branch| Box::new(branch) as Box<dyn Branch<T>>)
                .collect(),
        }
    }
}

impl<T: Clone> Operator<T> for Branches<T> {
    type Out = T;

    fn next(&mut self, item: T, now: Duration, out: &mut Vec<T>) -> Result {
        let meant = self.is.as_mut().is_none_or(|is| is(&item));
        if meant {
            self.branches
                .iter_mut()
                .for_each(|branch| branch.next(item.clone(), now));
        }
        if !meant || self.is.is_none() {
            out.push(item);
        }
        Ok(())
    }

    fn due(&mut self, now: Duration, _out: &mut Vec<T>) -> Result {
        self.branches.iter_mut().for_each(|branch| branch.due(now));
        Ok(())
    }

    fn end(&mut self, now: Duration, _out: &mut Vec<T>) -> Result {
        self.branches.iter_mut().for_each(|branch| branch.end(now));
        Ok(())
    }

    fn deadline(&self) -> Option<Duration> {
        self.branches
            .iter()
            .filter_map(|branch| branch.deadline())
            .min()
    }
}

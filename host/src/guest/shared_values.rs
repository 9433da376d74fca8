//! Values that are shared as long as something uses them; the key of a value is the hash of its source.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// SHA-256 of the bytes that a value is made from.
pub(super) type Key = [u8; 32];

/// The place of one value; locked while that is made.
type Slot<T> = Arc<Mutex<Weak<T>>>;

/// Values by their keys. It keeps none of them alive.
#[derive(Debug)]
pub(super) struct SharedValues<T> {
    slots: Mutex<HashMap<Key, Slot<T>>>,
}

impl<T> Default for SharedValues<T> {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
        }
    }
}

impl<T> SharedValues<T> {
    /// Returns the value of `key` that is in use, or makes it. A caller that asks for a value while another one makes it waits for
    /// that. Blocks as long as `make` does.
    ///
    /// # Errors
    /// The error of `make`; the next caller tries again.
    pub(super) fn get_or_make<E>(
        &self,
        key: Key,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let slot = self.slot(key);
        let mut present = lock(&slot);
        if let Some(value) = present.upgrade() {
            return Ok(value);
        }

        let made = Arc::new(make()?);
        *present = Arc::downgrade(&made);
        Ok(made)
    }

    /// The slot of `key`. Slots whose value is gone are removed, unless a caller is making a new one.
    fn slot(&self, key: Key) -> Slot<T> {
        let mut slots = lock(&self.slots);
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(slot).strong_count() > 0);
        slots.entry(key).or_default().clone()
    }
}

/// A poisoned lock is no reason to stop: a slot is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;
    use std::sync::mpsc;

    use super::*;

    fn made(value: &str) -> Result<String, Infallible> {
        Ok(value.to_owned())
    }

    #[test]
    fn a_value_is_shared_while_it_is_used() {
        let values = SharedValues::default();
        let first = values.get_or_make([1; 32], || made("first")).unwrap();
        let again = values.get_or_make([1; 32], || made("again")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));

        let other = values.get_or_make([2; 32], || made("other")).unwrap();
        assert_eq!(*other, "other");
    }

    #[test]
    fn an_unused_value_is_gone() {
        let values = SharedValues::default();
        let first = values.get_or_make([1; 32], || made("first")).unwrap();
        let weak = Arc::downgrade(&first);
        drop(first);
        assert!(weak.upgrade().is_none());

        let _other = values.get_or_make([2; 32], || made("other")).unwrap();
        assert_eq!(lock(&values.slots).len(), 1, "its slot is removed");
        let second = values.get_or_make([1; 32], || made("second")).unwrap();
        assert_eq!(*second, "second");
    }

    #[test]
    fn a_failed_value_is_made_by_the_next_caller() {
        let values = SharedValues::default();
        assert_eq!(
            values.get_or_make([1; 32], || Err("no")),
            Err::<Arc<String>, _>("no")
        );
        assert_eq!(*values.get_or_make([1; 32], || made("yes")).unwrap(), "yes");
    }

    #[test]
    fn a_value_that_is_being_made_is_waited_for() {
        let values = SharedValues::default();
        let (begin, begun) = mpsc::channel();
        let (go_on, going_on) = mpsc::channel();
        std::thread::scope(|scope| {
            let values = &values;
            let first = scope.spawn(move || {
                let making = || {
                    begin.send(()).unwrap();
                    going_on.recv().unwrap();
                    made("first")
                };
                values.get_or_make([1; 32], making).unwrap()
            });

            begun.recv().unwrap();
            let second = scope.spawn(|| values.get_or_make([1; 32], || made("second")).unwrap());
            go_on.send(()).unwrap();

            let (first, second) = (first.join().unwrap(), second.join().unwrap());
            assert!(Arc::ptr_eq(&first, &second));
        });
    }
}

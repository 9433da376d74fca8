//! The service of this component, which its exports share.

use std::any::Any;
use std::cell::RefCell;

use crate::{Runtime, Service};

thread_local! {
    static RUNTIME: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Starts the service.
///
/// # Errors
///
/// The reason why it cannot start.
pub fn start<S: Service>() -> Result<(), String> {
    let runtime = Runtime::<S>::start()?;
    RUNTIME.set(Some(Box::new(runtime)));
    Ok(())
}

/// Calls `call` with the service; `None` when it has not started.
pub fn with<S: Service, T>(call: impl FnOnce(&mut Runtime<S>) -> T) -> Option<T> {
    RUNTIME.with_borrow_mut(|runtime| {
        let runtime = runtime.as_mut()?.downcast_mut()?;
        Some(call(runtime))
    })
}

/// Calls a function of an interface that `#[serve]` exports. Without a service it traps: the host starts it first.
pub fn serve_call<S: Service, T>(call: impl FnOnce(&mut S) -> T) -> T {
    match with(|runtime: &mut Runtime<S>| runtime.serve(call)) {
        Some(value) => value,
        None => panic!("the service has not started"),
    }
}

//! The threads that compile guests. They have a lower priority, so that compiling a new version does not hold up messages.

use std::sync::Once;

use crate::priority;

/// Sets up the process's pool of compile threads, once.
pub(super) fn set_up() {
    static SET_UP: Once = Once::new();

    SET_UP.call_once(|| {
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(|number| format!("compile-{number}"))
            .start_handler(|_| priority::lower())
            .build_global();
        if let Err(error) = pool {
            tracing::warn!("compiling may hold up messages: {error}");
        }
    });
}

//! Machine: the threads that compile guests. In: nothing. Out: a pool for wasmtime's compiler, whose threads stand back, so that a new
//! version that is compiled does not hold up messages. Owns nothing.

use std::sync::Once;

use crate::priority::stand_back;

/// Sets the process's pool of compilers up, once.
pub(super) fn set_up() {
    static SET_UP: Once = Once::new();
    SET_UP.call_once(|| {
        let pool =
            rayon::ThreadPoolBuilder::new().thread_name(|number| format!("compile-{number}"));
        if let Err(error) = pool.start_handler(|_| stand_back()).build_global() {
            tracing::warn!("compiling may hold up messages: {error}");
        }
    });
}

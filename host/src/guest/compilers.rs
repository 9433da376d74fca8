//! Machine: threads that stand back where there is other work: those that compile guests, and those that run slow guest calls. In:
//! nothing. Out: a pool for wasmtime's compiler, and the same for whoever makes threads. A new version that is compiled, and a guest
//! that computes without end, then do not hold up the messages of others. Owns nothing.

use std::sync::Once;

/// The niceness of such threads: a tenth of the processor where somebody else wants it, all of it otherwise.
const NICENESS: i32 = 10;

/// Has the calling thread stand back.
pub fn stand_back() {
    // on Linux this concerns the calling thread alone; where it is refused, the thread has the usual priority
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Sets the process's pool of compilers up, once.
pub(super) fn set_up() {
    static SET_UP: Once = Once::new();
    SET_UP.call_once(|| {
        let pool = rayon::ThreadPoolBuilder::new().thread_name(|number| format!("compile-{number}"));
        if let Err(error) = pool.start_handler(|_| stand_back()).build_global() {
            tracing::warn!("compiling may hold up messages: {error}");
        }
    });
}

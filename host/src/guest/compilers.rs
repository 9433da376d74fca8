//! Machine: the threads that compile guests. In: nothing. Out: a pool for wasmtime's compiler whose threads stand back where there
//! is other work, so that a new version that is compiled does not hold up the messages of the old one. Owns nothing after that.

use std::sync::Once;

/// The niceness of compiling threads: a tenth of the processor where somebody else wants it, all of it otherwise.
const NICENESS: i32 = 10;

/// Sets the process's pool up, once.
pub(super) fn stand_back() {
    static SET_UP: Once = Once::new();
    SET_UP.call_once(|| {
        let pool = rayon::ThreadPoolBuilder::new().thread_name(|number| format!("compile-{number}"));
        let nicely = pool.start_handler(|_| {
            // on Linux this concerns the calling thread alone; where it is refused, the thread has the usual priority
            let _ = rustix::process::setpriority_process(None, NICENESS);
        });
        if let Err(error) = nicely.build_global() {
            tracing::warn!("compiling may hold up messages: {error}");
        }
    });
}

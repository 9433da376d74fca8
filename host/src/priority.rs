//! Priorities of threads, and the processor time that a thread has used.
//!
//! Compiling and slow guest calls run on threads of their own. They must not delay messages, but must not starve on a busy machine
//! either, since a call has to end within `limits.call`. [`lower`] therefore leaves them a share of the processor. Long calls, and
//! all calls of services that exceed their limits or die, get idle time only ([`set_idle`]), as far as there is any: the kernel lets
//! any other thread interrupt them at once, whereas a thread that is only niced may first finish its slice of some milliseconds.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

/// The niceness of low-priority threads: a tenth of the processor if another thread competes for it, all of it otherwise.
const NICENESS: i32 = 10;

/// Lowers the priority of the calling thread.
pub fn lower() {
    // on Linux this concerns the calling thread alone; if it is refused, the thread keeps the usual priority
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Returns the processor time that the calling thread has used.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Gives the calling thread only processor time that is otherwise idle. If that is refused, its priority is just lowered.
pub fn set_idle() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let _ = thread_priority::set_thread_priority_and_policy(
        thread_priority::thread_native_id(),
        ThreadPriority::Min,
        idle,
    );
    lower();
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Niceness and policy of a thread on which `prepare` ran: fields 19 and 41 of proc_pid_stat(5).
    fn after(prepare: fn()) -> [String; 2] {
        let read = move || {
            prepare();
            std::fs::read_to_string("/proc/thread-self/stat").unwrap()
        };
        let stat = std::thread::spawn(read).join().unwrap();
        // behind the name, which may have spaces, comes field 3
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        [19, 41].map(|field: usize| fields[field - 3].to_owned())
    }

    #[test]
    fn threads_give_way_alone() {
        let before = after(|| {});
        assert_eq!(after(lower), ["10", "0"]);
        assert_eq!(after(set_idle), ["10", "5"], "SCHED_IDLE, see sched(7)");
        assert_eq!(after(|| {}), before, "others are as they were");
    }
}

//! Machine: how much of the processor a thread takes from others. In: nothing. Out: the calling thread gives way, more or less, and knows
//! what it has had.
//! Owns nothing.
//!
//! Beside the message path there is other work: compiling, slow guest calls. It must not hold up messages, and must not starve either on
//! a machine that is busy all the time, since a call has to end within `limits.call`. So it stands back, and keeps a share. Only what
//! services do that exceed their limits or die is left with what nobody else wants, if there is anything: the kernel lets any other
//! thread interrupt it at once, where one that merely stands back may first finish its slice of some milliseconds.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

/// The niceness of threads that stand back: a tenth of the processor where somebody else wants it, all of it otherwise.
const NICENESS: i32 = 10;

/// Has the calling thread stand back.
pub fn lower() {
    // on Linux this concerns the calling thread alone; where it is refused, the thread has the usual priority
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// The processor time that the calling thread has had.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Leaves the calling thread the processor time that nobody else wants; where that is refused, it stands back.
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

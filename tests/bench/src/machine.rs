//! Load of the machine that the bench does not cause: figures that were measured beside it are not to be relied on.

use std::fs;

/// Share of the processors that other programs, or other guests of a hypervisor, may use.
const MOST_FOREIGN: f64 = 0.05;

/// Time of all processors together, in ticks of the kernel (proc_stat(5), proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    all: u64,
    busy: u64,
    stolen: u64,
    /// Time of this process and of those that it started and has waited for.
    own: u64,
}

impl Usage {
    /// The usage since the machine was started; zero where the kernel does not tell.
    pub(crate) fn now() -> Self {
        let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
        let process = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self {
            own: own_time(&process),
            ..Self::of_machine(&machine)
        }
    }

    /// Parses the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
    fn of_machine(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let times: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|time| time.parse().ok())
            .collect();

        let &[user, nice, system, idle, iowait, irq, softirq, steal] = times.as_slice() else {
            return Self::default();
        };
        let busy = user + nice + system + irq + softirq;
        Self {
            all: busy + idle + iowait + steal,
            busy,
            stolen: steal,
            own: 0,
        }
    }

    /// Reasons to doubt figures that were measured from `self` to `end`.
    pub(crate) fn doubts_until(self, end: Self) -> Vec<String> {
        let all = end.all.saturating_sub(self.all).max(1) as f64;
        let own = end.own.saturating_sub(self.own);
        let foreign = end.busy.saturating_sub(self.busy).saturating_sub(own) as f64 / all;
        let stolen = end.stolen.saturating_sub(self.stolen) as f64 / all;

        let mut doubts = Vec::new();
        if foreign > MOST_FOREIGN {
            let percent = 100.0 * foreign;
            doubts.push(format!(
                "other programs used {percent:.0} % of the processors meanwhile"
            ));
        }

        if stolen > MOST_FOREIGN {
            let percent = 100.0 * stolen;
            doubts.push(format!(
                "the hypervisor gave {percent:.0} % of the processors' time to others meanwhile"
            ));
        }

        doubts
    }
}

/// User and system time of the process and of its children, from /proc/self/stat: fields 14 to 17, behind the name in brackets.
fn own_time(text: &str) -> u64 {
    let Some((_, fields)) = text.rsplit_once(')') else {
        return 0;
    };
    let times = fields.split_whitespace().skip(11).take(4);
    times.filter_map(|time| time.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "cpu  1000 0 500 8000 100 0 0 10 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";

    #[test]
    fn load_of_others_is_doubted() {
        let before = Usage::of_machine(BEFORE);
        let later = |text: &str, own| Usage {
            own,
            ..Usage::of_machine(text)
        };
        let quiet = later("cpu  1800 0 700 8000 100 0 0 10 0 0\n", 980);
        assert!(before.doubts_until(quiet).is_empty());

        let beside = later("cpu  1800 0 700 8000 100 0 0 10 0 0\n", 700);
        let said = "other programs used 30 % of the processors meanwhile";
        assert_eq!(before.doubts_until(beside), [said]);

        let stolen = later("cpu  1400 0 500 8400 100 0 0 210 0 0\n", 400);
        let said = "the hypervisor gave 20 % of the processors' time to others meanwhile";
        assert_eq!(before.doubts_until(stolen), [said]);
    }

    #[test]
    fn own_time_includes_children() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194560 1 2 3 4 10 20 300 400 20 0 1 0 5 6 7";
        assert_eq!(own_time(stat), 730);
        assert_eq!(own_time(""), 0);
    }
}

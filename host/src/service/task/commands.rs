//! Commands of the supervisor, carried out between two invocations.

use std::time::Instant;

use super::{Flow, Stop, Task};
use crate::service::Command;

impl Task {
    /// Carries out a command; `None`: the supervisor has ended, and so does the host.
    pub(super) async fn on_command(&mut self, command: Option<Command>) -> Flow {
        match command {
            Some(Command::Begin(begin)) => self.on_begin(*begin).await,
            Some(Command::Swap(swap)) => self.on_swap(*swap).await,
            Some(Command::Shadow(shadow)) => self.on_shadow(*shadow).await,
            Some(Command::EndShadow) => self.rollout.set_shadow(None),
            Some(Command::Restart(answer)) => self.on_restart(answer).await,
            Some(Command::Note(version, event, note)) => {
                self.update_history(|history, at| history.record(version, event, note, at))
                    .await;
            }
            Some(Command::ClearRejected) => {
                self.update_history(|history, _| history.clear_rejected())
                    .await;
            }
            Some(Command::Offer(offer)) => self.on_offer(*offer).await,
            Some(Command::Report) => {
                self.log_due();
                let counters = self.queue.mailbox.counters();
                self.usage.report(counters, Instant::now());
            }
            Some(Command::Snapshot(answer)) => self.on_snapshot(answer),
            Some(Command::Replay(segment)) => self.queue.backlog.push_segment(segment),
            Some(Command::Record(record)) => self.on_record(*record).await,
            Some(Command::DescribeRecording(answer)) => self.on_describe_recording(answer).await,
            Some(Command::Stop(deadline)) => {
                return Flow::Break(Stop {
                    deadline,
                    leaves: false,
                });
            }
            Some(Command::Leave(deadline)) => {
                return Flow::Break(Stop {
                    deadline,
                    leaves: true,
                });
            }
            None => {
                return Flow::Break(Stop {
                    deadline: Instant::now(),
                    leaves: false,
                });
            }
        }

        Flow::Continue(())
    }
}

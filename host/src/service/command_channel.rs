//! Channel of commands to one service. A command that waits interrupts a call of the guest that waits for an answer.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::guest::ServiceState;

use super::Command;

/// Commands that may wait for one service; the supervisor sends one at a time.
const CAPACITY: usize = 4;

/// Creates the channel of a service with this state.
pub(super) fn channel(state: Arc<ServiceState>) -> (CommandSender, CommandReceiver) {
    let (commands, received) = mpsc::channel(CAPACITY);
    (CommandSender { commands, state }, CommandReceiver(received))
}

/// Sending end, for the supervisor and the admin interfaces. Cheap to clone.
#[derive(Clone)]
pub(super) struct CommandSender {
    commands: mpsc::Sender<Box<QueuedCommand>>,
    state: Arc<ServiceState>,
}

/// Receiving end, for the service's task.
pub(super) struct CommandReceiver(mpsc::Receiver<Box<QueuedCommand>>);

/// A command in the channel. Boxed there: the channel has places for 32 from the start, which would be 4 KiB of each service.
struct QueuedCommand {
    command: Command,
    _interruption: InterruptionGuard,
}

/// Interrupts waits of the guest until the command is taken out of the channel, or dropped with it.
struct InterruptionGuard(Option<Arc<ServiceState>>);

impl CommandSender {
    /// Sends a command. Returns `false` when the service has ended.
    pub(super) async fn send(&self, command: Command) -> bool {
        self.commands.send(self.queued(command)).await.is_ok()
    }

    /// Sends a command without waiting. Returns `false` when there is no room for it, or the service has ended.
    pub(super) fn try_send(&self, command: Command) -> bool {
        self.commands.try_send(self.queued(command)).is_ok()
    }

    /// Waits until there is room for a command, or the service has ended. Cancel-safe.
    pub(super) async fn room(&self) {
        // an error means that the service has ended
        let _ = self.commands.reserve().await;
    }

    fn queued(&self, command: Command) -> Box<QueuedCommand> {
        let state = command.ends_wait().then(|| Arc::clone(&self.state));
        if let Some(state) = &state {
            state.interruption().request(command.grace());
        }
        Box::new(QueuedCommand {
            command,
            _interruption: InterruptionGuard(state),
        })
    }
}

impl CommandReceiver {
    /// Waits for the next command; `None`: there is no sender any more. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Option<Command> {
        self.0.recv().await.map(|queued| queued.command)
    }

    /// Takes the next command if there is one.
    pub(super) fn try_recv(&mut self) -> Option<Command> {
        self.0.try_recv().ok().map(|queued| queued.command)
    }

    /// Whether no command waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for InterruptionGuard {
    fn drop(&mut self) {
        if let Some(state) = &self.0 {
            state.interruption().complete();
        }
    }
}

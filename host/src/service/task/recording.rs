//! Recordings of the service: begun between two invocations, and ended by the recorder itself.

use tokio::sync::oneshot;

use super::Task;
use crate::guest::InputRecorder;
use crate::recording::{Begin, Content, FORMAT, Header};
use crate::rollout::Timestamp;
use crate::service::recorder::Recorder;
use crate::service::{CommandError, Record, Recording};

impl Task {
    /// Begins a recording.
    pub(super) async fn on_record(&mut self, record: Record) {
        let outcome = match record.begin {
            Begin::Running => self.record_running(record.count).await,
            Begin::Start => self.record_from_start(record.count).await,
        };
        // the caller may have gone
        let _ = record.answer.send(outcome);
    }

    /// Answers with the header of a recording that begins now.
    pub(super) async fn on_describe_recording(
        &mut self,
        answer: oneshot::Sender<Result<Header, CommandError>>,
    ) {
        let header = self.header(Begin::Running).await;
        // the caller may have gone
        let _ = answer.send(header);
    }

    async fn record_running(&mut self, count: Option<u64>) -> Result<Recording, CommandError> {
        if self.runner.is_recorded() {
            return Err(CommandError::Recorded);
        }
        let header = self.header(Begin::Running).await?;
        let inputs = self
            .runner
            .input_recorder()
            .ok_or(CommandError::NotRunning)?
            .clone();

        let (recorder, recording) = Recorder::new(inputs, header, count);
        self.runner.set_recorder(recorder);
        Ok(recording)
    }

    async fn record_from_start(&mut self, count: Option<u64>) -> Result<Recording, CommandError> {
        if self.runner.is_recorded() {
            return Err(CommandError::Recorded);
        }
        // the state that the recording begins with is the one that `stop` leaves
        self.stop_guest().await;
        let header = self.header(Begin::Start).await?;
        let (recorder, recording) = Recorder::new(InputRecorder::new(), header, count);
        self.runner.set_recorder(recorder);
        self.restart_by_command().await?;
        Ok(recording)
    }

    async fn header(&mut self, begin: Begin) -> Result<Header, CommandError> {
        let version = self.runner.version().ok_or(CommandError::NoComponent)?;
        let saved = self.save_state(self.ctx.config.swap.saved).await;
        let saved = saved.map_err(|error| CommandError::Save(error.to_string()))?;

        let inputs = self.runner.input_recorder();
        let state = self.ctx.state.state().into_iter();
        Ok(Header {
            recording: FORMAT,
            service: self.ctx.config.name.clone(),
            component: version.to_string(),
            at: Timestamp::now().unix_millis,
            begin,
            config: self.ctx.config.section(),
            discovery_prefix: self.ctx.discovery_prefix.as_str().to_owned(),
            state: state.map(|(key, value)| (key, Content(value))).collect(),
            seed: inputs.map(|inputs| inputs.seed()).unwrap_or_default(),
            saved: saved.map(Content),
        })
    }
}

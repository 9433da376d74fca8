//! Requests about shadow runs.

use futures_util::future::FutureExt;
use serde_json::json;
use tokio::sync::oneshot;

use super::answer::{AnswerFuture, RequestError};
use super::runtime::Runtime;
use crate::control::Answer;
use crate::rollout::loader::Loader;
use crate::service::CommandError;
use crate::version::Version;

impl Runtime<'_> {
    /// The shadow of a service.
    ///
    /// # Errors
    /// When there is no such service.
    pub(super) fn shadow(&self, service: &str) -> Result<Answer, RequestError> {
        let shadow = self.supervisor.shadow(service)?;
        Ok(Answer::Value(json!({"service": service, "shadow": shadow})))
    }

    /// Has a version of the archive run as a shadow.
    pub(super) fn start_shadow(&mut self, service: &str, version: String) -> AnswerFuture {
        let (begin, begun) = oneshot::channel();
        let (answer, outcome) = oneshot::channel();
        self.supervisor.start_shadow(service, begun, answer);
        start(self.deps.loader.clone(), version, begin, outcome).boxed()
    }

    /// Stops the shadow of a service.
    ///
    /// # Errors
    /// When there is no such service, or no shadow.
    pub(super) fn stop_shadow(&mut self, service: &str) -> Result<Answer, RequestError> {
        let (version, comparison) = self.supervisor.stop_shadow(service)?;
        let sentence = format!("version {} ran as a shadow: {comparison}", version.short());
        Ok(Answer::Value(sentence.into()))
    }
}

async fn start(
    loader: Loader,
    version: String,
    begin: oneshot::Sender<Version>,
    outcome: oneshot::Receiver<Result<Version, CommandError>>,
) -> Result<Answer, RequestError> {
    let version = loader.find(version).await?;
    // an error means that the command was refused; the outcome says why
    let _ = begin.send(version);
    outcome.await.map_err(|_| RequestError::Ended)??;

    let sentence = format!("version {} runs as a shadow", version.short());
    Ok(Answer::Value(sentence.into()))
}

//! Streams for operators: log lines, and calls of services.

use super::answer::RequestError;
use super::runtime::Runtime;
use crate::config::Level;
use crate::control::Stream;

impl Runtime<'_> {
    /// The last log lines, those behind a number, and further ones if wanted.
    ///
    /// # Errors
    /// When there is no such service, or too many listen.
    pub(super) fn logs(
        &self,
        service: Option<String>,
        level: Option<Level>,
        is_followed: bool,
        after: Option<u64>,
    ) -> Result<Stream, RequestError> {
        self.check_service(service.as_deref())?;
        let level = level.unwrap_or(Level::Trace);
        let (recent, further) = self.logs.listen(service, level, is_followed, after)?;
        Ok(Stream::of_lines(recent, further))
    }

    /// Calls of a service, or of all, from now on.
    ///
    /// # Errors
    /// When there is no such service, or too many listen.
    pub(super) fn tail(&self, service: Option<String>) -> Result<Stream, RequestError> {
        self.check_service(service.as_deref())?;
        let calls = self.deps.shared.calls.listen(service, |_| true)?;
        Ok(Stream::of_calls(calls))
    }

    fn check_service(&self, service: Option<&str>) -> Result<(), RequestError> {
        if let Some(service) = service {
            self.supervisor.service_ref(service)?;
        }
        Ok(())
    }
}

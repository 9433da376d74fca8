//! Versions in component files that wait: they do not take over by themselves, because `swap.automatic` is off, because they were rolled
//! back, or because they did not start. The command `update` has them take over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::guest::Component;
use crate::rollout::Timestamp;
use crate::rollout::history::format_utc;
use crate::rollout::shadow::shadow_ctx;
use crate::service::{Answer, AvailableVersion, CommandError, Status};
use crate::version::Version;

use super::deployments::{StartByCommand, StartedVersion, start};
use super::{Entry, ShadowRun, Supervisor};

/// The version in the component file of a service.
pub struct FileVersion {
    component: Component,
    /// When it was found, in milliseconds since 1970 (UTC).
    since: u64,
}

impl FileVersion {
    /// A version that was found now.
    pub fn new(component: Component) -> Self {
        let since = Timestamp::now().unix_millis;
        Self { component, since }
    }

    pub(super) fn version(&self) -> Version {
        self.component.version()
    }
}

impl Entry {
    /// Notes the component that the file holds; `None`: none that can run.
    pub(super) fn set_in_file(&mut self, found: Option<Component>) {
        let version = found.as_ref().map(Component::version);
        if version != self.in_file.as_ref().map(FileVersion::version) {
            self.in_file = found.map(FileVersion::new);
        }
    }

    /// The version in the component file, unless it runs or is about to.
    pub(super) fn waiting(&self) -> Option<&FileVersion> {
        let in_use = [self.version(), self.shadow_of_file()];
        let is_in_use = |file: &FileVersion| in_use.contains(&Some(file.version()));
        self.in_file.as_ref().filter(|file| !is_in_use(file))
    }

    fn shadow_of_file(&self) -> Option<Version> {
        self.shadow.as_ref().and_then(ShadowRun::of_file)
    }

    /// How long a new version is to run as a shadow first; `None`: not at all.
    pub(super) fn shadow_span(&self) -> Option<Duration> {
        let span = self.ctx.config.swap.shadow;
        // without a running version there is nothing to compare with
        (!span.is_zero() && self.handle.status() == Status::Running).then_some(span)
    }

    /// The reason why no version waits.
    fn up_to_date(&self) -> CommandError {
        match (self.shadow_of_file(), self.version()) {
            (Some(version), _) => CommandError::InShadow(version),
            (None, Some(version)) => CommandError::UpToDate(version),
            (None, None) => CommandError::NoComponent,
        }
    }
}

impl Supervisor {
    /// Notes the component that a file holds; `None`: none that can run.
    pub(super) fn set_in_file(&mut self, file: &Path, found: Option<&Component>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.file == file) {
            entry.set_in_file(found.cloned());
        }
    }

    /// Looks again at a file in which a version waits, because a service that uses it is new or has a new section.
    pub(super) fn look_again(&mut self, file: PathBuf) {
        let waits = |entry: &Entry| entry.file == file && entry.waiting().is_some();
        if self.entries.iter().any(waits) {
            self.prepare(file);
        }
    }

    /// The versions that wait, each with the name of its service.
    pub fn available_versions(&self) -> Vec<(&str, AvailableVersion)> {
        let available = self.entries.iter().filter_map(|entry| {
            let available = self.available(entry)?;
            Some((entry.ctx.config.name.as_str(), available))
        });
        available.collect()
    }

    /// The version that waits for a service.
    pub(super) fn available(&self, entry: &Entry) -> Option<AvailableVersion> {
        // a deployment replaces the file as soon as its version runs
        let is_settled = !self.preparations.deploying.contains_key(&entry.file);
        let file = entry.waiting().filter(|_| is_settled)?;
        Some(AvailableVersion {
            version: file.version(),
            since: format_utc(file.since),
        })
    }

    /// Has a service take over the version that waits in its component file, also one that was rolled back. Returns for how long it
    /// runs as a shadow first, if it does.
    ///
    /// # Errors
    /// When there is no such service, or no version waits for it.
    pub fn update(
        &mut self,
        service: &str,
        answer: Answer,
    ) -> Result<Option<Duration>, CommandError> {
        let entry = self.entry(service)?;
        if self.preparations.is_deploying(&entry.file) {
            return Err(CommandError::Deploying(entry.file.clone()));
        }
        let file = entry.waiting().ok_or_else(|| entry.up_to_date())?;

        let (id, ctx) = (entry.id, entry.ctx.clone());
        let component = file.component.clone();
        let span = entry.shadow_span();
        let loader = self.loader.clone();
        let starting = async move {
            let outcome = match span {
                None => start(component, &ctx, &loader)
                    .await
                    .map(StartedVersion::Update),
                Some(span) => {
                    let apart = shadow_ctx(&ctx);
                    let prepared = start(component, &apart, &loader).await;
                    prepared.map(|prepared| StartedVersion::Shadow(prepared, apart, Some(span)))
                }
            };
            StartByCommand {
                id,
                ctx,
                answer,
                outcome,
            }
        };
        self.starts.spawn_on(starting, self.loader.pool());
        Ok(span)
    }
}

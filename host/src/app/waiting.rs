//! Start of a host that cannot use its configuration because files that it names are missing: waits until they are there, or
//! until a signal stops the host.

use tracing::{error, info};

use crate::config::{ConfigError, Diagnostic, LoadedConfig};

use super::Source;
use super::awaited::{FileEvent, Files};
use super::signals::{SignalRequest, Signals};
use super::systemd::Notifier;

/// Outcome of a start that had to wait.
pub(super) enum Start {
    /// With a configuration that can be used.
    Whole(Box<LoadedConfig>),
    /// With the signal to stop.
    Stop(&'static str),
}

/// Waits for the missing files of `loaded`. Calls `waiting` once if there are any.
pub(super) async fn whole(
    mut loaded: LoadedConfig,
    source: &Source,
    signals: &mut Signals,
    notifier: &Notifier,
    waiting: &dyn Fn(),
) -> Start {
    if loaded.missing.is_empty() {
        return Start::Whole(Box::new(loaded));
    }
    let mut files = Files::new(
        loaded.config.file.clone(),
        loaded.config.host.watch_interval,
    );
    let mut said = String::new();
    let mut pulse = tokio::time::Instant::now();
    say(&loaded.missing, &mut said);
    files.wait_for(awaited_files(&loaded.missing));
    notifier.tell("READY=1\nSTATUS=waits for files that the configuration names");
    waiting();
    loop {
        tokio::select! {
            happened = files.next() => if let FileEvent::Rejected(_) = happened { continue },
            signal = signals.next() => match signal {
                SignalRequest::Stop(name) => return Start::Stop(name),
                SignalRequest::Hangup => said.clear(),
                SignalRequest::Report => continue,
            },
            () = notifier.watch(&mut pulse) => continue,
        }

        match source.begin() {
            Ok(again) if again.missing.is_empty() => {
                info!("the files are there that the configuration names");
                return Start::Whole(Box::new(again));
            }
            Ok(again) => {
                say(&again.missing, &mut said);
                files.wait_for(awaited_files(&again.missing));
                loaded = again;
            }
            Err(ConfigError(problems)) => {
                say(&problems, &mut said);
                files.wait_for(awaited_files(problems.iter().chain(&loaded.missing)));
            }
        }
    }
}

fn awaited_files<'a>(
    problems: impl IntoIterator<Item = &'a Diagnostic>,
) -> Vec<std::path::PathBuf> {
    problems
        .into_iter()
        .filter_map(|problem| problem.awaited.clone())
        .collect()
}

/// Says what is missing, once.
fn say(problems: &[Diagnostic], said: &mut String) {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let text = lines.join("\n");
    if text == *said {
        return;
    }
    for line in &lines {
        error!("{line}");
    }
    error!(
        "nothing runs before that is mended; the configuration is read again when one of its files changes"
    );
    *said = text;
}

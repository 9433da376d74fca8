//! Lines for the systemd journal: a priority in front of each (sd-daemon(3)), and no time, which the journal notes itself.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::Level;

/// Whether stderr goes to the journal. `JOURNAL_STREAM` names the journal's file: stderr may have been redirected since.
pub(super) fn is_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = std::io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
        .and_then(|file| file.metadata());
    stderr.is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// `text` with the priority of `level` in front of each line.
pub(super) fn with_priority(text: &str, level: &Level) -> String {
    let priority = match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };

    text.lines()
        .map(|line| format!("<{priority}>{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_the_priority() {
        assert_eq!(
            with_priority("a\n    | b\n", &Level::WARN),
            "<4>a\n<4>    | b\n"
        );
        assert_eq!(with_priority("a\n", &Level::INFO), "<6>a\n");
    }
}

//! Surface: what the systemd journal wants of a line: its priority in front, and no time, which it notes itself. In: finished
//! lines. Out: the same with `<N>` in front (sd-daemon(3)). Owns nothing.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::Level;

/// Whether stderr is the journal. systemd says which file the journal is: stderr may have been redirected since.
pub(super) fn is_read() -> bool {
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

/// `text`, each of its lines with the priority of `level`.
pub(super) fn prioritised(text: &str, level: &Level) -> String {
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
            prioritised("a\n    | b\n", &Level::WARN),
            "<4>a\n<4>    | b\n"
        );
        assert_eq!(prioritised("a\n", &Level::INFO), "<6>a\n");
    }
}

//! Report of a component that takes long to compile: a line in the log, and one at the end of the terminal that moves.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::info;

/// Time that compiling may take before it is reported.
const NOTABLE: Duration = Duration::from_secs(1);

/// Time between two pictures of the line on the terminal.
const PICTURE: Duration = Duration::from_millis(200);

/// The moving part of the line. The compiler does not say how far it is, so there is nothing to fill a bar with.
const PICTURES: [&str; 4] = ["|", "/", "-", "\\"];

/// Shows a line at the end of the terminal, or with `None` removes it.
pub type StatusLine = Arc<dyn Fn(Option<String>) + Send + Sync>;

/// A line that is removed when this is dropped.
struct StatusLineGuard<'a>(&'a StatusLine);

impl Drop for StatusLineGuard<'_> {
    fn drop(&mut self) {
        (self.0)(None);
    }
}

/// Reports that `file` is being compiled, if that takes long; `begun` gets its size when compiling begins. Never ends.
pub async fn report_compiling(
    file: &Path,
    begun: oneshot::Receiver<usize>,
    status_line: &StatusLine,
) -> Infallible {
    let Ok(bytes) = begun.await else {
        // nothing is compiled
        return std::future::pending().await;
    };
    let start = Instant::now();
    tokio::time::sleep(NOTABLE).await;
    let name = file.file_name().unwrap_or(file.as_os_str());
    let compiling = format!("compiling {} ({})", name.display(), megabytes(bytes));
    info!("{compiling}");

    let shown = StatusLineGuard(status_line);
    let mut pictures = PICTURES.iter().cycle();
    loop {
        let picture = pictures.next().unwrap_or(&"");
        let seconds = start.elapsed().as_secs();
        (shown.0)(Some(format!("{picture} {compiling}, {seconds} s")));
        tokio::time::sleep(PICTURE).await;
    }
}

/// A size for people; most components have some hundred kilobytes.
fn megabytes(bytes: usize) -> String {
    let size = bytes as f64 / 1e6;
    if size < 10.0 {
        format!("{size:.1} MB")
    } else {
        format!("{size:.0} MB")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn sizes_are_in_megabytes() {
        let shown = [120_000, 3_140_000, 18_430_000].map(megabytes);
        assert_eq!(shown, ["0.1 MB", "3.1 MB", "18 MB"]);
    }

    #[tokio::test]
    async fn the_line_on_the_terminal_moves_and_is_removed() {
        let (written, mut lines) = mpsc::channel(16);
        let status_line: StatusLine = Arc::new(move |line| written.try_send(line).unwrap());
        let (begin, begun) = oneshot::channel();
        begin.send(18_430_000).unwrap();

        let file = Path::new("/somewhere/app.wasm");
        let shown = async {
            let mut next = async || lines.recv().await.flatten().unwrap();
            [next().await, next().await]
        };
        let [first, second] = tokio::select! {
            shown = shown => shown,
            never = report_compiling(file, begun, &status_line) => match never {},
        };
        assert!(
            first.starts_with("| compiling app.wasm (18 MB), "),
            "{first}"
        );
        assert!(
            second.starts_with("/ compiling app.wasm (18 MB), "),
            "{second}"
        );
        assert_eq!(lines.recv().await, Some(None));
    }
}

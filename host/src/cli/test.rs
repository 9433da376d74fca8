//! `miqro-host test`: runs the contract's own suite and the user's scenarios on a component, without broker and clock.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use tokio::runtime::Builder;

use super::print::print_line;
use crate::app::default_cache_dir;
use crate::config::{Level, LogFormat};
use crate::guest::{Component, Engine, EngineOptions};
use crate::logging::{self, Levels};
use crate::recording::RecordingFile;
use crate::testing::{self, Given, Scenario, Suite};

const EXAMPLES: &str = "Examples:
  miqro-host test guests/echo.wasm                    the contract's own suite
  miqro-host test guests/echo.wasm echo.yml           and the scenarios of echo.yml
  miqro-host test echo.wasm echo.yml --junit out.xml  for a CI system
  miqro-host test new.wasm --replay echo.jsonl        what another build does on a recording of `miqro-host record`

A scenario:
  scenario: answers with what it gets
  given: {config: {precision: 2}, state: {count: 3}}
  steps:
    - then: {publishes: [{topic: beat, payload: {json: {answer: 42}}}]}   # at the start, by its loops as well
    - message: echo
      payload: hello
      then: {publishes: [{topic: echo_response, payload: hello}], state: {count: 4}}
    - advance: 10s
      then: {publishes: [{topic: beat, payload: {json: {answer: 42}}}]}

Further keys: given.name, given.answers (to requests); message with qos, retain, global; event: connected, disconnected, restart,
swap, stop; then.timers, then.subscriptions, then.error. The contract's suite runs with the configuration of the first scenario.

A replay compares publishes, requests, timers, subscriptions and errors of each recorded call: `-` marks the behaviour of
the recorded build, `+` that of this one.

Exit code 0: every case passed; 1: at least one failed.";

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Test {
    /// Component to test
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Files with scenarios
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    /// Run the component on recordings of `miqro-host record`, in place of the contract's own suite
    #[arg(long, value_name = "RECORDING")]
    replay: Vec<PathBuf>,
    /// Write the outcomes to a file in JUnit's format
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Show the log lines of the service
    #[arg(short, long)]
    verbose: bool,
}

impl Test {
    /// Runs the cases, and prints one line for each.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let level = if self.verbose {
            Level::Debug
        } else {
            Level::Warning
        };
        let _logs = logging::start(Levels::all(level), LogFormat::Text, None)?;

        let mut files = Vec::new();
        for path in &self.scenarios {
            files.push((path.as_path(), read_scenarios(path)?));
        }
        let bytes = std::fs::read(&self.file).with_context(|| self.file.display().to_string())?;
        let threads = Builder::new_current_thread().enable_all().build()?;
        let mut recordings = Vec::new();
        for path in &self.replay {
            recordings.push((path.as_path(), read_recording(path)?));
        }
        let inputs = Inputs { files, recordings };
        let suites = threads.block_on(run_suites(&self.file, &bytes, &inputs))?;

        if let Some(path) = &self.junit {
            std::fs::write(path, testing::junit(&suites))
                .with_context(|| path.display().to_string())?;
        }
        report(&suites)
    }
}

/// Everything that a component is tested with.
struct Inputs<'a> {
    files: Vec<(&'a Path, Vec<Scenario>)>,
    recordings: Vec<(&'a Path, RecordingFile)>,
}

fn read_recording(path: &Path) -> anyhow::Result<RecordingFile> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    RecordingFile::read(&text).with_context(|| path.display().to_string())
}

fn read_scenarios(path: &Path) -> anyhow::Result<Vec<Scenario>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let scenarios = Scenario::read(&text).with_context(|| path.display().to_string())?;
    if scenarios.is_empty() {
        bail!("{}: expected a scenario, found none", path.display());
    }
    Ok(scenarios)
}

async fn run_suites(file: &Path, bytes: &[u8], inputs: &Inputs<'_>) -> anyhow::Result<Vec<Suite>> {
    let engine = Engine::new(EngineOptions {
        services: 1,
        cache_dir: default_cache_dir(),
        ..EngineOptions::default()
    })?;
    let mut contract = Suite::new(file.display().to_string());
    let began = Instant::now();
    let component = match engine.compile(bytes) {
        Ok(component) => component,
        Err(error) => {
            contract.add("fulfils the contract", began, Err(error.to_string()));
            return Ok(vec![contract]);
        }
    };

    contract.add("fulfils the contract", began, Ok(()));

    let mut suites = vec![contract];
    if inputs.recordings.is_empty() {
        run_contract(&mut suites[0], &component, file, &inputs.files).await?;
    }
    for (path, scenarios) in &inputs.files {
        suites.push(play_all(path, scenarios, &component, file).await);
    }
    for (path, recording) in &inputs.recordings {
        suites.push(replay(path, recording, &component, file).await?);
    }
    Ok(suites)
}

/// Runs the contract's suite with the configuration of the first scenario.
async fn run_contract(
    suite: &mut Suite,
    component: &Component,
    file: &Path,
    files: &[(&Path, Vec<Scenario>)],
) -> anyhow::Result<()> {
    let first = files
        .first()
        .and_then(|(path, all)| Some((*path, all.first()?)));
    let service = match first {
        Some((path, scenario)) => scenario.given.service(file, Some(path)),
        None => Given::default().service(file, None),
    };
    testing::contract::suite(suite, component, &service?).await;
    Ok(())
}

/// Runs the component on a recording.
async fn replay(
    path: &Path,
    recording: &RecordingFile,
    component: &Component,
    file: &Path,
) -> anyhow::Result<Suite> {
    let mut suite = Suite::new(path.display().to_string());
    let began = Instant::now();
    let replay = testing::replay(recording, component.clone(), file)
        .await
        .with_context(|| path.display().to_string())?;

    let calls = recording.calls.len();
    let name = format!("does the same in {calls} recorded calls");
    suite.add(name, began, replay.outcome);
    for case in &mut suite.cases {
        case.notes.clone_from(&replay.notes);
    }
    Ok(suite)
}

async fn play_all(
    path: &Path,
    scenarios: &[Scenario],
    component: &Component,
    file: &Path,
) -> Suite {
    let mut suite = Suite::new(path.display().to_string());
    for scenario in scenarios {
        let began = Instant::now();
        let outcome = testing::play(scenario, path, component.clone(), file).await;
        suite.add(scenario.name.as_str(), began, outcome);
    }
    suite
}

/// Prints the outcomes.
fn report(suites: &[Suite]) -> anyhow::Result<ExitCode> {
    for suite in suites {
        print_line(&suite.name)?;
        for case in &suite.cases {
            let mark = if case.passed() { "ok  " } else { "FAIL" };
            let milliseconds = case.time.as_millis();
            print_line(format_args!("  {mark}  {} ({milliseconds} ms)", case.name))?;
            for line in case.failure.iter().flat_map(|text| text.lines()) {
                print_line(format_args!("        {line}"))?;
            }
            for note in &case.notes {
                print_line(format_args!("        note: {note}"))?;
            }
        }
    }

    let cases = suites.iter().flat_map(|suite| &suite.cases);
    let total = cases.clone().count();
    let failed = cases.filter(|case| !case.passed()).count();
    print_line(format_args!("{} passed, {failed} failed", total - failed))?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

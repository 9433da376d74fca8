//! `miqro-host new`, `build` and `dev`: services in other languages, from nothing to running.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;
use ignore::{DirEntry, WalkBuilder};

use super::print::{print, print_error, print_line};
use super::run::Run;
use crate::project::{Engine, Language, Project, scaffold};

/// How often `dev` looks at the files.
const LOOK: Duration = Duration::from_millis(50);

/// Folders without sources.
const NO_SOURCES: [&str; 5] = [
    "build",
    "node_modules",
    "target",
    "__pycache__",
    "wit-bindings",
];

/// Files that a build may write beside the sources.
const WRITTEN_BY_BUILDS: [&str; 2] = ["Cargo.lock", "go.sum"];

/// Arguments of `new`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host new lamp --lang python   makes the folder lamp with a small service")]
pub(super) struct New {
    /// Name of the service and of its folder
    #[arg(value_name = "NAME")]
    name: String,
    /// Language: rust, python, js, ts, c, cpp or go; asked for on a terminal
    #[arg(short, long, value_name = "LANGUAGE", value_parser = language)]
    lang: Option<Language>,
}

/// A word that names no language.
#[derive(Debug, thiserror::Error)]
#[error("expected {}", words())]
struct UnknownLanguage;

fn language(word: &str) -> Result<Language, UnknownLanguage> {
    let found = Language::ALL.iter().find(|(known, _)| *known == word);
    found.map(|(_, language)| *language).ok_or(UnknownLanguage)
}

fn words() -> String {
    let words: Vec<&str> = Language::ALL.iter().map(|(word, _)| *word).collect();
    words.join(", ")
}

impl New {
    /// Makes the project.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let language = match self.lang {
            Some(language) => language,
            None => ask_language()?,
        };
        let folder = scaffold::create(Path::new("."), &self.name, language)?;

        let name = &self.name;
        let folder = folder.strip_prefix(".").unwrap_or(&folder).display();
        let install = scaffold::install_command(language);
        print_line(format_args!(
            "{folder}: a service in {language}. Next:\n  cd {name}\n  {install}\n  miqro-host build\n  miqro-host test {name}.wasm \
             scenario.yml\n  miqro-host run {name}.wasm"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn ask_language() -> anyhow::Result<Language> {
    if !std::io::stdin().is_terminal() {
        bail!("expected --lang with one of {}", words());
    }

    loop {
        print(format_args!("Language ({}): ", words()))?;
        std::io::stdout().flush()?;
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line)? == 0 {
            bail!("expected --lang with one of {}", words());
        }
        match language(line.trim()) {
            Ok(language) => return Ok(language),
            Err(expected) => print_line(expected)?,
        }
    }
}

/// Arguments of `build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host build          builds the service in this folder: NAME.wasm
  miqro-host build lamp     in another folder
  miqro-host build --web    JavaScript that uses fetch

The files of the folder decide the language: Cargo.toml, pyproject.toml, tsconfig.json, package.json, go.mod, app.c, app.cpp. A tool
that is missing is named with the command that installs it.")]
pub(super) struct Build {
    /// Folder of the service
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    web: Web,
}

impl Build {
    /// Builds the component.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        build(&Project::find(&self.folder)?, self.web.engine())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The choice of the engine, of `build` and `dev`.
#[derive(Debug, clap::Args)]
struct Web {
    /// JavaScript with fetch and the Web's other interfaces, by componentize-js: 12 MB, and far slower for each message
    #[arg(long)]
    web: bool,
}

impl Web {
    fn engine(&self) -> Engine {
        if self.web {
            Engine::SpiderMonkey
        } else {
            Engine::QuickJs
        }
    }
}

/// Builds a project, and prints the result.
fn build(project: &Project, engine: Engine) -> anyhow::Result<PathBuf> {
    let began = Instant::now();
    print_line(format_args!(
        "building {} ({})",
        project.name, project.language
    ))?;
    let component = project.build(engine)?;

    let bytes = component.metadata()?.len();
    let seconds = began.elapsed().as_secs_f64();
    print_line(format_args!(
        "{}: {bytes} bytes, built in {seconds:.1} s",
        component.strip_prefix(".").unwrap_or(&component).display()
    ))?;
    Ok(component)
}

/// Arguments of `dev`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host dev            builds and runs the service in this folder, and again whenever a file is saved

The running version goes on when a build fails. Ctrl-C ends it. The configuration is ./miqro.yml, as for run.")]
pub(super) struct Dev {
    /// Folder of the service
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    web: Web,
}

impl Dev {
    /// Runs a host, and builds again until it ends.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let project = Project::find(&self.folder)?;
        let engine = self.web.engine();
        let mut sources = sources(&project.folder);
        let component = loop {
            match build_and_see(&project, engine, &mut sources) {
                Ok(component) => break component,
                Err(error) => print_line(format_args!("{error:#}; waiting for a change"))?,
            }
            wait_for_change(&project.folder, &mut sources);
        };

        // it ends with the process
        std::thread::Builder::new()
            .name("builder".to_owned())
            .spawn(move || rebuild(&project, engine, sources))?;
        Run::for_file(component).run(config)
    }
}

/// Builds a project whenever a file of it changes. The host watches the component.
fn rebuild(project: &Project, engine: Engine, mut sources: Sources) {
    loop {
        wait_for_change(&project.folder, &mut sources);
        if let Err(error) = build_and_see(project, engine, &mut sources) {
            print_error(format_args!("{error:#}; the running version goes on"));
        }
    }
}

/// Builds a project. The lock file that a build writes is no change of the sources.
fn build_and_see(
    project: &Project,
    engine: Engine,
    sources: &mut Sources,
) -> anyhow::Result<PathBuf> {
    let built = build(project, engine);
    for name in WRITTEN_BY_BUILDS {
        let file = project.folder.join(name);
        if let Some(seen) = see(&file) {
            sources.insert(file, seen);
        }
    }

    built
}

/// Waits until the sources of a project are others than these.
fn wait_for_change(folder: &Path, sources: &mut Sources) {
    loop {
        std::thread::sleep(LOOK);
        let now = self::sources(folder);
        if now != *sources {
            *sources = now;
            return;
        }
    }
}

/// The time of the last change of a file, and its size.
type Seen = (Option<SystemTime>, u64);

/// The files of a project.
type Sources = BTreeMap<PathBuf, Seen>;

fn see(file: &Path) -> Option<Seen> {
    let metadata = file.metadata().ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}

/// The present sources of a project: its files but for hidden ones, those that its `.gitignore` names, and those that builds write.
fn sources(folder: &Path) -> Sources {
    let is_source = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        !NO_SOURCES.contains(&&*name) && !name.ends_with(".wasm")
    };
    // a folder or a file may vanish meanwhile
    let entries = WalkBuilder::new(folder)
        .parents(false)
        .require_git(false)
        .git_global(false)
        .filter_entry(move |entry| entry.depth() == 0 || is_source(entry))
        .build()
        .flatten();

    entries
        // not a link to a folder, which may lead out of the project or around in a circle
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| Some((entry.path().to_owned(), see(entry.path())?)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_files_of_the_project_are_sources() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            "src/lib.rs",
            "Cargo.toml",
            "data/table.txt",
            "wit/app.wit",
            "lamp.wasm",
            ".lamp.wasm.new",
            ".git/index",
            ".venv/bin/python",
            "build/module.wasm",
            "node_modules/esbuild/index.js",
            "target/release/lamp.d",
            "src/__pycache__/app.pyc",
            "host.log",
            "made/table.txt",
        ];

        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::write(folder.path().join(".gitignore"), "*.log\n/made\n").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();

        let found = sources(folder.path());
        let mut expected: Vec<PathBuf> =
            ["Cargo.toml", "data/table.txt", "src/lib.rs", "wit/app.wit"]
                .map(|file| folder.path().join(file))
                .into();
        expected.sort();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_edit_is_a_change_of_the_sources() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.c");
        std::fs::write(&file, "one").unwrap();
        let before = sources(folder.path());
        assert_eq!(sources(folder.path()), before);
        std::fs::write(&file, "other").unwrap();
        assert_ne!(sources(folder.path()), before);
    }
}

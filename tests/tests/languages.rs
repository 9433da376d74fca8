//! Services in every language, from nothing to a hot swap, with the real toolchains: `make test-languages` installs them and runs
//! these tests, which are too slow for `make test`.

mod asynchronous;
mod bindings;
mod comparison;
mod http;
mod matrix;
mod miqro;
mod packages;
mod web;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use miqro_tests::process::Process;
use miqro_tests::{Client, Deadline, host, place};
use tempfile::TempDir;

/// The longest wait for a component to be compiled and to run. Python's has 18 MB, and other builds may run on the machine.
const COMPILING: Duration = Duration::from_secs(600);

/// A project of `miqro-host new`, with the tools of its language.
struct Project {
    parent: TempDir,
    name: String,
}

/// The output of a command, and whether it succeeded.
struct Output {
    success: bool,
    text: String,
}

impl Project {
    /// Makes a project.
    fn new(language: &str) -> Result<Self> {
        Self::named(&format!("lamp-{language}"), language)
    }

    /// Makes a project of this name.
    fn named(name: &str, language: &str) -> Result<Self> {
        let project = Self {
            parent: TempDir::new()?,
            name: name.to_owned(),
        };
        let mut new = host::command()?;
        new.current_dir(project.parent.path());
        let output = run(new.args(["new", &project.name, "--lang", language]))?;
        ensure!(output.success, "{}", output.text);

        let tools = place::tools().join("languages");
        symlink(tools.join("python"), project.file(".venv"))?;
        if project.file("package.json").exists() {
            let modules = project.file("node_modules");
            std::fs::create_dir(&modules)?;
            for entry in std::fs::read_dir(tools.join("js/node_modules"))? {
                let entry = entry?;
                symlink(entry.path(), modules.join(entry.file_name()))?;
            }
            symlink("../miqro-sdk", modules.join("miqro-sdk"))?;
        }

        Ok(project)
    }

    fn file(&self, path: &str) -> PathBuf {
        self.parent.path().join(&self.name).join(path)
    }

    /// Runs `miqro-host` in the folder of the project.
    fn host(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = host::command()?;
        run(command.current_dir(self.file("")).args(arguments))
    }

    /// Runs a command of the shell in the folder of the project; it must succeed.
    fn shell(&self, command: &str) -> Result<()> {
        let mut shell = Command::new("sh");
        let output = run(shell.current_dir(self.file("")).args(["-ec", command]))?;
        ensure!(output.success, "{command}: {}", output.text);
        Ok(())
    }

    fn build(&self) -> Result<()> {
        let output = self.host(&["build"])?;
        ensure!(output.success, "{}", output.text);
        Ok(())
    }

    fn component(&self) -> String {
        format!("{}.wasm", self.name)
    }

    /// Replaces text of a source.
    fn edit(&self, source: &str, before: &str, after: &str) -> Result<()> {
        let file = self.file(source);
        let text = std::fs::read_to_string(&file)?;
        ensure!(text.contains(before), "{source} has no {before}");
        std::fs::write(&file, text.replace(before, after))?;
        Ok(())
    }
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .with_context(|| format!("{:?}", command.get_program()))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Output {
        success: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    })
}

/// A project that runs on the embedded broker of its host.
struct Running {
    process: Process,
    port: u16,
    /// The base topic of the service, without the slash.
    base: String,
}

impl Running {
    /// Starts the host with `arguments` in the folder of the project, and waits until the service takes messages.
    async fn start(project: &Project, arguments: &[&str]) -> Result<Self> {
        // an interpreter takes its time for 900 KiB on a machine that builds meanwhile
        Self::start_with(project, arguments, "{limits: {call: 60s}}").await
    }

    /// Starts the host with a section of the service.
    async fn start_with(project: &Project, arguments: &[&str], section: &str) -> Result<Self> {
        let port = place::free_port()?;
        let config = format!(
            "broker: {{embedded: {{listen: '127.0.0.1:{port}'}}}}\nservices: {{{}: {section}}}\n",
            project.name
        );
        std::fs::write(project.file("miqro.yml"), config)?;
        let mut command = host::command_in(&project.file(""))?;
        command.args(arguments);

        let running = Self {
            process: Process::start(&mut command)?,
            port,
            base: format!("service/{}", project.name),
        };
        running.says(0, "running").await?;
        running.is_online().await?;
        Ok(running)
    }

    /// Waits for a line of the host after the first `start` ones.
    async fn says(&self, start: usize, text: &str) -> Result<String> {
        let output = self.process.output();
        output
            .says_by(Deadline::after(COMPILING), start, text)
            .await
    }

    async fn is_online(&self) -> Result<()> {
        let online = format!("{}/online", self.base);
        let mut client = Client::connect(self.port).await?;
        client.subscribe(&online, 1).await?;

        let deadline = Deadline::after(COMPILING);
        while client.expect_by(deadline, &online).await?.payload != "1" {}
        Ok(())
    }

    /// Sends a message to `echo` and returns the answer on `topic`. Each has a client of its own: a test builds between two of them, for
    /// longer than a broker waits for a client that is silent.
    async fn ask(&self, payload: impl Into<Bytes>, topic: &str) -> Result<Bytes> {
        let topic = format!("{}/{topic}", self.base);
        let mut client = Client::connect(self.port).await?;
        client.subscribe(&topic, 1).await?;
        client.publish(&self.echo(), payload).await?;

        let answer = client.expect_by(Deadline::after(COMPILING), &topic).await;
        let answer = answer.with_context(|| self.process.output().told("no answer"))?;
        Ok(answer.payload)
    }

    /// Sends a message to `echo`.
    async fn send(&self, payload: impl Into<Bytes>) -> Result<()> {
        let mut client = Client::connect(self.port).await?;
        client.publish(&self.echo(), payload).await
    }

    fn echo(&self) -> String {
        format!("{}/echo", self.base)
    }
}

/// Makes, builds, tests, runs, asks and swaps a service. `source` is where its topics stand, `unit` the command of its unit tests.
async fn journey(language: &str, source: &str, unit: &str) -> Result<()> {
    let project = Project::new(language)?;
    project.build()?;
    project.shell(unit)?;

    let tested = project.host(&["test", &project.component(), "scenario.yml"])?;
    ensure!(tested.success, "{}", tested.text);
    ensure!(tested.text.contains(" passed, 0 failed"), "{}", tested.text);

    let running = Running::start(&project, &["run", &project.component()]).await?;
    for payload in [vec![], vec![0xff, 0], vec![b'x'; 900 << 10]] {
        let answer = running.ask(payload.clone(), "echo_response").await?;
        ensure!(answer == payload, "{} bytes", answer.len());
    }

    project.edit(source, "echo_response", "second_response")?;
    project.build()?;
    running.says(0, "takes over").await?;
    let answer = running.ask("again", "second_response").await?;
    ensure!(answer == "again", "{answer:?}");
    Ok(())
}

/// A mistake in the source: the tool's own words are shown, and the component stays as it was.
fn mistake(language: &str, source: &str, line: &str, words: &str) -> Result<()> {
    let project = Project::new(language)?;
    let file = project.file(source);
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, format!("{text}\n{line}\n"))?;
    std::fs::write(project.file(&project.component()), "before")?;

    let output = project.host(&["build"])?;
    ensure!(
        !output.success && output.text.contains(words) && output.text.contains("has failed"),
        "{}",
        output.text
    );
    ensure!(std::fs::read(project.file(&project.component()))? == b"before");
    Ok(())
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn python_from_nothing_to_a_hot_swap() -> Result<()> {
    journey("python", "app.py", ".venv/bin/python -m unittest").await
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn javascript_from_nothing_to_a_hot_swap() -> Result<()> {
    journey("js", "src/app.js", "npm test").await
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn typescript_from_nothing_to_a_hot_swap() -> Result<()> {
    journey("ts", "src/app.ts", "npm test").await
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn c_from_nothing_to_a_hot_swap() -> Result<()> {
    let unit = "cc test_greeting.c -o build/test && build/test";
    journey("c", "app.c", unit).await
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn cpp_from_nothing_to_a_hot_swap() -> Result<()> {
    let unit = ".venv/bin/python-zig c++ -std=c++20 test_greeting.cpp -o build/test && build/test";
    journey("cpp", "app.cpp", unit).await
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn go_from_nothing_to_a_hot_swap() -> Result<()> {
    journey("go", "main.go", ".venv/bin/go test .").await
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn rust_from_nothing_to_a_hot_swap() -> Result<()> {
    journey("rust", "src/lib.rs", "cargo test").await
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn a_mistake_is_shown_in_the_words_of_the_tool() -> Result<()> {
    mistake("python", "app.py", "def (", "SyntaxError")?;
    mistake("js", "src/app.js", "const = 1;", "Expected identifier")?;
    mistake(
        "ts",
        "src/app.ts",
        "const x: number = 'text';",
        "is not assignable to type 'number'",
    )?;

    mistake(
        "c",
        "app.c",
        "int f(void) { return x; }",
        "undeclared identifier 'x'",
    )?;

    mistake(
        "go",
        "main.go",
        "var x int = \"text\"",
        "cannot use \"text\"",
    )
}

/// `dev` builds on save; while the source has a mistake, the running version answers.
#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn dev_builds_on_save_and_survives_mistakes() -> Result<()> {
    let project = Project::new("c")?;
    // the compiler builds its own library first, the first time
    project.build()?;
    let running = Running::start(&project, &["dev"]).await?;

    project.edit("app.c", "echo_response", "second_response")?;
    running.says(0, "takes over").await?;
    running.ask("one", "second_response").await?;

    project.edit("app.c", "second_response", "third_response")?;
    project.edit("app.c", "static bool echo(", "static bool echo((")?;
    running.says(0, "the running version goes on").await?;
    running.ask("two", "second_response").await?;

    let lines = running.process.output().lines().len();
    project.edit("app.c", "static bool echo((", "static bool echo(")?;
    running.says(lines, "takes over").await?;
    running.ask("three", "third_response").await?;
    Ok(())
}

/// The tests of the SDKs themselves, in the words of each language.
#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn the_sdks_pass_their_own_tests() -> Result<()> {
    let tools = place::tools().join("languages");
    let folder = TempDir::new()?;
    let in_sdk = |language: &str, program: &Path, arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(program);
        command.current_dir(place::project().join("sdk").join(language));
        let output = run(command.args(arguments))?;
        ensure!(output.success, "{language}: {}", output.text);
        Ok(())
    };

    let python = tools.join("python/bin/python");
    in_sdk(
        "python",
        &python,
        &["-m", "unittest", "discover", "-s", "tests"],
    )?;
    in_sdk("js", Path::new("npm"), &["test"])?;
    in_sdk("go", &tools.join("python/bin/go"), &["test", "."])?;
    let program = folder.path().join("test");
    let program = program.to_str().context("a path that is text")?;
    in_sdk(
        "c",
        Path::new("cc"),
        &["-Wall", "-Wextra", "-Werror", "test.c", "-o", program],
    )?;
    in_sdk("c", Path::new(program), &[])
}

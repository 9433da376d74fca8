//! Services in every language, from nothing to a hot swap, with the real toolchains: `make test-languages` installs them and runs
//! these tests, which are too slow for `make test`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::process::Process;
use miqro_tests::{Client, host, place};
use tempfile::TempDir;

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
        let parent = TempDir::new()?;
        let project = Self {
            parent,
            name: format!("lamp-{language}"),
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

/// Makes, builds, tests, runs, asks and swaps a service. `source` is where its topics stand, `unit` the command of its unit tests.
async fn journey(language: &str, source: &str, unit: &str) -> Result<()> {
    let project = Project::new(language)?;
    project.build()?;
    project.shell(unit)?;

    let tested = project.host(&["test", &project.component(), "scenario.yml"])?;
    ensure!(tested.success, "{}", tested.text);
    ensure!(tested.text.contains(" passed, 0 failed"), "{}", tested.text);

    let port = place::free_port()?;
    let config = format!("broker: {{embedded: {{listen: '127.0.0.1:{port}'}}}}\n");
    std::fs::write(project.file("miqro.yml"), config)?;
    let mut command = host::command()?;
    command
        .current_dir(project.file(""))
        .env("XDG_STATE_HOME", project.file("state"))
        .args(["run", &project.component()]);
    let process = Process::start(&mut command)?;
    process.output().says(0, "running").await?;

    let base = format!("service/{}", project.name);
    let mut client = Client::connect(port).await?;
    client.subscribe(&format!("{base}/#"), 1).await?;
    for payload in [vec![], vec![0xff, 0], vec![b'x'; 900 << 10]] {
        client
            .publish(&format!("{base}/echo"), payload.clone())
            .await?;
        let answer = client.expect(&format!("{base}/echo_response")).await;
        let answer = answer.with_context(|| process.output().told("no answer"))?;
        ensure!(answer.payload == payload, "{} bytes", answer.payload.len());
    }

    project.edit(source, "echo_response", "second_response")?;
    project.build()?;
    process.output().says(0, "takes over").await?;
    client.publish(&format!("{base}/echo"), "again").await?;
    let answer = client.expect(&format!("{base}/second_response")).await?;
    ensure!(answer.payload == "again", "{:?}", answer.payload);
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
    let port = place::free_port()?;
    let config = format!("broker: {{embedded: {{listen: '127.0.0.1:{port}'}}}}\n");
    std::fs::write(project.file("miqro.yml"), config)?;
    // the compiler builds its own library first, the first time
    project.build()?;
    let mut command = host::command()?;
    command
        .current_dir(project.file(""))
        .env("XDG_STATE_HOME", project.file("state"))
        .arg("dev");
    let process = Process::start(&mut command)?;
    process.output().says(0, "running").await?;
    let mut client = Client::connect(port).await?;
    client.subscribe("service/lamp-c/+", 1).await?;

    project.edit("app.c", "echo_response", "second_response")?;
    process.output().says(0, "takes over").await?;
    client.publish("service/lamp-c/echo", "one").await?;
    client.expect("service/lamp-c/second_response").await?;

    project.edit("app.c", "second_response", "third_response\" \"")?;
    project.edit("app.c", "static bool echo(", "static bool echo((")?;
    process
        .output()
        .says(0, "the running version goes on")
        .await?;
    client.publish("service/lamp-c/echo", "two").await?;
    client.expect("service/lamp-c/second_response").await?;

    let lines = process.output().lines().len();
    project.edit("app.c", "static bool echo((", "static bool echo(")?;
    process.output().says(lines, "takes over").await?;
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

/// The binding generators of the languages run over each world of the contract.
#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn every_world_has_bindings() -> Result<()> {
    let tools = place::tools().join("languages/python/bin");
    let wit = place::project().join("wit");
    for world in ["service", "service-with-lifecycle", "full-service"] {
        let folder = TempDir::new()?;
        let mut command = Command::new(tools.join("componentize-py"));
        command.arg("-d").arg(&wit).args(["-w", world, "bindings"]);
        let output = run(command.arg(folder.path().join("python")))?;
        ensure!(output.success, "{world}: {}", output.text);
        bindings_of_c_compile(&wit, world, folder.path())?;
    }

    Ok(())
}

fn bindings_of_c_compile(wit: &Path, world: &str, folder: &Path) -> Result<()> {
    let mut resolve = wit_bindgen_core::wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let selected = resolve.select_world(&[package], Some(world))?;
    let mut files = wit_bindgen_core::Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, selected, &mut files)?;

    let mut sources = Vec::new();
    for (name, content) in files.iter() {
        std::fs::write(folder.join(name), content)?;
        if name.ends_with(".c") {
            sources.push(name.to_owned());
        }
    }

    let zig = place::tools().join("languages/python/bin/python-zig");
    let mut command = Command::new(zig);
    command
        .current_dir(folder)
        .args(["cc", "-target", "wasm32-wasi", "-c"]);
    let output = run(command.args(&sources))?;
    ensure!(output.success, "{world}: {}", output.text);
    Ok(())
}

//! The table of `docs/languages.md`: an echo service in each language, beside one in Rust in the same host. `make bench-languages`
//! prints it. It asserts nothing: figures are for reading.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use miqro_tests::process::Process;
use miqro_tests::{Client, Deadline, Message, host, place};
use tempfile::TempDir;

use super::{COMPILING, Project};

/// Messages of a round, the rounds for each service, and messages under way at once.
const MESSAGES: usize = 2_000;
const ROUNDS: usize = 5;
const UNDER_WAY: usize = 64;

/// A row: name, word of `new`, source, and further arguments of `build`.
const ROWS: [(&str, &str, &str, &[&str]); 8] = [
    ("Rust", "rust", "src/lib.rs", &[]),
    ("C", "c", "app.c", &[]),
    ("C++", "cpp", "app.cpp", &[]),
    ("Go", "go", "main.go", &[]),
    ("JavaScript (QuickJS)", "js", "src/app.js", &[]),
    ("TypeScript (QuickJS)", "ts", "src/app.ts", &[]),
    ("Python", "python", "app.py", &[]),
    (
        "JavaScript (SpiderMonkey, `--web`)",
        "js",
        "src/app.js",
        &["--web"],
    ),
];

/// A host with a service in Rust and perhaps another one, `other`.
struct Pair {
    process: Process,
    port: u16,
    web: u16,
}

impl Pair {
    /// Starts it in `folder`, where the compiled code stays, and returns also the time until all services run.
    async fn start(folder: &Path, rust: &Path, other: Option<&Path>) -> Result<(Self, Duration)> {
        let port = place::free_port()?;
        let web = place::free_port()?;
        let mut config = format!(
            "broker: {{embedded: {{listen: '127.0.0.1:{port}'}}}}\nweb: {{listen: '127.0.0.1:{web}'}}\nservices:\n  rust: {{component: {rust:?}}}\n"
        );
        let last = match other {
            Some(other) => {
                config += &format!("  other: {{component: {other:?}, limits: {{call: 60s}}}}\n");
                "other"
            }
            None => "rust",
        };
        std::fs::write(folder.join("miqro.yml"), config)?;

        let mut command = host::command_in(folder)?;
        command
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .arg("run");
        let began = Instant::now();
        let pair = Self {
            process: Process::start(&mut command)?,
            port,
            web,
        };
        let output = pair.process.output();
        output
            .says_by(Deadline::after(COMPILING), 0, "running")
            .await?;

        let online = format!("service/{last}/online");
        let mut client = Client::connect(port).await?;
        client.subscribe(&online, 1).await?;
        let deadline = Deadline::after(COMPILING);
        while client.expect_by(deadline, &online).await?.payload != "1" {}
        Ok((pair, began.elapsed()))
    }

    /// Time of a round of messages to a service.
    async fn round(&self, name: &str) -> Result<Duration> {
        let question = format!("service/{name}/echo");
        let answer = format!("service/{name}/echo_response");
        let deadline = Deadline::after(COMPILING);
        let mut client = Client::connect(self.port).await?;
        client.subscribe(&answer, 0).await?;

        let began = Instant::now();
        for number in 0..MESSAGES + UNDER_WAY {
            if number < MESSAGES {
                let message = Message::new(&question, "sixteen bytes ..").qos(0);
                client.post(message).await?;
            }
            if number >= UNDER_WAY {
                client.expect_by(deadline, &answer).await?;
            }
        }
        Ok(began.elapsed())
    }

    /// The mean of the measured calls of `other`.
    fn mean_call(&self) -> Result<Duration> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.web))?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.web
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;

        let value = |kind: &str| {
            let name = format!("messaging_process_duration_seconds_{kind}");
            let of_other = |line: &&str| line.starts_with(&name) && line.contains("\"other\"");
            let line = text.lines().find(of_other);
            let number = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            number.with_context(|| format!("no {name} in {text}"))
        };
        Ok(Duration::from_secs_f64(value("sum")? / value("count")?))
    }

    /// Memory that belongs to the host alone, in bytes.
    fn private_memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let text = std::fs::read_to_string(path)?;
        let lines = text.lines().filter(|line| line.starts_with("Private_"));
        let sizes = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Ok(sizes.sum::<u64>() << 10)
    }
}

/// Builds a project twice: the second time takes as long as after each change of a source.
fn build(project: &Project, source: &str, arguments: &[&str]) -> Result<Duration> {
    let mut took = Duration::ZERO;
    for _ in 0..2 {
        let file = project.file(source);
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, text + "\n")?;
        let began = Instant::now();
        let output = project.host(&[&["build"], arguments].concat())?;
        ensure!(output.success, "{}", output.text);
        took = began.elapsed();
    }
    Ok(took)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Measures a service beside one in Rust, and returns the cells of its row behind the time of its build.
async fn beside_rust(rust: &Path, component: &Path) -> Result<String> {
    let folder = TempDir::new()?;
    let (alone, first_of_rust) = Pair::start(folder.path(), rust, None).await?;
    drop(alone);
    let (alone, _) = Pair::start(folder.path(), rust, None).await?;
    let before = alone.private_memory()?;
    drop(alone);

    let (cold, first) = Pair::start(folder.path(), rust, Some(component)).await?;
    drop(cold);
    // the same bytes have been compiled for the service beside it
    let is_compiled = std::fs::read(rust)? == std::fs::read(component)?;
    let first = if is_compiled { first_of_rust } else { first };
    let (pair, later) = Pair::start(folder.path(), rust, Some(component)).await?;
    let memory = pair.private_memory()?.saturating_sub(before);
    let mut times = [Duration::ZERO; 2];
    for _ in 0..ROUNDS {
        for (time, name) in times.iter_mut().zip(["rust", "other"]) {
            *time += pair.round(name).await?;
        }
    }

    Ok(format!(
        "{:.2} MB | {:.1} s | {:.1} s | {:.1} MiB | {:.1} us | {:.2}",
        component.metadata()?.len() as f64 / 1e6,
        first.as_secs_f64(),
        later.as_secs_f64(),
        mebibytes(memory),
        pair.mean_call()?.as_secs_f64() * 1e6,
        times[0].as_secs_f64() / times[1].as_secs_f64(),
    ))
}

#[tokio::test]
#[ignore = "measures, for minutes: make bench-languages"]
async fn table_of_the_languages() -> Result<()> {
    let rust = Project::new("rust")?;
    build(&rust, "src/lib.rs", &[])?;
    let rust_component = rust.file(&rust.component());

    println!(
        "| language | build | size | first start | later starts | memory | time of a call | messages a second, Rust = 1 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, language, source, arguments) in ROWS {
        eprintln!("{name}");
        let project = Project::new(language)?;
        let took = build(&project, source, arguments)?.as_secs_f64();
        let cells = beside_rust(&rust_component, &project.file(&project.component())).await?;
        println!("| {name} | {took:.1} s | {cells} |");
    }
    Ok(())
}

//! Outputs that cannot be written: a reader that has gone away, a full disk, a pipe that nobody empties, a closed descriptor. The
//! commands end as they would otherwise, without a panic; the host serves.

use std::fs::File;
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use miqro_tests::{Client, Deadline, Host, Message, Mosquitto, guests, host};
use serde_json::json;
use tempfile::TempDir;

/// State of standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// It is read.
    Read,
    /// Its reader has gone away.
    Unread,
    /// There is no room on the disk.
    Full,
}

impl Stream {
    fn open(self) -> Result<Stdio> {
        Ok(match self {
            Self::Read => Stdio::piped(),
            Self::Unread => pipe()?.1.into(),
            Self::Full => File::options().write(true).open("/dev/full")?.into(),
        })
    }
}

/// Exit code and standard error of the command.
async fn ended(
    folder: &Path,
    arguments: &[&str],
    out: Stream,
    err: Stream,
) -> Result<(Option<i32>, String)> {
    let mut command = host::command_in(folder)?;
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(out.open()?)
        .stderr(err.open()?);
    let child = command.spawn()?;
    // its output is short: it does not wait for a reader
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = Deadline::new()
        .wait(format!("the end of {arguments:?}"), output)
        .await???;
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

/// The command does not mind where its output goes; `writes`: it has something for standard output.
async fn does_not_mind(folder: &Path, arguments: &[&str], code: i32) -> Result<()> {
    let (usual, said) = ended(folder, arguments, Stream::Read, Stream::Read).await?;
    ensure!(usual == Some(code), "{arguments:?}: {usual:?} {said}");
    let (unread, complaint) = ended(folder, arguments, Stream::Unread, Stream::Read).await?;
    ensure!(
        (unread, &complaint) == (usual, &said),
        "{arguments:?}: {unread:?} {complaint}"
    );
    let (unread, _) = ended(folder, arguments, Stream::Unread, Stream::Unread).await?;
    ensure!(
        unread == usual,
        "{arguments:?}: {unread:?} with nobody who reads anything"
    );
    // a full disk is a failure, and said to be one
    let (full, complaint) = ended(folder, arguments, Stream::Full, Stream::Read).await?;
    ensure!(
        full == Some(1) && complaint.contains("standard output: No space left"),
        "{arguments:?}: {complaint}"
    );
    let (full, _) = ended(folder, arguments, Stream::Full, Stream::Full).await?;
    ensure!(
        full == Some(1),
        "{arguments:?}: {full:?} with all disks full"
    );
    Ok(())
}

#[tokio::test]
async fn commands_do_not_mind_an_output_that_nobody_reads() -> Result<()> {
    let folder = TempDir::new()?;
    for (name, bytes) in [
        ("echo.wasm", guests::component("echo")?),
        ("text.wasm", b"none".to_vec()),
    ] {
        std::fs::write(folder.path().join(name), bytes)?;
    }

    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["help", "sub"], 0),
        (&["run", "--help"], 0),
        (&["check", "echo.wasm"], 0),
        (&["check", "text.wasm"], 1),
        (&["config", "echo.wasm"], 0),
        (&["completions", "bash"], 0),
        (&["completions", "zsh"], 0),
        (&["install", "echo.wasm", "--stdout"], 0),
        (&["install", "echo.wasm", "--unit-directory", "."], 0),
        (&["status", "--pid-file", "none.pid"], 3),
        (&["history", "echo", "--state-file", "none.redb"], 3),
        (&["restart", "echo", "--state-file", "none.redb"], 3),
        (
            &["replay", "echo", "--list", "--state-file", "none.redb"],
            3,
        ),
    ] {
        does_not_mind(folder.path(), arguments, code)
            .await
            .with_context(|| format!("{arguments:?}"))?;
    }

    // commands that only complain
    for err in [Stream::Unread, Stream::Full] {
        let (code, _) = ended(folder.path(), &["check", "absent.wasm"], Stream::Read, err).await?;
        ensure!(code == Some(1), "{code:?}");
        let (code, _) = ended(folder.path(), &["nonsense"], Stream::Read, err).await?;
        ensure!(code == Some(2), "{code:?}");
    }

    Ok(())
}

#[tokio::test]
async fn commands_to_a_host_do_not_mind_either() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("relay", "relay", json!({}))
        .argument("--pid-file")
        .argument("host.pid")
        .start()
        .await?;

    let port = broker.port().to_string();
    host.client()
        .await?
        .send(Message::new("kept", "value").retained())
        .await?;
    for arguments in [
        &["status", "--pid-file", "host.pid"][..],
        &["reload", "--pid-file", "host.pid"],
        &["history", "relay"],
        &["history", "relay", "--json"],
        &["restart", "relay"],
        &["replay", "relay", "--list", "--json"],
        &[
            "sub",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "-n",
            "1",
            "kept",
        ],
        &[
            "pub",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "service/relay/in",
            "x",
            "--answers",
            "service/relay/out",
        ],
    ] {
        does_not_mind(host.folder(), arguments, 0)
            .await
            .with_context(|| host.output().told(&format!("{arguments:?}")))?;
    }

    Ok(())
}

/// Standard output, or both, made what `redirection` says before the host takes the shell's place.
fn redirected(redirection: &str) -> Vec<String> {
    ["bash", "-c", &format!("{redirection}; exec \"$@\""), "bash"]
        .map(str::to_owned)
        .to_vec()
}

#[tokio::test]
async fn the_host_serves_whatever_becomes_of_its_output() -> Result<()> {
    // the reader of a full pipe never reads, and gives the test's own pipes back
    let full = "exec 3> >(exec sleep 60 >/dev/null 2>&1); head -c 65536 /dev/zero >&3";
    for redirection in [
        "exec >/dev/full",
        "exec >&-",
        "exec > >(exec true)",
        "exec >/dev/full 2>&1",
        "exec >&- 2>&-",
        "exec > >(exec true) 2>&1",
        &format!("{full}; exec >&3"),
        &format!("{full}; exec >&3 2>&1"),
    ] {
        serves(redirection)
            .await
            .with_context(|| redirection.to_owned())?;
    }

    Ok(())
}

async fn serves(redirection: &str) -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/relay/#", 1).await?;
    let setup = Host::on(broker.port()).service("relay", "relay", json!({}));
    let mut host = setup.through(&redirected(redirection)).spawn()?;
    while client.expect("service/relay/online").await?.text() != "1" {}
    for number in 0..100 {
        client
            .publish("service/relay/in", number.to_string())
            .await?;
        ensure!(client.expect("service/relay/out").await?.text() == number.to_string());
    }

    let status = host.stop().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// In the background it has no output; the program that started it prints that it runs, if possible.
#[tokio::test]
async fn a_host_in_the_background_is_started_though_nobody_reads_that() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let folder = TempDir::new()?;
    std::fs::write(
        folder.path().join("relay.wasm"),
        guests::component("relay")?,
    )?;
    std::fs::write(
        folder.path().join("miqro.yml"),
        json!({ "broker": { "host": "127.0.0.1", "port": broker.port() }, "services": { "relay": {} } }).to_string(),
    )?;
    for out in [Stream::Unread, Stream::Full] {
        let run = [
            "run",
            "relay.wasm",
            "--config",
            "miqro.yml",
            "--daemon",
            "--pid-file",
            "it.pid",
            "--log-file",
            "it.log",
        ];

        let (code, said) = ended(folder.path(), &run, out, Stream::Read).await?;
        ensure!(code == Some(0), "{code:?} {said}");
        let (code, said) = ended(
            folder.path(),
            &["stop", "--pid-file", "it.pid"],
            Stream::Read,
            Stream::Read,
        )
        .await?;
        ensure!(code == Some(0), "{code:?} {said}");
    }

    Ok(())
}

/// Pipelines as they are typed.
#[tokio::test]
async fn a_pipeline_ends_quietly() -> Result<()> {
    let program = miqro_tests::place::host()?;
    let program = program.display();
    let line = format!(
        "{program} completions bash | head -1; {program} --help | head -1; {program} config | head -1"
    );
    let mut shell = Command::new("bash");
    let said = miqro_tests::process::run_to_end(
        shell
            .args(["-c", &line])
            .current_dir(TempDir::new()?.path()),
    )
    .await?;
    ensure!(
        said.err.is_empty() && said.out.lines().count() == 3,
        "{said:?}"
    );
    Ok(())
}

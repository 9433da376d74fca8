//! The command line: the output of each command, and its exit code. The program runs in a folder of
//! its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use miqro_tests::process::{Process, Said, run_to_end};
use miqro_tests::{Client, Host, Mosquitto, guests, host, mosquitto, place};
use serde_json::json;
use tempfile::TempDir;

/// Runs `miqro-host` in `folder` to its end.
async fn say(folder: &Path, arguments: &[&str]) -> Result<Said> {
    run_to_end(host::command_in(folder)?.args(arguments)).await
}

/// Starts `miqro-host` in `folder`.
fn start(folder: &Path, arguments: &[&str]) -> Result<Process> {
    Process::start(host::command_in(folder)?.args(arguments))
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> Result<TempDir> {
    let folder = TempDir::new()?;
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes)?;
    }
    Ok(folder)
}

/// Files that are not components: their name, content and kind, and the remedy.
const NO_COMPONENTS: [(&str, &[u8], &str, &str); 5] = [
    (
        "core.wasm",
        b"\0asm\x01\0\0\0",
        "core module",
        "wasm32-wasip2",
    ),
    (
        "page.wasm",
        b"<!DOCTYPE html>\n<html><title>404</title></html>",
        "HTML page",
        "download",
    ),
    (
        "text.wasm",
        b"fn main() {}\n",
        "text",
        "the .wasm file that is built from it",
    ),
    ("empty.wasm", b"", "empty file", "build"),
    (
        "cut.wasm",
        b"\0asm\x0d",
        "broken WebAssembly",
        "build it again",
    ),
];

#[tokio::test]
async fn check_says_what_a_component_is_and_uses() -> Result<()> {
    let folder = folder(&[
        ("echo.wasm", &guests::component("echo")?),
        ("minimal.wasm", &guests::component("contract-minimal")?),
    ])?;
    let said = say(folder.path(), &["check", "echo.wasm"]).await?;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    for part in [
        "echo.wasm",
        "handle, tick, start",
        "miqro:service/messaging",
        "miqro:service/timers",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }

    let said = say(folder.path(), &["check", "minimal.wasm"]).await?;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("exports: handle, tick\n"), "{}", said.out);
    assert!(!said.out.contains("miqro:service/timers"), "{}", said.out);
    Ok(())
}

#[tokio::test]
async fn check_takes_components_made_of_components() -> Result<()> {
    let text = place::project().join("tests/fixtures/two-memories.wat");
    let component = wat::parse_file(text)?;
    let folder = folder(&[("two.wasm", &component)])?;

    let said = say(folder.path(), &["check", "two.wasm"]).await?;
    let missing = "export \"handle\" is missing";
    assert!(
        said.code == Some(1) && said.out.contains(missing) && said.err.is_empty(),
        "{}{}",
        said.out,
        said.err
    );

    Ok(())
}

#[tokio::test]
async fn check_says_that_a_component_is_asynchronous() -> Result<()> {
    let built_in = wat::parse_str("(component (core func (canon task.cancel)))")?;
    let function = wat::parse_str("(component (import \"f\" (func async)))")?;
    let folder = folder(&[("it.wasm", &built_in), ("other.wasm", &function)])?;
    for file in ["it.wasm", "other.wasm"] {
        let said = say(folder.path(), &["check", file]).await?;
        let sentence = format!("{file}: the component is asynchronous (WASI 0.3)");
        assert!(
            said.code == Some(1) && said.out.contains(&sentence) && said.out.contains("--sync"),
            "{}{}",
            said.out,
            said.err
        );
    }

    Ok(())
}

#[tokio::test]
async fn check_prints_the_grants_that_a_component_may_need_as_lines_to_paste() -> Result<()> {
    let folder = folder(&[("it.wasm", &guests::component("contract-wasi")?)])?;
    let said = say(folder.path(), &["check", "it.wasm"]).await?;
    let keys = [
        "publish: ",
        "subscribe: ",
        "directories: ",
        "sockets: ",
        "environment: ",
    ];

    assert!(
        keys.iter().all(|key| said.out.contains(key)) && !said.out.contains("http: "),
        "{}",
        said.out
    );
    // pasted, they are a configuration in which these are the grants
    let at = said.out.find("services:").context("no lines to paste")?;
    std::fs::write(folder.path().join("miqro.yml"), &said.out[at..])?;
    let shown = say(folder.path(), &["config"]).await?;
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    for value in [
        "some/topic",
        "some/#",
        "/srv/data",
        "tcp:host.example:502",
        "NAME",
    ] {
        assert!(shown.out.contains(value), "{value}: {}", shown.out);
    }

    let minimal = [("minimal.wasm", &*guests::component("contract-minimal")?)];
    let said = say(self::folder(&minimal)?.path(), &["check", "minimal.wasm"]).await?;
    assert!(
        said.code == Some(0) && !said.out.contains("http: "),
        "{}",
        said.out
    );
    Ok(())
}

#[tokio::test]
async fn check_says_what_is_no_component_and_what_to_do() -> Result<()> {
    for (name, bytes, what, advice) in NO_COMPONENTS {
        let folder = folder(&[(name, bytes)])?;
        let said = say(folder.path(), &["check", name]).await?;
        let all = said.out + &said.err;
        assert_eq!(said.code, Some(1), "{all}");
        assert!(
            all.contains(name) && all.contains(what) && all.contains(advice),
            "{all}"
        );
    }

    Ok(())
}

#[tokio::test]
async fn check_says_what_is_missing_in_a_component() -> Result<()> {
    let folder = folder(&[
        ("nothing.wasm", b"\0asm\x0d\0\x01\0"),
        ("echo.wasm", &guests::component("echo")?),
    ])?;
    let said = say(folder.path(), &["check", "nothing.wasm"]).await?;
    let all = said.out + &said.err;
    assert_eq!(said.code, Some(1), "{all}");
    assert!(
        all.contains("handle") && all.contains("tick") && all.contains("miqro:service"),
        "{all}"
    );
    // one that cannot run among others that can
    let said = say(folder.path(), &["check", "echo.wasm", "nothing.wasm"]).await?;
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains("echo.wasm: a component"), "{}", said.out);
    Ok(())
}

#[tokio::test]
async fn check_and_run_of_a_file_that_is_not_there_name_it() -> Result<()> {
    let folder = folder(&[])?;
    for arguments in [["check", "absent.wasm"], ["run", "absent.wasm"]] {
        let said = say(folder.path(), &arguments).await?;
        assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
        assert!(
            said.err.contains("absent.wasm") && said.err.contains("No such file"),
            "{}",
            said.err
        );
    }

    Ok(())
}

#[tokio::test]
async fn run_explains_files_that_are_not_components() -> Result<()> {
    for (name, bytes, what, advice) in NO_COMPONENTS {
        let folder = folder(&[(name, bytes)])?;
        let said = say(folder.path(), &["run", name]).await?;
        assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
        let parts = [name, what, advice];
        assert!(
            parts.iter().all(|part| said.err.contains(part)),
            "{parts:?}: {}",
            said.err
        );
        assert!(
            !said.out.contains("listening"),
            "the broker was started: {}",
            said.out
        );
    }

    Ok(())
}

const WRONG: &str = "\
broker:
  host: localhost
  prot: 1883
services:
  echo:
    limits:
      call: 5 parsecs
log_levle: DEBUG
";

#[tokio::test]
async fn all_configuration_errors_are_shown_at_once() -> Result<()> {
    let folder = folder(&[
        ("miqro.yml", WRONG.as_bytes()),
        ("echo.wasm", &guests::component("echo")?),
    ])?;
    for arguments in [["run", "echo.wasm"].as_slice(), &["config"]] {
        let said = say(folder.path(), arguments).await?;
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(1), ""),
            "{arguments:?}"
        );
        for part in [
            "miqro.yml:3: broker.prot: ",
            "did you mean port?",
            "miqro.yml:7: services.echo.limits.call: ",
            "miqro.yml:8: log_levle: ",
        ] {
            assert!(
                said.err.contains(part),
                "{arguments:?}: {part}: {}",
                said.err
            );
        }
    }

    Ok(())
}

#[tokio::test]
async fn the_shown_configuration_hides_secrets_and_loads_again() -> Result<()> {
    let config = "\
broker: {host: broker.example, port: 1884}
auth: {username: anna, password: geheim}
services: {echo: {component: echo.wasm, custom_value: mine, limits: {call: 2s}}}
";
    let folder = folder(&[("home.yml", config.as_bytes())])?;
    let first = say(folder.path(), &["config", "--config", "home.yml"]).await?;
    assert_eq!((first.code, first.err.as_str()), (Some(0), ""));
    for part in [
        "broker.example",
        "1884",
        "anna",
        "custom_value: mine",
        "call: 2s",
        "mailbox: ",
    ] {
        assert!(first.out.contains(part), "{part}: {}", first.out);
    }

    assert!(!first.out.contains("geheim"), "{}", first.out);
    std::fs::write(folder.path().join("shown.yml"), &first.out)?;
    let second = say(folder.path(), &["--config", "shown.yml", "config"]).await?;
    assert_eq!((second.code, second.err.as_str()), (Some(0), ""));
    let without_comments = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .collect::<Vec<_>>()
            .join("\n")
    };

    assert_eq!(without_comments(&second.out), without_comments(&first.out));
    Ok(())
}

#[tokio::test]
async fn a_configuration_that_is_not_there_is_an_error() -> Result<()> {
    let folder = folder(&[])?;
    let said = say(folder.path(), &["config", "--config", "absent.yml"]).await?;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("absent.yml"), "{}", said.err);
    Ok(())
}

#[tokio::test]
async fn run_without_services_says_how_to_name_one() -> Result<()> {
    let said = say(folder(&[])?.path(), &["run"]).await?;
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("miqro-host run guests/echo.wasm"),
        "{}",
        said.err
    );
    Ok(())
}

/// The port in the line that says where the embedded broker listens.
async fn port(process: &Process) -> Result<u16> {
    let line = process
        .output()
        .says(0, "embedded broker listening on ")
        .await?;
    line.rsplit(':')
        .next()
        .unwrap_or_default()
        .parse()
        .with_context(|| line.clone())
}

/// A configuration whose embedded broker listens on a free port.
fn embedded() -> Result<(u16, String)> {
    let port = place::free_port()?;
    Ok((
        port,
        format!("broker: {{embedded: {{listen: '127.0.0.1:{port}'}}}}\n"),
    ))
}

#[tokio::test]
async fn two_files_are_two_services() -> Result<()> {
    let (expected, config) = embedded()?;
    let echo = guests::component("echo")?;
    let folder = folder(&[
        ("miqro.yml", config.as_bytes()),
        ("a.wasm", &echo),
        ("b.wasm", &echo),
    ])?;
    let mut process = start(folder.path(), &["run", "a.wasm", "b.wasm"])?;
    assert_eq!(port(&process).await?, expected);
    for name in ["a", "b"] {
        process
            .output()
            .says(0, &format!("service {name} below service/{name}/"))
            .await?;
        process.output().says(0, "running").await?;
        let mut client = Client::connect(expected).await?;
        client.subscribe(&format!("service/{name}/#"), 1).await?;
        while client.next().await?.topic != format!("service/{name}/online") {}
        client
            .publish(&format!("service/{name}/echo"), "hello")
            .await?;
        assert_eq!(
            client
                .expect(&format!("service/{name}/echo_response"))
                .await?
                .text(),
            "hello"
        );
    }

    process.signal("INT")?;
    assert_eq!(
        process.ended().await?.code(),
        Some(0),
        "{}",
        process.output().told("the end")
    );

    Ok(())
}

#[tokio::test]
async fn one_good_file_runs_beside_a_bad_one_that_may_become_good() -> Result<()> {
    let (port, config) = embedded()?;
    let echo = guests::component("echo")?;
    let folder = folder(&[
        ("miqro.yml", config.as_bytes()),
        ("good.wasm", &echo),
        ("bad.wasm", b"<html></html>"),
    ])?;
    let process = start(folder.path(), &["run", "good.wasm", "bad.wasm"])?;
    let said = process
        .output()
        .says(0, "bad.wasm: this is an HTML page")
        .await?;
    assert!(
        said.contains("ERROR") && said.contains("service=bad"),
        "{said}"
    );
    process.output().says(0, "running").await?;
    std::fs::write(folder.path().join("bad.wasm"), &echo)?;
    process.output().says(0, "takes over").await?;
    let mut client = Client::connect(port).await?;
    client.subscribe("service/bad/online", 1).await?;
    while client.next().await?.payload != "1" {}
    Ok(())
}

#[tokio::test]
async fn a_taken_default_port_is_left_for_the_next_free_one() -> Result<()> {
    // an error means that somebody else has taken it, which does as well
    let _taken = TcpListener::bind(("127.0.0.1", 1883));
    let folder = folder(&[
        ("empty.yml", b""),
        ("echo.wasm", &guests::component("echo")?),
    ])?;
    let process = start(
        folder.path(),
        &["run", "echo.wasm", "--config", "empty.yml", "--allow-empty"],
    )?;
    let port = port(&process).await?;
    assert!((1884..1984).contains(&port), "{port}");
    let said = process.output().says(0, "1883").await?;
    assert!(
        said.contains("in use") || said.contains("taken"),
        "it does not say why: {said}"
    );
    Client::connect(port).await.map(drop)
}

#[tokio::test]
async fn a_taken_port_that_was_asked_for_is_an_error() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let config = format!(
        "broker: {{embedded: {{listen: '127.0.0.1:{}'}}}}\n",
        broker.port()
    );
    let folder = folder(&[
        ("miqro.yml", config.as_bytes()),
        ("echo.wasm", &guests::component("echo")?),
    ])?;
    let said = say(folder.path(), &["run", "echo.wasm"]).await?;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let port = broker.port().to_string();
    assert!(
        said.err.contains("in use") && said.err.contains(&port),
        "{}",
        said.err
    );
    Ok(())
}

#[tokio::test]
async fn the_printed_line_for_a_service_with_timers_alone_shows_its_messages() -> Result<()> {
    let (_, config) = embedded()?;
    let config = format!("{config}\nservices: {{contract-timers: {{timers: {{beat: 50ms}}}}}}\n");
    let guest = guests::component("contract-minimal")?;
    let folder = folder(&[
        ("miqro.yml", config.as_bytes()),
        ("contract-timers.wasm", &guest),
    ])?;
    let process = start(folder.path(), &["run", "contract-timers.wasm"])?;

    let line = process.output().says(0, " sub ").await?;
    assert!(
        line.trim().ends_with("'service/contract-timers/#'"),
        "{line}"
    );
    process.output().says(0, "running").await?;
    assert_eq!(process.output().count("will never be called"), 0);
    Ok(())
}

#[tokio::test]
async fn the_printed_line_makes_the_service_answer() -> Result<()> {
    let (_, config) = embedded()?;
    let folder = folder(&[
        ("miqro.yml", config.as_bytes()),
        ("echo.wasm", &guests::component("echo")?),
    ])?;
    let process = start(folder.path(), &["run", "echo.wasm"])?;
    process.output().says(0, "to try it").await?;
    process.output().says(0, "running").await?;
    let line = process.output().says(0, " pub ").await?;
    let said = run_to_end(
        Command::new("sh")
            .arg("-c")
            .arg(line.trim())
            .current_dir(folder.path()),
    )
    .await?;
    assert_eq!(said.code, Some(0), "{line}: {}", said.err);
    assert!(
        said.out.contains("echo_response") && said.out.contains("hello"),
        "{line}: {}",
        said.out
    );
    Ok(())
}

#[tokio::test]
async fn sub_prints_what_pub_publishes() -> Result<()> {
    let packets = mosquitto::Setup {
        lines: vec!["log_type debug".into()],
        ..mosquitto::Setup::default()
    };
    let broker = Mosquitto::with(&packets).await?;
    let folder = folder(&[])?;
    let port = broker.port().to_string();
    let mut sub = start(
        folder.path(),
        &[
            "sub",
            "-v",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "room/+/light",
        ],
    )?;

    broker.output().says(0, "Sending SUBACK").await?;
    let arguments = [
        "pub",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "room/1/light",
        "on",
    ];

    let said = say(folder.path(), &arguments).await?;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let line = sub.output().says(0, "room/1/light").await?;
    assert!(line.contains("on"), "{line}");
    sub.signal("INT")?;
    sub.ended().await.map(drop)
}

#[tokio::test]
async fn pub_without_a_broker_says_where_it_looked() -> Result<()> {
    let port = place::free_port()?.to_string();
    let arguments = ["pub", "--host", "127.0.0.1", "--port", &port, "a", "b"];
    let said = say(folder(&[])?.path(), &arguments).await?;
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(
        said.err.contains(&format!("127.0.0.1:{port}")),
        "{}",
        said.err
    );
    Ok(())
}

#[tokio::test]
async fn completions_are_scripts_that_the_shell_accepts() -> Result<()> {
    let folder = folder(&[])?;
    let said = say(folder.path(), &["completions", "bash"]).await?;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.contains("miqro-host") && said.out.contains("check"),
        "{}",
        said.out
    );
    std::fs::write(folder.path().join("script"), said.out)?;
    let parsed = run_to_end(
        Command::new("bash")
            .arg("-n")
            .arg(folder.path().join("script")),
    )
    .await?;
    assert_eq!((parsed.code, parsed.err.as_str()), (Some(0), ""));
    for shell in ["zsh", "fish"] {
        let said = say(folder.path(), &["completions", shell]).await?;
        assert!(
            said.code == Some(0) && said.out.contains("miqro-host"),
            "{shell}: {}",
            said.err
        );
    }

    Ok(())
}

#[tokio::test]
async fn manual_has_a_page_for_each_command() -> Result<()> {
    let folder = folder(&[])?;
    let said = say(folder.path(), &["manual", "man"]).await?;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));

    let page = |name: &str| std::fs::read_to_string(folder.path().join("man").join(name));
    let main = page("miqro-host.1")?;
    let help = say(folder.path(), &["--help"]).await?.out;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();

    assert!(commands.contains(&"run"), "{help}");
    for command in commands {
        let escaped = command.replace('-', "\\-");
        assert!(
            main.contains(&format!("miqro\\-host\\-{escaped}(1)")),
            "{command}: {main}"
        );
        let text = page(&format!("miqro-host-{command}.1"))?;
        assert!(text.contains(".SH SYNOPSIS"), "{command}: {text}");
    }

    Ok(())
}

#[tokio::test]
async fn help_has_examples_and_wrong_arguments_have_an_exit_code_of_their_own() -> Result<()> {
    let folder = folder(&[])?;
    for command in [
        "run",
        "check",
        "config",
        "pub",
        "sub",
        "completions",
        "manual",
    ] {
        let said = say(folder.path(), &[command, "--help"]).await?;
        assert_eq!(said.code, Some(0), "{command}: {}", said.err);
        assert!(
            said.out.contains(&format!("miqro-host {command}")),
            "{command}: {}",
            said.out
        );
        assert!(said.out.contains("Example"), "{command}: {}", said.out);
    }

    let said = say(folder.path(), &["--version"]).await?;
    assert!(
        said.code == Some(0) && said.out.starts_with("miqro-host "),
        "{}",
        said.out
    );
    let said = say(folder.path(), &["rnu"]).await?;
    assert!(
        said.code == Some(2) && said.err.contains("rnu") && said.err.contains("--help"),
        "{}",
        said.err
    );
    Ok(())
}

#[tokio::test]
async fn logs_are_json_by_choice() -> Result<()> {
    let host = Host::embedded()?
        .top("log", json!({ "format": "json" }))
        .service(
            "faulty",
            "contract-faulty",
            json!({ "limits": { "attempts": 1 } }),
        )
        .start()
        .await?;

    host.client()
        .await?
        .publish("service/faulty/work", "fail")
        .await?;
    let line = host.output().says(0, "is given up").await?;
    let value: serde_json::Value = serde_json::from_str(&line).with_context(|| line.clone())?;
    assert_eq!(value["level"], "ERROR", "{line}");
    assert!(line.contains("\"service\":\"faulty\""), "{line}");
    Ok(())
}

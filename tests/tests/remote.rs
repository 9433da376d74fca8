//! Commands for a host on another machine: `miqro-host --host URL COMMAND` says the same as on the control socket.

use anyhow::{Context, Result, ensure};
use miqro_tests::process::{Process, Said, run_to_end};
use miqro_tests::{Host, guests, host};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const READ: &str = "read-0123456789abcdef";
const OPERATE: &str = "operate-0123456789abcdef";

/// A host with an HTTP server, and its URL.
struct Served {
    host: Host,
    url: String,
}

impl Served {
    async fn start() -> Result<Self> {
        let tokens = json!([
            {"name": "grafana", "token": READ},
            {"name": "anna", "role": "operate", "token": OPERATE},
        ]);
        let host = Host::embedded()?
            .service("it", "relay", json!({}))
            .service(
                "faulty",
                "contract-faulty",
                json!({"limits": {"attempts": 1, "dead_letters": 3}}),
            )
            .top("web", json!({"listen": "127.0.0.1:0", "tokens": tokens}))
            .start()
            .await?;
        let url = format!("http://127.0.0.1:{}", host.web_port().await?);
        Ok(Self { host, url })
    }

    /// Runs a command for the host at the URL, in a folder without configuration and state.
    async fn ask(&self, token: Option<&str>, arguments: &[&str]) -> Result<Said> {
        ask(&self.url, token, arguments).await
    }

    /// Runs a command that must end well, and returns its output.
    async fn operate(&self, arguments: &[&str]) -> Result<String> {
        let said = self.ask(Some(OPERATE), arguments).await?;
        ensure!(said.code == Some(0), "{arguments:?}: {said:?}");
        Ok(said.out)
    }
}

async fn ask(url: &str, token: Option<&str>, arguments: &[&str]) -> Result<Said> {
    let elsewhere = tempfile::TempDir::new()?;
    let mut command = host::command_in(elsewhere.path())?;
    command.args(["--host", url]);
    if let Some(token) = token {
        let file = elsewhere.path().join("token");
        std::fs::write(&file, format!("{token}\n"))?;
        command.arg("--token-file").arg(file);
    }
    run_to_end(command.args(arguments)).await
}

#[tokio::test]
async fn queries_say_the_same_as_on_the_control_socket() -> Result<()> {
    let served = Served::start().await?;
    let mut client = served.host.client().await?;
    client.subscribe("service/faulty/dead-letter", 1).await?;
    client.publish("service/faulty/work", "fail").await?;
    client.expect("service/faulty/dead-letter").await?;

    for arguments in [
        &["history", "it"][..],
        &["history", "it", "--json"],
        &["section", "it"],
        &["state", "it"],
        &["replay", "faulty", "--list"],
        &["replay", "faulty", "--list", "--json"],
        &["logs", "faulty", "--level", "error"],
    ] {
        let local = served.host.tell(arguments).await?;
        assert_eq!(served.operate(arguments).await?, local, "{arguments:?}");
    }

    let list = served.operate(&["list"]).await?;
    assert!(list.contains("it") && list.contains("running"), "{list}");
    let status = served.operate(&["status"]).await?;
    let pid = served.host.process().id();
    assert_eq!(status, format!("runs: process {pid}\n"));
    Ok(())
}

#[tokio::test]
async fn commands_are_carried_out_and_audited() -> Result<()> {
    let served = Served::start().await?;
    for (arguments, said, audited) in [
        (
            &["restart", "it"][..],
            "was started again",
            "restart of \"it\"",
        ),
        (&["disable", "it"], "published", "disable of \"it\""),
        (&["enable", "it"], "published", "enable of \"it\""),
        (
            &["log-level", "it", "debug"],
            "in force",
            "log level Debug of \"it\"",
        ),
        (&["replay", "it"], "", "replay of \"it\""),
        (&["reload"], "is read again", "reload"),
    ] {
        let out = served.operate(arguments).await?;
        assert!(out.contains(said), "{arguments:?}: {out}");
        served
            .host
            .output()
            .wait_for(audited, |line| {
                line.contains("audit") && line.contains(audited) && line.contains("\"anna\"")
            })
            .await?;
    }

    for (arguments, reason) in [
        (&["rollback", "it"][..], "version"),
        (&["replay", "it", "--delete", "0-0"], "dead letter"),
        (&["restart", "other"], "no host has a service \"other\""),
        (&["record", "it"], "expected a host of this machine"),
        (
            &["check", "it.wasm"],
            "expected a command for a running host",
        ),
    ] {
        let refused = served.ask(Some(OPERATE), arguments).await?;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(reason), "{refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn waiting_versions_are_shown_and_updated_from_afar() -> Result<()> {
    let served = Served::start().await?;
    let next = guests::marked(&guests::component("relay")?, 1);
    served
        .host
        .replace_and_wait("it", &next, "takes over")
        .await?;
    served.operate(&["rollback", "it"]).await?;
    let status = served.operate(&["status"]).await?;
    assert!(status.contains("waits since 20"), "{status}");
    assert!(status.contains("miqro-host update it"), "{status}");

    let refused = served.ask(Some(READ), &["update", "it"]).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let said = served.operate(&["update", "it"]).await?;
    assert!(said.trim_end().ends_with(" runs"), "{said}");
    let status = served.operate(&["status"]).await?;
    assert!(!status.contains("waits"), "{status}");
    Ok(())
}

#[tokio::test]
async fn components_are_deployed_from_afar() -> Result<()> {
    let served = Served::start().await?;
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("next.wasm");
    let next = guests::marked(&guests::component("relay")?, 1);
    std::fs::write(&file, &next)?;
    let file = file.to_str().context("no path")?;

    let refused = served.ask(Some(READ), &["deploy", "it", file]).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let reason = "expected a token with role: operate, found one with role: read";
    assert!(refused.err.contains(reason), "{refused:?}");
    assert_eq!(
        std::fs::read(served.host.file("it"))?,
        guests::component("relay")?
    );

    let report = served.operate(&["deploy", "it", file, "--check"]).await?;
    assert!(report.contains("imports: miqro:service/"), "{report}");
    let out = served.operate(&["deploy", "it", file]).await?;
    assert!(out.contains("runs, and is in "), "{out}");
    assert_eq!(std::fs::read(served.host.file("it"))?, next);
    served
        .host
        .output()
        .wait_for("the audit line", |line| {
            line.contains("audit: deployment of version") && line.contains("to \"it\" by \"anna\"")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn calls_are_followed_from_afar() -> Result<()> {
    let served = Served::start().await?;
    let mut client = served.host.client().await?;
    client.subscribe("service/it/out", 1).await?;
    let following = served.ask(Some(READ), &["tail", "it", "-n", "2"]);
    let said = client
        .ask_during("service/it/in", "hello", following)
        .await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(
        said.out.matches("service/it/in (QoS 1").count(),
        2,
        "{said:?}"
    );
    Ok(())
}

/// A place between clients and a server, which can cut their connections.
struct Cutter {
    port: u16,
    cuts: watch::Sender<()>,
    _accepting: JoinSet<()>,
}

impl Cutter {
    async fn before(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let cuts = watch::Sender::new(());
        let to_come = cuts.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut heard = to_come.subscribe();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
                    tokio::select! {
                        copied = copy_bidirectional(&mut client, &mut server) => copied.map(drop),
                        _ = heard.changed() => Ok(()),
                    }
                });
            }
        });
        Ok(Self {
            port,
            cuts,
            _accepting: accepting,
        })
    }

    fn cut(&self) {
        self.cuts.send_replace(());
    }
}

/// The server lets a connection last six minutes.
#[tokio::test]
async fn streams_go_on_after_their_connection_was_cut() -> Result<()> {
    let served = Served::start().await?;
    let cutter = Cutter::before(served.host.web_port().await?).await?;
    let url = format!("http://127.0.0.1:{}", cutter.port);
    let folder = tempfile::TempDir::new()?;
    let follow = |arguments: &[&str]| {
        let mut command = host::command_in(folder.path())?;
        command.env("MIQRO_HOST_TOKEN", READ).args(["--host", &url]);
        Process::start(command.args(arguments))
    };

    let logs = follow(&["logs", "-f", "--json"])?;
    logs.output().says(0, "running").await?;
    let tail = follow(&["tail", "it"])?;
    let mut client = served.host.client().await?;
    client.subscribe("service/it/out", 1).await?;
    let before = tail.output().says(0, "before");
    client.ask_during("service/it/in", "before", before).await?;

    cutter.cut();
    served.operate(&["restart", "it"]).await?;
    tail.output().says(0, "some may be missing here").await?;
    let after = tail.output().says(0, "after");
    client.ask_during("service/it/in", "after", after).await?;

    // each line once, also those of the interruption
    let last = served.host.tell(&["logs", "--json"]).await?;
    let expected: Vec<&str> = last.lines().collect();
    let is_last = |line: &str| expected.last() == Some(&line);
    logs.output().wait_for("the last line", is_last).await?;
    assert_eq!(logs.output().lines()[..expected.len()], expected);
    Ok(())
}

#[tokio::test]
async fn refusals_name_the_url_and_the_expectation() -> Result<()> {
    let served = Served::start().await?;
    let restart = &["restart", "it"];
    for (token, reason) in [
        (
            None,
            "expected a token, found none; name its file with --token-file FILE",
        ),
        (Some("wrong"), "expected a token of the host's web.tokens"),
        (
            Some(READ),
            "expected a token with role: operate, found one with role: read",
        ),
    ] {
        let refused = served.ask(token, restart).await?;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(&served.url), "{refused:?}");
        assert!(refused.err.contains(reason), "{refused:?}");
    }

    let tls = served.url.replace("http:", "https:");
    let refused = ask(&tls, Some(OPERATE), restart).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains("http:// is for a port without TLS"),
        "{refused:?}"
    );

    let odd = ask("pi:8180", None, restart).await?;
    assert!(odd.err.contains("expected http://HOST[:PORT]"), "{odd:?}");
    Ok(())
}

#[tokio::test]
async fn other_servers_and_closed_ports_are_told_apart() -> Result<()> {
    let other = miqro_tests::web::Web::start(|_| miqro_tests::web::Answer::ok("<html>"))?;
    let url = format!("http://127.0.0.1:{}", other.port());
    let refused = ask(&url, None, &["list"]).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("found another server"), "{refused:?}");

    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for command in [&["list"][..], &["status"], &["restart", "it"]] {
        let absent = ask(&format!("http://{closed}"), None, command).await?;
        assert_eq!(absent.code, Some(3), "{absent:?}");
        assert!(absent.out.contains(&closed.to_string()), "{absent:?}");
    }
    Ok(())
}

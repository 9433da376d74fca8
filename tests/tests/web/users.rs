//! People who log in with a name and a password, and the page of `run --web`.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use miqro_tests::process::run_to_end;
use miqro_tests::{Deadline, Host, host, place};
use serde_json::{Value, json};

use super::{Answered, JSON, LOCAL, get, send, serving, with_token};

const PASSWORD: &str = "correct horse battery staple";

/// The hash of a password, as a user makes it.
fn hash(password: &str) -> Result<std::process::Output> {
    let mut command = host::command()?;
    let mut running = command
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = running.stdin.take().context("no standard input")?;
    writeln!(input, "{password}")?;
    drop(input);
    Ok(running.wait_with_output()?)
}

/// A host with the operator `anna` and the reader `otto`, who have the same password.
async fn with_users() -> Result<(Host, u16)> {
    let hashed = hash(PASSWORD)?;
    ensure!(hashed.status.success(), "{hashed:?}");
    let hash = String::from_utf8(hashed.stdout)?;
    let users = json!([
        {"name": "anna", "role": "operate", "password_hash": hash.trim()},
        {"name": "otto", "password_hash": hash.trim()},
    ]);
    serving(json!({"listen": "127.0.0.1:0", "users": users})).await
}

async fn log_in(port: u16, body: &Value) -> Result<Answered> {
    let head = format!("POST /api/v1/login HTTP/1.1{LOCAL}{JSON}");
    send(port, &head, &body.to_string()).await
}

/// The header with the cookie of a session.
fn cookie(answered: &Answered) -> Result<String> {
    let line = answered
        .head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let pair = line.and_then(|line| line.split(';').next());
    Ok(format!("{LOCAL}\r\ncookie: {}", pair.context("no cookie")?))
}

#[tokio::test]
async fn password_begins_a_session_with_the_role_of_its_user() -> Result<()> {
    let (host, port) = with_users().await?;
    let closed = get(port, "/api/v1/snapshot", LOCAL).await?;
    assert_eq!(closed.status, 401, "users alone close the server");

    let command = json!({"command": "disable", "service": "it"}).to_string();
    for (name, status) in [("anna", 200), ("otto", 403)] {
        let begun = log_in(port, &json!({"name": name, "password": PASSWORD})).await?;
        assert_eq!(begun.status, 200, "{}", begun.body);
        assert_eq!(begun.json()?["ok"]["name"], name);
        for word in ["secure", "httponly", "samesite=strict", "__host-"] {
            assert!(begun.head.contains(word), "{}", begun.head);
        }
        // heads are in lower case here, so the name of the cookie is, too
        let cookie = cookie(&begun)?.replace("__host-", "__Host-");
        let read = get(port, "/api/v1/snapshot", &cookie).await?;
        assert_eq!(read.status, 200, "{}", read.body);

        let head =
            format!("POST /api/v1/command HTTP/1.1{cookie}{JSON}\r\norigin: http://localhost");
        let sent = send(port, &head, &command).await?;
        assert_eq!(sent.status, status, "{name}: {}", sent.body);
    }

    host.output()
        .wait_for("the audit line", |line| {
            line.contains("audit") && line.contains("disable of \"it\" by \"anna\"")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn wrong_names_and_passwords_are_answered_alike_and_slowed_down() -> Result<()> {
    let (host, port) = with_users().await?;
    let wrong = log_in(port, &json!({"name": "anna", "password": "guess"})).await?;
    let nobody = log_in(port, &json!({"name": "nobody", "password": PASSWORD})).await?;
    assert_eq!((wrong.status, nobody.status), (401, 401));
    assert_eq!(wrong.body, nobody.body);

    for body in [
        json!({"name": "anna"}),
        json!({"password": PASSWORD}),
        json!({"name": "anna", "password": PASSWORD, "token": "x"}),
        json!([]),
    ] {
        let odd = log_in(port, &body).await?;
        assert_eq!(odd.status, 400, "{body}: {}", odd.body);
    }

    // many attempts at once count one after the other
    let guess = json!({"name": "anna", "password": "guess"});
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let guess = guess.clone();
        attempts.spawn(async move { log_in(port, &guess).await });
    }
    let mut refused = 0;
    while let Some(attempt) = attempts.join_next().await {
        refused += usize::from(attempt??.status == 429);
    }
    assert!(refused > 0, "twenty guesses at once were all compared");

    // the right one passes when the wait is over
    let right = json!({"name": "anna", "password": PASSWORD});
    let passed = async {
        while log_in(port, &right).await?.status == 429 {}
        Ok::<_, anyhow::Error>(log_in(port, &right).await?.status)
    };
    let status = Deadline::new()
        .wait("the end of the wait", passed)
        .await??;
    assert_eq!(status, 200);
    let log = host.output().lines().join("\n");
    assert!(
        !log.contains(PASSWORD) && !log.contains("argon2id"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn hashes_are_of_passwords_that_are_not_guessed_at_once() -> Result<()> {
    let short = hash("short")?;
    assert_eq!(short.status.code(), Some(1));
    let said = String::from_utf8(short.stderr)?;
    assert!(said.contains("at least 8 characters, found 5"), "{said}");
    assert!(short.stdout.is_empty());

    let (one, two) = (hash(PASSWORD)?, hash(PASSWORD)?);
    assert!(one.stdout.starts_with(b"$argon2id$") && one.stdout != two.stdout);
    Ok(())
}

#[tokio::test]
async fn run_with_web_prints_a_token_that_operates() -> Result<()> {
    let port = place::free_port()?;
    let host = Host::embedded()?
        .service("it", "relay", json!({}))
        .argument(&format!("--web=127.0.0.1:{port}"))
        .start()
        .await?;
    let line = host
        .output()
        .wait_for("the token", |line| line.starts_with("web page on"))
        .await?;
    assert!(
        line.contains(&format!("http://127.0.0.1:{port}/")),
        "{line}"
    );
    let token = line.rsplit(' ').next().context("no token")?;

    let refused = get(port, "/api/v1/snapshot", LOCAL).await?;
    assert_eq!(refused.status, 401);
    let answered = get(port, "/api/v1/session", &with_token(token)).await?;
    assert_eq!(
        answered.json()?["ok"],
        json!({"name": "terminal", "role": "operate"})
    );
    Ok(())
}

#[tokio::test]
async fn run_with_web_stays_on_the_machine() -> Result<()> {
    let mut command = host::command()?;
    let said = run_to_end(command.args(["run", "--web=0.0.0.0:8180", "it.wasm"])).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err
            .contains("expected a loopback address, found 0.0.0.0"),
        "{said:?}"
    );
    Ok(())
}

#[tokio::test]
async fn run_with_web_leaves_a_configured_server_as_it_is() -> Result<()> {
    let host = Host::embedded()?
        .service("it", "relay", json!({}))
        .top("web", json!({"listen": "127.0.0.1:0"}))
        .argument("--web")
        .start()
        .await?;
    let port = host.web_port().await?;
    assert_eq!(get(port, "/healthz", LOCAL).await?.body, "ok\n");
    let printed = host.output().lines().join("\n");
    assert!(!printed.contains("web page on"), "{printed}");
    Ok(())
}

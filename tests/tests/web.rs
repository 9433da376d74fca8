//! The HTTP server: the same snapshot and commands as the control socket, metrics, and its rules under attack.

mod metrics;
mod tls;
mod uploads;
mod users;

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use miqro_tests::{Host, place};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READ: &str = "read-0123456789abcdef";
const OPERATE: &str = "operate-0123456789abcdef";

/// A host with the service `it`, whose HTTP server has one token of each role.
async fn guarded() -> Result<(Host, u16)> {
    let tokens = json!([
        {"name": "grafana", "token": READ},
        {"name": "anna", "role": "operate", "token": OPERATE},
    ]);
    serving(json!({"listen": "127.0.0.1:0", "tokens": tokens})).await
}

async fn serving(web: Value) -> Result<(Host, u16)> {
    let set_up = Host::embedded()?
        .service("it", "relay", json!({}))
        .top("web", web);
    let host = set_up.start().await?;
    let port = host.web_port().await?;
    Ok((host, port))
}

/// Status, head and body of an answer.
struct Answered {
    status: u16,
    head: String,
    body: String,
}

impl Answered {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }
}

/// Sends the head of a request, a blank line and its body, and reads everything until the server closes.
async fn send(port: u16, head: &str, body: &str) -> Result<Answered> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let length = body.len();
    let text = format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answered {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

async fn get(port: u16, path: &str, headers: &str) -> Result<Answered> {
    send(port, &format!("GET {path} HTTP/1.1{headers}"), "").await
}

async fn command(port: u16, token: &str, further: &str, command: &Value) -> Result<Answered> {
    let head = format!(
        "POST /api/v1/command HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: Bearer {token}{further}"
    );
    send(port, &head, &command.to_string()).await
}

const LOCAL: &str = "\r\nhost: localhost";
const JSON: &str = "\r\ncontent-type: application/json";

fn with_token(token: &str) -> String {
    format!("{LOCAL}\r\nauthorization: Bearer {token}")
}

#[tokio::test]
async fn snapshot_and_commands_are_those_of_the_socket() -> Result<()> {
    let (host, port) = guarded().await?;
    let answered = get(port, "/api/v1/snapshot", &with_token(READ)).await?;
    let snapshot = answered.json()?;
    assert_eq!(answered.status, 200);
    let service = &snapshot["ok"]["services"][0];
    assert_eq!(
        (&service["name"], &service["status"]),
        (&json!("it"), &json!("running"))
    );

    let disable = json!({"command": "disable", "service": "it"});
    let done = command(port, OPERATE, JSON, &disable).await?;
    assert_eq!(done.status, 200, "{}", done.body);
    host.output()
        .wait_for("the audit line", |line| {
            line.contains("audit") && line.contains("disable of \"it\" by \"anna\" from 127.0.0.1")
        })
        .await?;
    host.output()
        .wait_for("switched off", |line| line.contains("switched off"))
        .await?;
    let unknown = json!({"command": "restart", "service": "other"});
    let refused = command(port, OPERATE, JSON, &unknown).await?;
    assert_eq!(refused.status, 409);
    assert!(
        refused.body.contains("there is no service"),
        "{}",
        refused.body
    );
    let odd = command(port, OPERATE, JSON, &json!({"command": "explode"})).await?;
    assert_eq!(odd.status, 400);
    assert_eq!(get(port, "/healthz", LOCAL).await?.body, "ok\n");
    Ok(())
}

#[tokio::test]
async fn readers_cannot_change_anything() -> Result<()> {
    let (host, port) = guarded().await?;
    let commands = [
        json!({"command": "restart", "service": "it"}),
        json!({"command": "disable", "service": "it"}),
        json!({"command": "enable", "service": "it"}),
        json!({"command": "replay", "service": "it"}),
        json!({"command": "delete-letter", "service": "it", "letter": "0-0"}),
        json!({"command": "update", "service": "it"}),
        json!({"command": "rollback", "service": "it"}),
        json!({"command": "deploy", "service": "it", "version": "0"}),
        json!({"command": "upload", "service": "it", "bytes": 0}),
        json!({"command": "start-shadow", "service": "it", "version": "0"}),
        json!({"command": "stop-shadow", "service": "it"}),
        json!({"command": "state", "service": "it"}),
        json!({"command": "log-level", "level": "trace"}),
        json!({"command": "reload"}),
        json!({"command": "publish", "topic": "a"}),
    ];

    for change in &commands {
        let refused = command(port, READ, JSON, change).await?;
        assert_eq!(refused.status, 403, "{change}: {}", refused.body);
    }
    let history = json!({"command": "history", "service": "it"});
    assert_eq!(command(port, READ, JSON, &history).await?.status, 200);
    assert_eq!(host.output().count("audit: "), 0);

    // without tokens everybody who reaches the loopback address may read, and nobody may command
    let (_open, port) = serving(json!({"listen": "127.0.0.1:0"})).await?;
    assert_eq!(get(port, "/api/v1/snapshot", LOCAL).await?.status, 200);
    let head = format!("POST /api/v1/command HTTP/1.1{LOCAL}{JSON}");
    for change in &commands {
        assert_eq!(send(port, &head, &change.to_string()).await?.status, 401);
    }
    Ok(())
}

#[tokio::test]
async fn rebinding_and_pages_of_other_sites_get_nothing() -> Result<()> {
    let (host, port) = guarded().await?;
    let rebound = format!("\r\nhost: evil.example:{port}\r\nauthorization: Bearer {OPERATE}");
    for path in ["/api/v1/snapshot", "/metrics", "/healthz"] {
        assert_eq!(get(port, path, &rebound).await?.status, 421, "{path}");
    }

    let restart = json!({"command": "restart", "service": "it"});
    for foreign in [
        "\r\norigin: http://evil.example",
        "\r\norigin: null",
        "\r\nsec-fetch-site: cross-site",
        "\r\nsec-fetch-site: same-site",
    ] {
        let refused = command(port, OPERATE, &format!("{JSON}{foreign}"), &restart).await?;
        assert_eq!(refused.status, 403, "{foreign}");
    }

    let form = "\r\ncontent-type: text/plain";
    assert_eq!(command(port, OPERATE, form, &restart).await?.status, 415);
    let by_get = get(port, "/api/v1/command", &with_token(OPERATE)).await?;
    assert_eq!(by_get.status, 405);
    assert_eq!(host.output().count("audit: "), 0);

    // nothing may be read by a script of another site, or be framed
    let answered = get(port, "/api/v1/snapshot", &with_token(READ)).await?;
    assert!(
        !answered.head.contains("access-control-allow"),
        "{}",
        answered.head
    );
    for header in [
        "content-security-policy: default-src 'self'",
        "nosniff",
        "no-referrer",
        "no-store",
    ] {
        assert!(
            answered.head.contains(header),
            "{header}: {}",
            answered.head
        );
    }

    assert!(!answered.head.contains("unsafe"), "{}", answered.head);
    Ok(())
}

#[tokio::test]
async fn wrong_tokens_are_throttled_and_tokens_in_urls_do_not_count() -> Result<()> {
    let (_host, port) = guarded().await?;
    assert_eq!(get(port, "/metrics", LOCAL).await?.status, 401);
    let in_url = format!("/metrics?token={READ}&access_token={READ}");
    assert_eq!(get(port, &in_url, LOCAL).await?.status, 401);

    let mut statuses = Vec::new();
    for _ in 0..7 {
        let guess = get(port, "/metrics", &with_token("guess")).await?;
        statuses.push(guess.status);
        if guess.status == 429 {
            assert!(guess.head.contains("retry-after: "), "{}", guess.head);
        }
    }

    assert_eq!(&statuses[..5], [401; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
    Ok(())
}

const LOCAL_JSON: &str = "localhost\r\ncontent-type: application/json";

/// Logs in; `headers` begins with the host.
async fn log_in(port: u16, headers: &str, body: &str) -> Result<Answered> {
    let head = format!("POST /api/v1/login HTTP/1.1\r\nhost: {headers}");
    send(port, &head, body).await
}

#[tokio::test]
async fn logins_obey_the_same_rules_as_tokens() -> Result<()> {
    let (host, port) = guarded().await?;
    let body = json!({ "token": OPERATE }).to_string();
    for (headers, status) in [
        ("evil.example\r\ncontent-type: application/json", 421),
        ("localhost\r\ncontent-type: text/plain", 415),
        (
            "localhost\r\ncontent-type: application/json\r\norigin: http://evil.example",
            403,
        ),
    ] {
        assert_eq!(
            log_in(port, headers, &body).await?.status,
            status,
            "{headers}"
        );
    }

    assert_eq!(log_in(port, LOCAL_JSON, "{}").await?.status, 400);

    let wrong = json!({"token": "guess"}).to_string();
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(log_in(port, LOCAL_JSON, &wrong).await?.status);
    }
    assert_eq!(&statuses[..5], [401; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(host.output().count("audit: "), 0);

    // the page itself is for everybody who asks for this host, and nobody else
    let page = get(port, "/", LOCAL).await?;
    assert!(
        page.status == 200 && page.body.contains("app.js"),
        "{}",
        page.body
    );
    assert_eq!(get(port, "/", "\r\nhost: evil.example").await?.status, 421);
    Ok(())
}

#[tokio::test]
async fn sessions_need_their_cookie_and_an_origin_of_this_site() -> Result<()> {
    let (_host, port) = guarded().await?;
    let body = json!({ "token": OPERATE }).to_string();
    let begun = log_in(port, LOCAL_JSON, &body).await?;
    assert_eq!(
        begun.json()?["ok"],
        json!({"name": "anna", "role": "operate"})
    );
    let cookie = begun
        .head
        .split("set-cookie: ")
        .nth(1)
        .context("no cookie")?;
    let cookie = cookie.lines().next().context("no cookie")?;
    for part in [
        "__host-miqro=",
        "path=/",
        "secure",
        "httponly",
        "samesite=strict",
    ] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }

    // the head is in small letters here, and the name of a cookie is not
    let id = cookie.split(['=', ';']).nth(1).context("no identifier")?;
    let session = format!("\r\ncookie: __Host-miqro={id}");
    let restart = json!({"command": "restart", "service": "it"}).to_string();
    let ask = async |headers: &str| {
        let head = format!("POST /api/v1/command HTTP/1.1{LOCAL}{JSON}{session}{headers}");
        anyhow::Ok(send(port, &head, &restart).await?.status)
    };
    assert_eq!(ask("").await?, 403, "a browser names the origin");
    assert_eq!(ask("\r\norigin: http://evil.example").await?, 403);
    assert_eq!(ask("\r\norigin: http://localhost").await?, 200);
    let head =
        format!("POST /api/v1/logout HTTP/1.1{LOCAL}{JSON}{session}\r\norigin: http://localhost");
    assert_eq!(send(port, &head, "{}").await?.status, 200);
    assert_eq!(ask("\r\norigin: http://localhost").await?, 401);
    Ok(())
}

#[tokio::test]
async fn slow_clients_hold_up_nobody() -> Result<()> {
    let (_host, port) = guarded().await?;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: local")
            .await?;
        slow.push(stream);
    }

    assert_eq!(get(port, "/metrics", &with_token(READ)).await?.status, 200);

    let large = format!("{JSON}\r\nx-large: {}", "a".repeat(64 * 1024));
    let refused = command(port, OPERATE, &large, &json!({"command": "status"})).await;
    assert!(refused.is_err() || refused.is_ok_and(|answered| answered.status == 431));
    let padded = json!({"command": "publish", "topic": "a", "payload": "x".repeat(2 << 20)});
    let refused = command(port, OPERATE, JSON, &padded).await;
    assert!(refused.is_err() || refused.is_ok_and(|answered| answered.status == 413));
    assert_eq!(get(port, "/healthz", LOCAL).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn api_document_is_valid_and_describes_the_real_answers() -> Result<()> {
    let (_host, port) = guarded().await?;
    let document = get(port, "/api/v1/openapi.json", &with_token(READ)).await?;
    let snapshot = get(port, "/api/v1/snapshot", &with_token(READ)).await?;
    let commands = [
        json!({"command": "snapshot"}),
        json!({"command": "history", "service": "it"}),
        json!({"command": "letters", "service": "it"}),
        json!({"command": "log-level", "level": "info"}),
        json!({"command": "publish", "topic": "a", "payload": "b", "qos": 1, "retain": false}),
    ];

    let mut values = vec![json!(["Snapshot", snapshot.json()?["ok"]])];
    for one in &commands {
        assert_eq!(
            command(port, OPERATE, JSON, one).await?.status,
            200,
            "{one}"
        );
        values.push(json!(["Command", one]));
    }

    let given = json!({"document": document.json()?, "values": values});
    assert_eq!(check_openapi(&given)?, "");

    let deletion = json!({"command": "delete-letter", "service": "it", "letter": "0-0"});
    let refused = command(port, OPERATE, JSON, &deletion).await?;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let given = json!({"document": document.json()?, "values": [["Command", deletion]]});
    assert_eq!(check_openapi(&given)?, "");

    let wrong =
        json!({"document": document.json()?, "values": [["Command", {"command": "explode"}]]});
    assert!(check_openapi(&wrong)?.contains("explode"));
    Ok(())
}

/// Complaints of a validator for OpenAPI; empty when it accepts everything.
fn check_openapi(given: &Value) -> Result<String> {
    let script = place::project().join("tests/openapi/check.py");
    run_with(
        Command::new(place::python()?).arg(script),
        &given.to_string(),
    )
}

/// Runs a program that writes complaints only, and fails when it has some.
fn run_with(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?}: run scripts/setup-tests"))?;

    child
        .stdin
        .take()
        .context("no input")?
        .write_all(input.as_bytes())?;
    let said = child.wait_with_output()?;
    let complaints = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert_eq!(said.status.success(), complaints.is_empty(), "{complaints}");
    Ok(complaints)
}

/// Recordings hold payloads, and follow their answer: the control socket alone gives them.
#[tokio::test]
async fn recordings_are_not_made_over_http() -> Result<()> {
    let (_host, port) = guarded().await?;
    let record = json!({"command": "record", "service": "it"});
    let refused = command(port, OPERATE, JSON, &record).await?;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.contains("only the control socket"));
    let forbidden = command(port, READ, JSON, &record).await?;
    assert_eq!(forbidden.status, 403, "{}", forbidden.body);
    Ok(())
}

//! Uploads of components: their rules under attack, and the answer to one that is fine.

use anyhow::{Context, Result};
use miqro_tests::guests;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answered, OPERATE, READ, check_openapi, command, get, guarded, with_token};

const WASM: &str = "\r\ncontent-type: application/wasm";
const PATH: &str = "/api/v1/upload?service=it";

/// Sends a component with further headers.
async fn upload(port: u16, path: &str, headers: &str, body: &[u8]) -> Result<Answered> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close{headers}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    // a server that has refused it need not read it
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answered {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

fn by(token: &str) -> String {
    format!("\r\nauthorization: Bearer {token}")
}

fn length(bytes: usize) -> String {
    format!("\r\ncontent-length: {bytes}")
}

#[tokio::test]
async fn uploads_obey_the_same_rules_as_commands() -> Result<()> {
    let (host, port) = guarded().await?;
    let next = guests::marked(&guests::component("relay")?, 1);
    let size = length(next.len());
    for (headers, status) in [
        (format!("{WASM}{size}"), 401),
        (format!("{WASM}{size}{}", by(READ)), 403),
        (format!("{size}{}", by(OPERATE)), 415),
        (
            format!("\r\ncontent-type: application/json{size}{}", by(OPERATE)),
            415,
        ),
        (
            format!("\r\ncontent-type: text/plain{size}{}", by(OPERATE)),
            415,
        ),
        (
            format!("{WASM}{size}{}\r\norigin: http://evil.example", by(OPERATE)),
            403,
        ),
        (
            format!("{WASM}{size}{}\r\nsec-fetch-site: cross-site", by(OPERATE)),
            403,
        ),
        (format!("{WASM}{}{}", length(1 << 40), by(OPERATE)), 413),
        (
            format!("{WASM}\r\ntransfer-encoding: chunked{}", by(OPERATE)),
            411,
        ),
    ] {
        let refused = upload(port, PATH, &headers, &next).await?;
        assert_eq!(refused.status, status, "{headers}: {}", refused.body);
    }

    // the content type of a component is for uploads alone
    let restart = json!({"command": "restart", "service": "it"});
    assert_eq!(command(port, OPERATE, WASM, &restart).await?.status, 415);
    let by_get = get(port, PATH, &with_token(OPERATE)).await?;
    assert_eq!(by_get.status, 405);
    assert_eq!(host.output().count("audit: "), 0);
    Ok(())
}

#[tokio::test]
async fn uploads_are_described_and_then_deployed_by_their_version() -> Result<()> {
    let (host, port) = guarded().await?;
    let next = guests::marked(&guests::component("relay")?, 1);
    let headers = format!("{WASM}{}{}", length(next.len()), by(OPERATE));

    let odd = upload(port, &format!("{PATH}&token=x"), &headers, &next).await?;
    assert_eq!(odd.status, 400, "{}", odd.body);
    let other = upload(port, "/api/v1/upload?service=other", &headers, &next).await?;
    assert_eq!(other.status, 409, "{}", other.body);
    let text = format!("{WASM}{}{}", length(5), by(OPERATE));
    let text = upload(port, PATH, &text, b"hello").await?;
    assert_eq!(text.status, 409, "{}", text.body);
    // the client has gone before it was complete
    let short = format!("{WASM}{}{}", length(next.len() + 1), by(OPERATE));
    let mut gone = TcpStream::connect(("127.0.0.1", port)).await?;
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: localhost{short}\r\n\r\n");
    gone.write_all(head.as_bytes()).await?;
    gone.write_all(&next).await?;
    drop(gone);

    let answered = upload(port, PATH, &headers, &next).await?;
    assert_eq!(answered.status, 200, "{}", answered.body);
    let report = answered.json()?["ok"].clone();
    assert_eq!(report["obstacle"], Value::Null, "{report:#}");
    assert_eq!(report["differences"], json!([]), "{report:#}");

    let without = json!({"command": "upload", "service": "it", "bytes": 5});
    let refused = command(port, OPERATE, super::JSON, &without).await?;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let start = json!({"command": "start-shadow", "service": "it", "version": report["version"]});
    let started = command(port, OPERATE, super::JSON, &start).await?;
    assert_eq!(started.status, 200, "{}", started.body);
    let show = json!({"command": "shadow", "service": "it"});
    let shown = command(port, READ, super::JSON, &show).await?;
    assert_eq!(shown.status, 200, "{}", shown.body);
    let shadow = shown.json()?["ok"].clone();

    let deploy = json!({"command": "deploy", "service": "it", "version": report["version"]});
    let reader = command(port, READ, super::JSON, &deploy).await?;
    assert_eq!(reader.status, 403, "{}", reader.body);
    let unknown = json!({"command": "deploy", "service": "it", "version": "ffff"});
    let unknown = command(port, OPERATE, super::JSON, &unknown).await?;
    assert!(unknown.body.contains("upload it again"), "{}", unknown.body);
    let done = command(port, OPERATE, super::JSON, &deploy).await?;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(std::fs::read(host.file("it"))?, next);

    let document = get(port, "/api/v1/openapi.json", &with_token(READ)).await?;
    let values = [
        json!(["Report", report]),
        json!(["Shadow", shadow]),
        json!(["Command", start]),
        json!(["Command", show]),
        json!(["Command", deploy]),
    ];
    let given = json!({"document": document.json()?, "values": values});
    assert_eq!(check_openapi(&given)?, "");
    Ok(())
}

//! Streams for operators: calls of services and lines of the log, over the control socket, the command line and HTTP.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};
use miqro_tests::deadline::Deadline;
use miqro_tests::{Host, Message, Mosquitto};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A stream on the control socket.
struct Stream(BufReader<UnixStream>);

impl Stream {
    /// Sends a request and waits until its stream has begun.
    fn begin(host: &Host, request: &Value) -> Result<Self> {
        let folder = host.folder().join("state/miqro-host");
        let paths = std::fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?;
        let mut sockets = paths
            .iter()
            .map(std::fs::DirEntry::path)
            .filter(|path| path.extension().is_some_and(|name| name == "sock"));
        let stream = UnixStream::connect(sockets.next().context("there is no socket")?)?;
        stream.set_read_timeout(Some(miqro_tests::deadline::PATIENCE))?;
        writeln!(&stream, "{request}")?;

        let mut begun = Self(BufReader::new(stream));
        let reply = begun.next()?;
        if reply["ok"].is_null() {
            bail!("{reply}");
        }
        Ok(begun)
    }

    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| line.clone())
    }
}

#[tokio::test]
async fn tail_shows_what_came_what_was_published_and_why_a_call_failed() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("it", "relay", json!({}))
        .service(
            "faulty",
            "contract-faulty",
            json!({"limits": {"attempts": 1}}),
        )
        .start()
        .await?;

    let client = &mut host.client().await?;
    let mut of_it = Stream::begin(&host, &json!({"command": "tail", "service": "it"}))?;
    let mut of_all = Stream::begin(&host, &json!({"command": "tail"}))?;

    client.publish("service/faulty/work", "fail").await?;
    let failed = of_all.next()?["call"].take();
    assert_eq!(failed["service"], "faulty", "{failed:#}");
    assert_eq!(failed["message"]["payload"], "fail");
    assert_eq!(failed["failure"]["kind"], "refused");
    assert_eq!(
        failed["failure"]["reason"],
        "the guest returned an error: told to fail"
    );
    assert_eq!(failed["published"], json!([]), "nothing has happened");

    client
        .send(Message::new("service/it/in", vec![0, 255]).qos(1))
        .await?;
    for stream in [&mut of_it, &mut of_all] {
        let call = stream.next()?["call"].take();
        assert_eq!(call["service"], "it", "{call:#}");
        assert_eq!(call["message"]["topic"], "service/it/in");
        assert_eq!(call["message"]["payload_hex"], "00ff");
        assert_eq!(call["published"][0]["topic"], "service/it/out");
        assert_eq!(
            (&call["attempt"], &call["failure"]),
            (&json!(1), &Value::Null)
        );
        assert!(call["took_us"].as_f64() > Some(0.0), "{call:#}");
    }

    let unknown = Stream::begin(&host, &json!({"command": "tail", "service": "other"}));
    let refused = unknown.err().context("it was accepted")?.to_string();
    assert!(refused.contains("there is no service"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn slow_reader_is_told_how_many_it_lost_and_delays_nobody() -> Result<()> {
    const MESSAGES: u64 = 600;
    let host = Host::embedded()?
        .service("it", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/it/out", 1).await?;
    let mut stream = Stream::begin(&host, &json!({"command": "tail", "service": "it"}))?;

    // more than the socket and the buffer take
    let large = "x".repeat(1_000);
    for _ in 0..MESSAGES {
        client
            .post(Message::new("service/it/in", large.clone()).qos(1))
            .await?;
        client.acknowledged(1).await?;
    }

    for _ in 0..MESSAGES {
        client.expect("service/it/out").await?;
    }

    // the number of lost calls comes with the next one that finds room
    let mut shown = 0;
    let lost = loop {
        if shown == 256 {
            client.publish("service/it/in", "next").await?;
        }
        match stream
            .next()
            .with_context(|| format!("after {shown} calls"))?
        {
            item if item["call"].is_object() => shown += 1,
            item => break item["lost"].as_u64().with_context(|| item.to_string())?,
        }
    };

    assert_eq!(shown + lost, MESSAGES);
    assert_eq!(stream.next()?["call"]["message"]["payload"], "next");
    Ok(())
}

#[tokio::test]
async fn logs_show_the_last_lines_and_follow_further_ones() -> Result<()> {
    let host = Host::embedded()?
        .service("one", "contract-log", json!({}))
        .service("two", "contract-log", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/+/done", 1).await?;
    let say = |level: &str, text: &str| json!({"level": level, "message": text}).to_string();
    for (service, level, text) in [
        ("one", "info", "first"),
        ("two", "warn", "second"),
        ("one", "warn", "third"),
    ] {
        let topic = format!("service/{service}/log");
        client.publish(&topic, say(level, text)).await?;
        client.next().await?;
    }

    let all = host.tell(&["logs"]).await?;
    let of_one = host.tell(&["logs", "one"]).await?;
    let warnings = host.tell(&["logs", "one", "--level", "warning"]).await?;
    for (text, expected) in [
        (&all, [true, true, true]),
        (&of_one, [true, false, true]),
        (&warnings, [false, false, true]),
    ] {
        let found = ["first", "second", "third"].map(|word| text.contains(word));
        assert_eq!(found, expected, "{text}");
    }

    assert!(of_one.contains("WARN [one] third"), "{of_one}");
    assert!(all.contains("app: running services=2"), "{all}");
    let json = host.tell(&["logs", "two", "--json"]).await?;
    let last: Value = serde_json::from_str(json.lines().last().context("nothing")?)?;
    assert_eq!(
        (&last["line"]["message"], &last["line"]["service"]),
        (&json!("second"), &json!("two"))
    );

    let wanted = json!({"command": "logs", "service": "two", "level": "warning", "follow": true});
    let mut stream = Stream::begin(&host, &wanted)?;
    assert_eq!(stream.next()?["line"]["message"], "second");
    for (service, level, text) in [
        ("two", "info", "not wanted"),
        ("one", "error", "another"),
        ("two", "error", "fourth"),
    ] {
        let topic = format!("service/{service}/log");
        client.publish(&topic, say(level, text)).await?;
        client.next().await?;
    }

    assert_eq!(stream.next()?["line"]["message"], "fourth");
    Ok(())
}

#[tokio::test]
async fn tail_on_the_command_line_ends_after_its_count() -> Result<()> {
    let host = Host::embedded()?
        .service("it", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/it/out", 1).await?;

    let following = host.run(&["tail", "it", "-n", "2"]);
    let said = client
        .ask_during("service/it/in", "escape \u{1b}[2J", following)
        .await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let calls = said.out.matches("service/it/in (QoS 1").count();
    assert_eq!(calls, 2, "{}", said.out);
    assert!(
        said.out.contains("published service/it/out"),
        "{}",
        said.out
    );
    assert!(!said.out.contains('\u{1b}'), "{}", said.out);
    Ok(())
}

#[tokio::test]
async fn listeners_are_bounded_and_leave_room_for_commands() -> Result<()> {
    let host = Host::embedded()?
        .service("it", "relay", json!({}))
        .start()
        .await?;
    let tail = json!({"command": "tail"});
    let mut streams = Vec::new();
    let refused = loop {
        match Stream::begin(&host, &tail) {
            Ok(stream) => streams.push(stream),
            Err(refused) => break refused.to_string(),
        }
        assert!(streams.len() < 100);
    };

    assert!(refused.contains("clients listen already"), "{refused}");
    assert!(host.tell(&["list"]).await?.contains("running"));

    // one that leaves makes room
    streams.pop();
    Deadline::new()
        .wait("room for one more", async {
            while Stream::begin(&host, &tail).is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await?;

    Ok(())
}

const READ: &str = "read-0123456789abcdef";

/// The head of an answer to GET, and its connection.
async fn get(port: u16, path: &str, headers: &str) -> Result<(String, TcpStream)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost{headers}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok((String::from_utf8(head)?, stream))
}

fn with_token() -> String {
    format!("\r\nauthorization: Bearer {READ}")
}

/// A host with the service `it`, and the port of its HTTP server.
async fn served() -> Result<(Host, u16)> {
    let tokens = json!([{"name": "reader", "token": READ}]);
    let host = Host::embedded()?
        .service("it", "relay", json!({}))
        .top("web", json!({"listen": "127.0.0.1:0", "tokens": tokens}))
        .start()
        .await?;
    let port = host.web_port().await?;
    Ok((host, port))
}

#[tokio::test]
async fn streams_are_server_sent_events_for_readers_of_the_same_site() -> Result<()> {
    let (host, port) = served().await?;
    let token = with_token();
    let (head, mut events) = get(port, "/api/v1/stream/calls?service=it", &token).await?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let mut client = host.client().await?;
    client.publish("service/it/in", "<b>\n</b>").await?;
    let mut received = String::new();
    Deadline::new()
        .wait("the event", async {
            while !received.contains("\n\n") {
                received.push(char::from(events.read_u8().await?));
            }
            anyhow::Ok(())
        })
        .await??;

    let event = received
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .with_context(|| received.clone())?;
    let event: Value = serde_json::from_str(event)?;
    assert_eq!(event["call"]["message"]["payload"], "<b>\n</b>");

    Ok(())
}

#[tokio::test]
async fn streams_are_refused_to_other_sites_and_without_a_token() -> Result<()> {
    let (_host, port) = served().await?;
    let token = with_token();
    for (path, headers, status) in [
        ("/api/v1/stream/logs?level=warning", token.clone(), "200"),
        ("/api/v1/stream/logs", String::new(), "401"),
        (
            "/api/v1/stream/logs?token=read-0123456789abcdef",
            String::new(),
            "401",
        ),
        (
            "/api/v1/stream/logs",
            format!("{token}\r\norigin: http://evil.example"),
            "403",
        ),
        (
            "/api/v1/stream/calls",
            format!("{token}\r\nsec-fetch-site: cross-site"),
            "403",
        ),
        ("/api/v1/stream/calls?service=other", token.clone(), "409"),
        ("/api/v1/stream/calls?level=info", token.clone(), "400"),
        ("/api/v1/stream/other", token.clone(), "404"),
    ] {
        let (head, _) = get(port, path, &headers).await?;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {head}"
        );
    }

    Ok(())
}

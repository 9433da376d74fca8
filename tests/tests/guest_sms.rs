//! The guest `sms` between a real broker and an HTTP server that answers as a Teltonika router does.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use miqro_tests::web::{Answer, Request};
use miqro_tests::{Client, Host, Message, Mosquitto, Web};
use serde_json::{Value, json};

const SEND: &str = "/cgi-bin/sms_send";
const LIST: &str = "/cgi-bin/sms_list";
const DELETE: &str = "/cgi-bin/sms_delete";

/// A router with the texts that it has received: index, date, sender and text of each.
#[derive(Clone, Default)]
pub(crate) struct Router(Arc<Mutex<Vec<[String; 4]>>>);

impl Router {
    pub(crate) fn receives(&self, text: [&str; 4]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text.map(str::to_owned));
    }

    pub(crate) fn serve(&self) -> Result<Web> {
        let router = self.clone();
        Web::start(move |request| router.answer(request))
    }

    /// It answers with status 200 whatever is wrong.
    fn answer(&self, request: &Request) -> Answer {
        let login = [("username", "user1"), ("password", "a&b")]
            .map(|(name, value)| (name.into(), value.into()));
        if request.query.get(..2) != Some(&login) {
            return Answer::ok("Bad password\n");
        }
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (request.path.as_str(), request.query.get(2)) {
            (LIST, None) => Answer::ok(texts.iter().map(listed).collect::<String>()),
            (SEND, Some((name, _))) if name == "number" || name == "group" => Answer::ok("OK\n"),
            (DELETE, Some((_, index))) => {
                let before = texts.len();
                texts.retain(|[own, ..]| own != index);
                Answer::ok(if texts.len() < before {
                    "OK\n"
                } else {
                    "no message with this index\n"
                })
            }
            _ => Answer {
                status: "404 Not Found",
                headers: Vec::new(),
                body: Vec::new(),
            },
        }
    }
}

fn listed([index, date, sender, text]: &[String; 4]) -> String {
    let dashes = "-".repeat(30);
    format!(
        "Index: {index}\nDate: {date}\nSender: {sender}\nText: {text}\nStatus: read\n{dashes}\n"
    )
}

fn section(port: u16, grants: Value) -> Value {
    json!({
        "host": "127.0.0.1", "port": port, "username": "user1", "password": "a&b", "poll": "50ms",
        "grants": { "http": grants },
    })
}

fn granted(web: &Web) -> Value {
    json!([format!("127.0.0.1:{}", web.port())])
}

/// The client has subscribed to everything that the service says, before the host is there.
async fn start(section: Value) -> Result<(Mosquitto, Host, Client)> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    for filter in ["sent/#", "failed/#", "deleted", "received"] {
        client
            .subscribe(&format!("service/sms/{filter}"), 1)
            .await?;
    }
    let host = Host::on(broker.port())
        .service("sms", "sms", section)
        .start()
        .await?;
    Ok((broker, host, client))
}

async fn next(client: &mut Client, host: &Host) -> Result<(String, String)> {
    let message = client
        .next()
        .await
        .with_context(|| host.output().told("nothing was said"))?;
    let topic = message.topic.trim_start_matches("service/sms/").to_owned();
    Ok((topic, message.text().trim_end().to_owned()))
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

#[tokio::test]
async fn texts_are_sent_to_numbers_and_groups() -> Result<()> {
    let mut web = Router::default().serve()?;
    let (_broker, host, mut client) = start(section(web.port(), granted(&web))).await?;
    client
        .publish(
            "service/sms/send/single/0037060000001",
            "Grüße & mehr = 100%",
        )
        .await?;

    let request = web.expect(SEND).await?;
    let login = [("username", "user1"), ("password", "a&b")];
    assert_eq!(
        request.query,
        pairs([
            login[0],
            login[1],
            ("number", "0037060000001"),
            ("text", "Grüße & mehr = 100%")
        ])
    );

    assert_eq!(
        (request.method.as_str(), request.host),
        ("GET", format!("127.0.0.1:{}", web.port()))
    );
    assert_eq!(
        next(&mut client, &host).await?,
        ("sent/single/0037060000001".into(), "OK".into())
    );
    client
        .publish("service/sms/send/group/family/close", "hi")
        .await?;
    let request = web.expect(SEND).await?;
    assert_eq!(
        request.query,
        pairs([
            login[0],
            login[1],
            ("group", "family/close"),
            ("text", "hi")
        ])
    );

    assert_eq!(
        next(&mut client, &host).await?,
        ("sent/group/family/close".into(), "OK".into())
    );
    Ok(())
}

#[tokio::test]
async fn a_retained_text_is_not_sent_again_after_a_restart() -> Result<()> {
    let mut web = Router::default().serve()?;
    let (_broker, mut host, mut client) = start(section(web.port(), granted(&web))).await?;
    client
        .send(Message::new("service/sms/send/single/1", "once").retained())
        .await?;
    web.expect(SEND).await?;
    next(&mut client, &host).await?;
    host.stop().await?;
    host.restart()?;
    host.output()
        .says(0, "a retained text is an old one")
        .await?;
    client.publish("service/sms/send/single/2", "new").await?;
    assert_eq!(web.expect(SEND).await?.query[2].1, "2");
    Ok(())
}

/// Killed as soon as the texts were seen at the broker: published texts are remembered already.
#[tokio::test]
async fn a_received_text_is_published_once_though_the_host_is_killed() -> Result<()> {
    let router = Router::default();
    router.receives([
        "4",
        "Wed Dec 28 17:19:31 2022",
        "Tarifinfo",
        "Rate: 5 €\nper month",
    ]);

    router.receives(["5", "Thu Jan 01 00:00:10 2026", "+41790000000", "Hi"]);
    let mut web = router.serve()?;
    let (_broker, mut host, mut client) = start(section(web.port(), granted(&web))).await?;
    let first = client
        .next()
        .await
        .with_context(|| host.output().told("nothing was received"))?;
    assert_eq!(
        (first.topic.as_str(), first.qos, first.retain),
        ("service/sms/received", 1, false)
    );
    let wanted = json!({
        "index": "4", "date": "Wed Dec 28 17:19:31 2022", "sender": "Tarifinfo", "text": "Rate: 5 €\nper month",
        "status": "read",
    });
    assert_eq!(first.json()?, wanted);
    assert_eq!(client.next().await?.json()?["sender"], "+41790000000");
    host.kill()?;
    web.taken();
    host.restart()?;
    // the next one has polled twice, and so has published what it took for new
    web.expect(LIST).await?;
    web.expect(LIST).await?;
    router.receives(["6", "Thu Jan 01 00:00:20 2026", "+41790000000", "third"]);
    assert_eq!(client.next().await?.json()?["text"], "third");
    host.stop().await?;
    host.restart()?;
    web.taken();
    web.expect(LIST).await?;
    web.expect(LIST).await?;
    router.receives(["7", "Thu Jan 01 00:00:30 2026", "+41790000000", "fourth"]);
    assert_eq!(client.next().await?.json()?["text"], "fourth");
    Ok(())
}

#[tokio::test]
async fn a_text_is_deleted_and_its_index_used_again() -> Result<()> {
    let router = Router::default();
    router.receives(["0", "Thu Jan 01 00:00:10 2026", "+41790000000", "one"]);
    router.receives(["1", "Thu Jan 01 00:00:20 2026", "+41790000000", "two"]);
    let mut web = router.serve()?;
    let (_broker, host, mut client) = start(section(web.port(), granted(&web))).await?;
    assert!(next(&mut client, &host).await?.1.contains("one"));
    assert!(next(&mut client, &host).await?.1.contains("two"));
    client.publish("service/sms/delete", " 0\n").await?;
    assert_eq!(
        web.expect(DELETE).await?.query[2],
        ("number".into(), "0".into())
    );
    assert_eq!(
        next(&mut client, &host).await?,
        ("deleted".into(), "OK".into())
    );
    router.receives(["0", "Thu Jan 01 00:00:30 2026", "+41790000000", "three"]);
    assert!(next(&mut client, &host).await?.1.contains("three"));
    client.publish("service/sms/delete", "9").await?;
    assert_eq!(
        next(&mut client, &host).await?,
        ("deleted".into(), "no message with this index".into())
    );
    Ok(())
}

#[tokio::test]
async fn old_texts_are_deleted_after_they_were_published() -> Result<()> {
    let router = Router::default();
    router.receives(["3", "Wed Dec 28 17:19:31 2022", "+41790000000", "old"]);
    router.receives([
        "4",
        "Thu Jan 01 00:00:00 2099",
        "+41790000000",
        "of this year",
    ]);

    let mut web = router.serve()?;
    let mut section = section(web.port(), granted(&web));
    section["delete_after"] = json!({ "days": 1 });
    let (_broker, host, mut client) = start(section).await?;
    assert_eq!(web.expect(DELETE).await?.query[2].1, "3");
    assert!(next(&mut client, &host).await?.1.contains("old"));
    assert!(next(&mut client, &host).await?.1.contains("of this year"));
    assert_eq!(
        next(&mut client, &host).await?,
        ("deleted".into(), "OK".into())
    );
    // and that one only
    web.expect(LIST).await?;
    web.expect(LIST).await?;
    assert!(web.taken().iter().all(|request| request.path == LIST));
    Ok(())
}

#[tokio::test]
async fn a_missing_grant_sends_no_request_and_names_the_grant() -> Result<()> {
    let mut web = Router::default().serve()?;
    let (_broker, host, mut client) = start(section(web.port(), json!([]))).await?;
    let line = host.output().says(0, "is not granted").await?;
    let grant = format!("services.sms.grants.http: [\"127.0.0.1:{}\"]", web.port());
    assert!(
        line.contains("miqro.yml") && line.contains(&grant),
        "{line}"
    );
    client.publish("service/sms/send/single/1", "hi").await?;
    let (topic, reason) = next(&mut client, &host).await?;
    assert!(
        topic == "failed/single/1" && reason.contains("sms_send: "),
        "{topic}: {reason}"
    );
    assert_eq!(web.taken(), []);
    // the query has the password in it, and is shown nowhere
    for secret in ["a&b", "a%26b", "password="] {
        assert_eq!(
            host.output().count(secret),
            0,
            "{}",
            host.output().told(secret)
        );
    }

    // the line from the log grants it
    let mut config = host.config();
    config["services"]["sms"]["grants"]["http"] = granted(&web);
    host.reconfigured(&config).await?;
    client.publish("service/sms/send/single/2", "hi").await?;
    assert_eq!(
        next(&mut client, &host).await?,
        ("sent/single/2".into(), "OK".into())
    );
    Ok(())
}

/// A redirect of the router is not followed, not even to a granted host.
#[tokio::test]
async fn a_redirect_is_not_followed() -> Result<()> {
    let mut elsewhere = Router::default().serve()?;
    let place = format!(
        "http://127.0.0.1:{}{SEND}?username=user1&password=a%26b&number=1&text=hi",
        elsewhere.port()
    );
    let mut web = Web::start(move |_| Answer::elsewhere(place.clone()))?;
    let grants = json!([
        format!("127.0.0.1:{}", web.port()),
        format!("127.0.0.1:{}", elsewhere.port())
    ]);
    let (_broker, host, mut client) = start(section(web.port(), grants)).await?;
    client.publish("service/sms/send/single/1", "hi").await?;
    let (topic, reason) = next(&mut client, &host).await?;
    assert!(
        topic == "failed/single/1" && reason.ends_with("status 302"),
        "{topic}: {reason}"
    );
    web.expect(SEND).await?;
    assert_eq!(elsewhere.taken(), []);
    Ok(())
}

/// A grant is for a host as it is written and for its port.
#[tokio::test]
async fn another_host_or_port_than_the_granted_one_is_refused() -> Result<()> {
    let mut web = Router::default().serve()?;
    let mut other = Router::default().serve()?;
    let wrong = [
        ("localhost", web.port()),
        ("127.0.0.1", other.port()),
        ("127.0.0.2", web.port()),
    ];
    for (name, port) in wrong {
        let mut section = section(port, granted(&web));
        section["host"] = json!(name);
        let (_broker, host, mut client) = start(section).await?;
        client.publish("service/sms/send/single/1", "hi").await?;
        let (topic, reason) = next(&mut client, &host).await?;
        assert_eq!(topic, "failed/single/1", "{reason}");
        let line = host.output().says(0, "is not granted").await?;
        assert!(line.contains(&format!("[\"{name}:{port}\"]")), "{line}");
    }

    assert_eq!((web.taken(), other.taken()), (vec![], vec![]));
    Ok(())
}

/// A grant for a host alone is for each of its ports.
#[tokio::test]
async fn a_host_alone_stands_for_all_its_ports() -> Result<()> {
    let web = Router::default().serve()?;
    let (_broker, host, mut client) = start(section(web.port(), json!(["127.0.0.1"]))).await?;
    client.publish("service/sms/send/single/1", "hi").await?;
    assert_eq!(
        next(&mut client, &host).await?,
        ("sent/single/1".into(), "OK".into())
    );
    Ok(())
}

/// A router that is not there, or that does not answer, costs the text and not the service; the wait is longer than a call may
/// take, and counts for nobody.
#[tokio::test]
async fn a_router_that_does_not_answer_is_reported_in_time() -> Result<()> {
    let (release, released) = mpsc::channel::<()>();
    let web = Web::start(move |_| {
        // until the test ends
        let _ = released.recv();
        Answer::ok("")
    })?;
    let mut section = section(web.port(), granted(&web));
    section["timeout"] = json!("1200ms");
    section["poll"] = json!("1h");
    section["limits"] = json!({ "call": "500ms" });
    let (_broker, host, mut client) = start(section).await?;
    client.publish("service/sms/send/single/1", "hi").await?;
    let (topic, reason) = next(&mut client, &host).await?;
    assert!(
        topic == "failed/single/1" && reason.contains("sms_send: "),
        "{topic}: {reason}"
    );
    assert_eq!(
        host.output().count("ERROR"),
        0,
        "{}",
        host.output().told("an error")
    );

    drop(release);
    drop(web);
    client.publish("service/sms/send/single/2", "hi").await?;
    let (topic, reason) = next(&mut client, &host).await?;
    assert!(
        topic == "failed/single/2" && reason.contains("sms_send: "),
        "{topic}: {reason}"
    );
    Ok(())
}

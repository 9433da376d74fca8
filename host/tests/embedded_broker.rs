//! The embedded broker as other clients see it: real `mosquitto_pub` and `mosquitto_sub` processes against a broker in this
//! process. The clients' own time limit (`-W`) is the deadline of every wait.
#![cfg(feature = "embedded-broker")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use miqro_host::broker::{self, BrokerError, BrokerHandle, Owner};
use miqro_host::config::{BrokerLimits, Credentials, EmbeddedBroker};

/// Seconds after which a waiting client gives up, and with it the test.
const DEADLINE: &str = "20";

const VERSIONS: [&str; 2] = ["5", "311"];

fn on_free_port() -> EmbeddedBroker {
    let listen = "127.0.0.1:0".parse().unwrap();
    EmbeddedBroker {
        listen,
        listen_is_default: false,
        data_dir: None,
        users: Vec::new(),
        limits: BrokerLimits::default(),
    }
}

fn user(name: &str, password: &str) -> Credentials {
    Credentials {
        username: name.to_owned(),
        password: Some(password.to_owned()),
    }
}

async fn started() -> BrokerHandle {
    broker::start(&on_free_port(), None).await.unwrap()
}

fn client(program: &str, broker: SocketAddr, version: &str) -> Command {
    // Without stdbuf the subscriber's lines would wait in its buffer until it ends.
    let mut command = Command::new("stdbuf");
    command.args([
        "-oL",
        program,
        "-h",
        &broker.ip().to_string(),
        "-p",
        &broker.port().to_string(),
        "-V",
        version,
    ]);

    command
}

fn publish(broker: SocketAddr, version: &str, arguments: &[&str]) -> Output {
    client("mosquitto_pub", broker, version)
        .args(arguments)
        .output()
        .expect("mosquitto_pub is installed")
}

fn published(broker: SocketAddr, version: &str, arguments: &[&str]) {
    let output = publish(broker, version, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// A `mosquitto_sub` that has subscribed.
struct Subscriber {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    /// Messages are reported as topic, QoS, retain flag, payload and user properties.
    fn start(broker: SocketAddr, version: &str, arguments: &[&str]) -> Self {
        let mut command = client("mosquitto_sub", broker, version);
        command
            .args(["-d", "-W", DEADLINE, "-F", "> %t %q %r %p %P"])
            .args(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub is installed");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut subscriber = Self { child, lines };
        subscriber.line(|line| line.starts_with("Subscribed"));
        subscriber
    }

    fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if wanted(&line) {
                return line;
            }
            seen.push(line);
        }

        panic!("mosquitto_sub ended; it said: {seen:#?}");
    }

    /// The next message; the broker's own user properties (`x-mqtt-…`) are left out.
    fn message(&mut self) -> String {
        let line = self.line(|line| line.starts_with("> "));
        let own = line.find(" x-mqtt-").unwrap_or(line.len());
        line[2..own].trim_end().to_owned()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_quality_of_service_in_both_versions() {
    let broker = started().await;
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let mut subscriber =
                Subscriber::start(broker.address(), version, &["-t", "a/+", "-q", qos]);
            published(
                broker.address(),
                version,
                &["-t", "a/b", "-q", qos, "-m", "hello"],
            );
            assert_eq!(
                subscriber.message(),
                format!("a/b {qos} 0 hello"),
                "version {version}"
            );
        }
    }

    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_versions_hear_each_other_and_quality_of_service_is_lowered() {
    let broker = started().await;
    for (from, to) in [("5", "311"), ("311", "5")] {
        let mut subscriber = Subscriber::start(broker.address(), to, &["-t", "#", "-q", "1"]);
        published(
            broker.address(),
            from,
            &["-t", "x", "-q", "2", "-m", "over"],
        );
        assert_eq!(subscriber.message(), "x 1 0 over", "from {from} to {to}");
    }

    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn user_properties_arrive() {
    let broker = started().await;
    let mut subscriber = Subscriber::start(broker.address(), "5", &["-t", "x"]);
    published(
        broker.address(),
        "5",
        &[
            "-t",
            "x",
            "-m",
            "m",
            "-D",
            "publish",
            "user-property",
            "colour",
            "red",
        ],
    );

    assert_eq!(subscriber.message(), "x 0 0 m colour:red");
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_message_waits_for_subscribers_until_it_is_cleared() {
    let broker = started().await;
    for version in VERSIONS {
        published(
            broker.address(),
            version,
            &["-t", "state", "-r", "-q", "1", "-m", "on"],
        );
        let mut subscriber =
            Subscriber::start(broker.address(), version, &["-t", "state", "-q", "1"]);
        assert_eq!(subscriber.message(), "state 1 1 on");
        published(broker.address(), version, &["-t", "state", "-r", "-n"]);
        published(broker.address(), version, &["-t", "end", "-r", "-m", "1"]);
        let mut second =
            Subscriber::start(broker.address(), version, &["-t", "state", "-t", "end"]);
        assert_eq!(
            second.message(),
            "end 0 1 1",
            "the cleared message must not come"
        );
        published(broker.address(), version, &["-t", "end", "-r", "-n"]);
    }

    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_is_published_for_a_killed_client_and_not_for_a_clean_end() {
    let broker = started().await;
    for version in VERSIONS {
        let mut watcher =
            Subscriber::start(broker.address(), version, &["-t", "will/#", "-q", "1"]);
        let will = ["--will-payload", "gone", "--will-qos", "1", "--will-retain"];
        let clean = [
            &["-t", "x", "-m", "1", "--will-topic", "will/clean"],
            &will[..],
        ]
        .concat();
        published(broker.address(), version, &clean);
        let killed = [&["-t", "x", "--will-topic", "will/killed"], &will[..]].concat();
        Subscriber::start(broker.address(), version, &killed).kill();
        assert_eq!(watcher.message(), "will/killed 1 0 gone");
        let mut late = Subscriber::start(broker.address(), version, &["-t", "will/#"]);
        assert_eq!(late.message(), "will/killed 0 1 gone");
        published(
            broker.address(),
            version,
            &["-t", "will/killed", "-r", "-n"],
        );
    }

    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_passes_and_one_above_the_limit_does_not() {
    let broker = started().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("payload");
    std::fs::write(&file, vec![b'x'; 1_000_000]).unwrap();
    let mut subscriber = Subscriber::start(broker.address(), "5", &["-t", "big"]);
    published(
        broker.address(),
        "5",
        &["-t", "big", "-q", "1", "-f", file.to_str().unwrap()],
    );
    assert_eq!(subscriber.message().len(), "big 0 0 ".len() + 1_000_000);
    std::fs::write(&file, vec![b'x'; 2_200_000]).unwrap();
    // In MQTT 3.1.1 the client cannot know the limit; whether it reports the closed connection is its own affair.
    publish(
        broker.address(),
        "311",
        &["-t", "big", "-q", "1", "-f", file.to_str().unwrap()],
    );
    published(broker.address(), "5", &["-t", "big", "-m", "next"]);
    assert_eq!(subscriber.message(), "big 0 0 next");
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_asked_for_their_password() {
    let mut config = on_free_port();
    config.users = vec![user("alice", "secret")];
    let owner = Owner {
        client_id: "host",
        credentials: Some(&user("host", "inner")),
        largest_packet: 0,
    };
    let broker = broker::start(&config, Some(owner)).await.unwrap();
    for version in VERSIONS {
        published(
            broker.address(),
            version,
            &[
                "-t", "x", "-m", "1", "-q", "1", "-u", "alice", "-P", "secret",
            ],
        );

        published(
            broker.address(),
            version,
            &["-t", "x", "-m", "1", "-q", "1", "-u", "host", "-P", "inner"],
        );
        let strangers: [&[&str]; 4] = [
            &[],
            &["-u", "alice"],
            &["-u", "alice", "-P", "wrong"],
            &["-u", "bob", "-P", "secret"],
        ];

        for credentials in strangers {
            let output = publish(
                broker.address(),
                version,
                &[&["-t", "x", "-m", "1"], credentials].concat(),
            );
            assert!(
                !output.status.success(),
                "version {version}, {credentials:?}: {output:?}"
            );
        }
    }

    // The crate's own limit would by now have locked out this address.
    published(
        broker.address(),
        "5",
        &[
            "-t", "x", "-m", "1", "-q", "1", "-u", "alice", "-P", "secret",
        ],
    );

    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_needs_users() {
    let mut config = on_free_port();
    config.listen = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(
        broker::start(&config, None).await,
        Err(BrokerError::Open(_))
    ));
    config.users = vec![Credentials {
        username: "alice".to_owned(),
        password: None,
    }];
    assert!(
        matches!(broker::start(&config, None).await, Err(BrokerError::NoPassword(name)) if name == "alice")
    );
    config.users = vec![user("alice", "secret")];
    broker::start(&config, None)
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn used_port_is_skipped_only_when_it_is_the_default() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = on_free_port();
    config.listen = taken.local_addr().unwrap();
    let error = broker::start(&config, None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the embedded broker cannot listen on {}: the port is in use",
            config.listen
        )
    );

    config.listen_is_default = true;
    let broker = broker::start(&config, None).await.unwrap();
    assert!(broker.address().port() > config.listen.port());
    published(broker.address(), "5", &["-t", "x", "-m", "1", "-q", "1"]);
    broker.stop().await.unwrap();
}

fn kept_in(directory: &Path) -> EmbeddedBroker {
    EmbeddedBroker {
        data_dir: Some(directory.to_owned()),
        ..on_free_port()
    }
}

/// Leaves a retained message and, for the client `sleeper`, a queued one.
async fn left_behind(config: &EmbeddedBroker, version: &str) {
    let broker = broker::start(config, None).await.unwrap();
    let session = [
        &["-i", "sleeper", "-t", "queue", "-q", "1", "-E"][..],
        keep_session(version),
    ]
    .concat();
    let output = client("mosquitto_sub", broker.address(), version)
        .args(session)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    published(
        broker.address(),
        version,
        &["-t", "kept", "-r", "-q", "1", "-m", "retained"],
    );
    published(
        broker.address(),
        version,
        &["-t", "queue", "-q", "1", "-m", "queued"],
    );
    broker.stop().await.unwrap();
}

fn keep_session(version: &str) -> &'static [&'static str] {
    if version == "5" {
        &["-c", "-x", "300"]
    } else {
        &["-c"]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_and_sessions_survive_a_restart() {
    for version in VERSIONS {
        let directory = tempfile::tempdir().unwrap();
        let config = kept_in(&directory.path().join("new/broker"));
        left_behind(&config, version).await;
        let broker = broker::start(&config, None).await.unwrap();
        let mut anybody = Subscriber::start(broker.address(), version, &["-t", "kept"]);
        assert_eq!(anybody.message(), "kept 0 1 retained");
        let mut sleeper = client("mosquitto_sub", broker.address(), version);
        let session = [
            &["-i", "sleeper", "-t", "queue", "-q", "1", "-C", "1"][..],
            keep_session(version),
        ]
        .concat();
        let output = sleeper
            .args(["-W", DEADLINE])
            .args(session)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "queued\n",
            "version {version}"
        );
        broker.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_do_not_keep_it_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let config = kept_in(directory.path());
    left_behind(&config, "5").await;
    let files = files_in(directory.path());
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        std::fs::write(&file, b"\x00{ no longer what it was").unwrap();
    }
    let broker = broker::start(&config, None).await.unwrap();
    let mut subscriber = Subscriber::start(broker.address(), "5", &["-t", "x"]);
    published(broker.address(), "5", &["-t", "x", "-m", "alive"]);
    assert_eq!(subscriber.message(), "x 0 0 alive");
    broker.stop().await.unwrap();
}

/// The files of the data directory that hold messages and sessions: all but the lock and the version of the format, without
/// which the broker rightly refuses to guess.
fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let nested = entries.flat_map(|path| {
        if path.is_dir() {
            files_in(&path)
        } else {
            vec![path]
        }
    });

    nested
        .filter(|path| !path.ends_with(".lock") && !path.ends_with(".storage_version"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_do_not_share_a_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let config = kept_in(directory.path());
    let broker = broker::start(&config, None).await.unwrap();
    let error = broker::start(&config, None).await.unwrap_err().to_string();
    assert!(
        error.contains("already in use by another broker"),
        "{error}"
    );
    broker.stop().await.unwrap();
}

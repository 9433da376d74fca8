//! A real mosquitto with one listener, certificates made for one test, and bytes that pass through a
//! transport.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use miqro_host::config::{
    Connection, OutboxLimits, Protocol, SessionSettings, Tls, Transport, WaitRange,
};
use miqro_host::session::transport::{self, Resolver, Stream, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn to(port: u16, transport: Transport, tls: Tls) -> Connection {
    Connection {
        host: "localhost".to_owned(),
        port,
        transport,
        bind_address: None,
        client_id: "link".to_owned(),
        credentials: None,
        tls,
        session: SessionSettings {
            protocol: Protocol::V311,
            keepalive: Duration::from_secs(60),
            session_expiry: Duration::ZERO,
            clean_start: true,
            receive_maximum: 64,
            max_packet_size: 16 << 20,
            connect_timeout: DEADLINE,
            delivery_timeout: Duration::from_secs(10),
            reconnect: WaitRange {
                min: Duration::from_secs(1),
                max: Duration::from_secs(60),
            },
            outbox: OutboxLimits {
                messages: 1,
                bytes: 1,
            },
        },
    }
}

pub(crate) async fn connected(connection: &Connection) -> Result<Stream, TransportError> {
    timeout(
        DEADLINE,
        transport::connect(connection, &Resolver::default()),
    )
    .await
    .expect("connecting ended")
}

/// Connects, and makes sure that the broker understands what comes through and answers.
pub(crate) async fn greet(connection: &Connection) -> Stream {
    let mut stream = connected(connection).await.unwrap();
    send(
        &mut stream,
        b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04link",
    )
    .await;
    assert_eq!(
        receive(&mut stream, 4).await,
        b"\x20\x02\x00\x00",
        "CONNACK"
    );
    stream
}

pub(crate) async fn send(stream: &mut Stream, bytes: &[u8]) {
    timeout(DEADLINE, stream.write_all(bytes))
        .await
        .unwrap()
        .unwrap();
    timeout(DEADLINE, stream.flush()).await.unwrap().unwrap();
}

pub(crate) async fn receive(stream: &mut Stream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(DEADLINE, stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

pub(crate) async fn refused(connection: &Connection) -> String {
    connected(connection).await.unwrap_err().to_string()
}

pub(crate) struct Mosquitto {
    pub child: Child,
    pub port: u16,
}

impl Mosquitto {
    /// Starts a broker with these lines for its only listener.
    pub(crate) fn start(directory: &Path, listener: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let file = directory.join(format!("{port}.conf"));
        // As root it would give up its rights, and with them access to the test's directory. Mosquitto 2.0.11 ends when it has
        // no listener but WebSocket ones: hence the other, a socket in the file system.
        let other = directory.join(format!("{port}.socket"));
        let other = format!("user root\nlistener 0 {}\n", other.display());
        std::fs::write(
            &file,
            format!("{other}listener {port} 127.0.0.1\nallow_anonymous true\n{listener}\n"),
        )
        .unwrap();
        let mut mosquitto = Command::new(program());
        mosquitto
            .arg("-v")
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::piped());
        let mut child = mosquitto.spawn().expect("mosquitto is installed");
        let mut log = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let started = log
            .by_ref()
            .find(|line| line.contains("running") || line.contains("Error"));
        assert!(
            started
                .as_ref()
                .is_some_and(|line| line.contains("running")),
            "mosquitto: {started:?}"
        );

        std::thread::spawn(move || log.for_each(drop));
        Self { child, port }
    }
}

/// A TLS server that is not a broker, for cases without a setting of mosquitto.
pub(crate) fn tls_server(certificates: &Certificates, options: &str) -> Mosquitto {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let arguments =
        format!("s_server -accept 127.0.0.1:{port} -cert server.pem -key server.key {options}");
    let mut openssl = Command::new("openssl");
    openssl
        .args(arguments.split_whitespace())
        .current_dir(&certificates.0);
    let mut child = openssl
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    let mut output = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(
        output.by_ref().any(|line| line == "ACCEPT"),
        "openssl {arguments}"
    );
    std::thread::spawn(move || output.for_each(drop));
    Mosquitto { child, port }
}

/// Debian puts it where the search path of users does not lead.
pub(crate) fn program() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() {
        "/usr/sbin/mosquitto"
    } else {
        "mosquitto"
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Certificates made for one test.
pub(crate) struct Certificates(pub tempfile::TempDir);

impl Certificates {
    pub(crate) fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.authority("ca");
        made.signed("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn openssl(&self, arguments: &str) {
        let words = arguments.split_whitespace();
        let output = Command::new("openssl")
            .args(words)
            .current_dir(&self.0)
            .output()
            .expect("openssl is installed");
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn authority(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }

    /// Makes `<name>.pem` and `<name>.key` (PKCS#8), signed by `ca`.
    pub(crate) fn signed(&self, name: &str, extension: &str) {
        std::fs::write(self.path("extension"), extension).unwrap();
        self.openssl(&format!(
            "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extension -out {name}.pem"
        ));
    }

    /// As [`Self::signed`], valid from `from` until `until`, as in `20200101000000Z`.
    pub(crate) fn dated(&self, name: &str, extension: &str, from: &str, until: &str) {
        self.signed(name, extension);
        let ca = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\n\
                  default_md = sha256\npolicy = any\nunique_subject = no\n[any]\ncommonName = supplied\n";
        for (file, content) in [("ca.conf", ca), ("index", ""), ("serial", "1000\n")] {
            std::fs::write(self.path(file), content).unwrap();
        }
        self.openssl(&format!(
            "ca -batch -notext -config ca.conf -cert ca.pem -keyfile ca.key -in {name}.csr -out {name}.pem -extfile extension \
             -startdate {from} -enddate {until}"
        ));
    }

    pub(crate) fn listener(&self, more: &str) -> Mosquitto {
        let certificate = self.path("server.pem");
        let key = self.path("server.key");
        let files = format!(
            "certfile {}\nkeyfile {}\n{more}",
            certificate.display(),
            key.display()
        );
        Mosquitto::start(self.0.path(), &files)
    }

    pub(crate) fn trusting(&self, root: &str) -> Tls {
        Tls {
            ca_certs: Some(self.path(root)),
            ..Tls::default()
        }
    }
}

/// Publishes a message of about `size` bytes to itself.
pub(crate) async fn echo(stream: &mut Stream, size: usize) {
    send(stream, b"\x82\x06\x00\x01\x00\x01a\x00").await;
    assert_eq!(receive(stream, 5).await, b"\x90\x03\x00\x01\x00", "SUBACK");
    let payload = numbers(size);
    let mut publish = vec![0x30];
    let mut remaining = payload.len() + 3;
    while remaining > 127 {
        publish.push((remaining % 128) as u8 | 128);
        remaining /= 128;
    }
    publish.push(remaining as u8);
    publish.extend(b"\x00\x01a");
    publish.extend(payload);
    send(stream, &publish).await;
    assert!(
        receive(stream, publish.len()).await == publish,
        "the message came back changed"
    );
}

/// Bytes in which no part is like another.
pub(crate) fn numbers(size: usize) -> Vec<u8> {
    (0..u32::MAX)
        .flat_map(u32::to_le_bytes)
        .take(size)
        .collect()
}

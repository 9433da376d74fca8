//! The link against real mosquitto brokers: TLS with every kind of key and fault, WebSocket, and both together. A CONNECT goes
//! out as bytes and the CONNACK comes back as bytes; what they mean is the session's matter.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use miqro_host::config::{Connection, OutboxLimits, Protocol, Tls, Transport};
use miqro_host::session::link::{self, LinkError, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

fn to(port: u16, transport: Transport, tls: Tls) -> Connection {
    Connection {
        host: "localhost".to_owned(),
        port,
        transport,
        bind_address: None,
        protocol: Protocol::V311,
        client_id: "link".to_owned(),
        keepalive: Duration::from_secs(60),
        session_expiry: Duration::ZERO,
        clean_start: true,
        credentials: None,
        tls,
        receive_maximum: 64,
        max_packet_size: 16 << 20,
        connect_timeout: DEADLINE,
        reconnect_min: Duration::from_secs(1),
        reconnect_max: Duration::from_secs(60),
        delivery_timeout: Duration::from_secs(10),
        outbox: OutboxLimits { messages: 1, bytes: 1 },
    }
}

async fn connected(connection: &Connection) -> Result<Stream, LinkError> {
    timeout(DEADLINE, link::connect(connection)).await.expect("connecting ended")
}

/// Connects, and makes sure that the broker understands what comes through and answers.
async fn greet(connection: &Connection) -> Stream {
    let mut stream = connected(connection).await.unwrap();
    send(&mut stream, b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04link").await;
    assert_eq!(receive(&mut stream, 4).await, b"\x20\x02\x00\x00", "CONNACK");
    stream
}

async fn send(stream: &mut Stream, bytes: &[u8]) {
    timeout(DEADLINE, stream.write_all(bytes)).await.unwrap().unwrap();
    timeout(DEADLINE, stream.flush()).await.unwrap().unwrap();
}

async fn receive(stream: &mut Stream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(DEADLINE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

async fn refused(connection: &Connection) -> String {
    connected(connection).await.unwrap_err().to_string()
}

struct Mosquitto {
    child: Child,
    port: u16,
}

impl Mosquitto {
    /// Starts a broker with these lines for its only listener.
    fn start(directory: &Path, listener: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = directory.join(format!("{port}.conf"));
        // As root it would give up its rights, and with them access to the test's directory. Mosquitto 2.0.11 ends when it has
        // no listener but WebSocket ones: hence the other, a socket in the file system.
        let other = directory.join(format!("{port}.socket"));
        let other = format!("user root\nlistener 0 {}\n", other.display());
        std::fs::write(&file, format!("{other}listener {port} 127.0.0.1\nallow_anonymous true\n{listener}\n")).unwrap();
        let mut mosquitto = Command::new(program());
        mosquitto.arg("-v").arg("-c").arg(&file).stderr(Stdio::piped());
        let mut child = mosquitto.spawn().expect("mosquitto is installed");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let started = log.by_ref().find(|line| line.contains("running") || line.contains("Error"));
        assert!(started.as_ref().is_some_and(|line| line.contains("running")), "mosquitto: {started:?}");
        std::thread::spawn(move || log.for_each(drop));
        Self { child, port }
    }
}

/// Debian puts it where the search path of users does not lead.
fn program() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Certificates made for one test.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.authority("ca");
        made.signed("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let words = arguments.split_whitespace();
        let output = Command::new("openssl").args(words).current_dir(&self.0).output().expect("openssl is installed");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn authority(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }

    /// Makes `<name>.pem` and `<name>.key` (PKCS#8), signed by `ca`.
    fn signed(&self, name: &str, extension: &str) {
        std::fs::write(self.path("extension"), extension).unwrap();
        self.openssl(&format!("req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extension -out {name}.pem"
        ));
    }

    fn listener(&self, more: &str) -> Mosquitto {
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let files = format!("certfile {}\nkeyfile {}\n{more}", certificate.display(), key.display());
        Mosquitto::start(self.0.path(), &files)
    }

    fn trusting(&self, root: &str) -> Tls {
        Tls { ca_certs: Some(self.path(root)), ..Tls::default() }
    }
}

#[tokio::test]
async fn tls_with_a_given_root_by_name_and_by_address() {
    let certificates = Certificates::new();
    let broker = certificates.listener("");
    let mut connection = to(broker.port, Transport::Tls, certificates.trusting("ca.pem"));
    greet(&connection).await;
    connection.host = "127.0.0.1".to_owned();
    greet(&connection).await;
}

/// A TLS server that is no broker, for what mosquitto has no setting for.
fn tls_server(certificates: &Certificates, options: &str) -> Mosquitto {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let arguments = format!("s_server -accept 127.0.0.1:{port} -cert server.pem -key server.key {options}");
    let mut openssl = Command::new("openssl");
    openssl.args(arguments.split_whitespace()).current_dir(&certificates.0);
    let mut child = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(output.by_ref().any(|line| line == "ACCEPT"), "openssl {arguments}");
    std::thread::spawn(move || output.for_each(drop));
    Mosquitto { child, port }
}

#[tokio::test]
async fn both_versions_of_tls() {
    let certificates = Certificates::new();
    for (option, expected) in [("-tls1_2", "TLSv1_2"), ("-tls1_3", "TLSv1_3")] {
        let server = tls_server(&certificates, option);
        let stream = connected(&to(server.port, Transport::Tls, certificates.trusting("ca.pem"))).await.unwrap();
        let Stream::Tls(stream) = stream else { panic!("not TLS: {stream:?}") };
        assert_eq!(format!("{:?}", stream.get_ref().1.protocol_version().unwrap()), expected);
    }
}

#[tokio::test]
async fn a_broker_whom_nobody_vouches_for_is_refused() {
    let certificates = Certificates::new();
    certificates.authority("other");
    let broker = certificates.listener("");
    let mut connection = to(broker.port, Transport::Tls, certificates.trusting("other.pem"));
    let error = refused(&connection).await;
    assert!(error.starts_with("TLS handshake: "), "{error}");
    assert!(error.contains("UnknownIssuer") && error.contains("tls.ca_certs"), "{error}");
    connection.tls.insecure = true;
    greet(&connection).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_unless_that_name_is_expected() {
    let certificates = Certificates::new();
    certificates.signed("server", "subjectAltName=DNS:broker.example");
    let broker = certificates.listener("");
    let mut connection = to(broker.port, Transport::Tls, certificates.trusting("ca.pem"));
    let error = refused(&connection).await;
    assert!(error.contains("localhost") && error.contains("broker.example"), "{error}");
    connection.tls.server_name = Some("broker.example".to_owned());
    greet(&connection).await;
}

#[tokio::test]
async fn a_self_signed_certificate_vouches_for_itself() {
    let certificates = Certificates::new();
    certificates.openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout server.key -out server.pem",
    );
    let broker = certificates.listener("");
    let mut connection = to(broker.port, Transport::Tls, certificates.trusting("server.pem"));
    greet(&connection).await;
    connection.tls.server_name = Some("broker.example".to_owned());
    let error = refused(&connection).await;
    assert!(error.contains("broker.example"), "{error}");
    connection.tls = certificates.trusting("ca.pem");
    assert!(refused(&connection).await.contains("certificate"));
}

#[tokio::test]
async fn a_certificate_of_version_1_is_explained() {
    let certificates = Certificates::new();
    certificates.openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem");
    let broker = certificates.listener("");
    let error = refused(&to(broker.port, Transport::Tls, certificates.trusting("ca.pem"))).await;
    assert!(error.contains("subjectAltName"), "{error}");
}

#[tokio::test]
async fn client_certificates_with_each_form_of_key() {
    let certificates = Certificates::new();
    certificates.signed("client", "extendedKeyUsage=clientAuth");
    certificates.openssl("rsa -in client.key -traditional -out pkcs1.key");
    // An elliptic key of its own for SEC1, and the certificate for it.
    certificates.openssl("ecparam -name prime256v1 -genkey -noout -out sec1.key");
    certificates.openssl("req -new -key sec1.key -subj /CN=client -out sec1.csr");
    certificates.openssl("x509 -req -in sec1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out sec1.pem");
    let ca = certificates.path("ca.pem");
    let broker = certificates.listener(&format!("cafile {}\nrequire_certificate true", ca.display()));
    let mut connection = to(broker.port, Transport::Tls, certificates.trusting("ca.pem"));
    for (chain, key) in [("client.pem", "client.key"), ("client.pem", "pkcs1.key"), ("sec1.pem", "sec1.key")] {
        connection.tls.client_certificate = Some((certificates.path(chain), certificates.path(key)));
        greet(&connection).await;
    }
}

#[tokio::test]
async fn a_missing_client_certificate_is_named() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates, "-tls1_2 -Verify 1 -CAfile ca.pem");
    let error = refused(&to(server.port, Transport::Tls, certificates.trusting("ca.pem"))).await;
    assert!(error.contains("client certificate"), "{error}");
    // In TLS 1.3 the client is done before the server looks at its certificate.
    let ca = certificates.path("ca.pem");
    let broker = certificates.listener(&format!("cafile {}\nrequire_certificate true", ca.display()));
    let mut stream = connected(&to(broker.port, Transport::Tls, certificates.trusting("ca.pem"))).await.unwrap();
    let error = timeout(DEADLINE, stream.read(&mut [0])).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn unusable_files_are_named() {
    let certificates = Certificates::new();
    let broker = certificates.listener("");
    let mut connection = to(broker.port, Transport::Tls, certificates.trusting("missing.pem"));
    let error = refused(&connection).await;
    assert!(error.contains("ca_certs") && error.contains("missing.pem") && error.contains("No such file"), "{error}");
    connection.tls = certificates.trusting("ca.pem");
    connection.tls.client_certificate = Some((certificates.path("server.pem"), certificates.path("server.pem")));
    let error = refused(&connection).await;
    assert!(error.contains("client key") && error.contains("no unencrypted private key"), "{error}");
    connection.tls.client_certificate = Some((certificates.path("server.pem"), certificates.path("ca.key")));
    let error = refused(&connection).await;
    assert!(error.contains("client key") && error.contains("not the key of the client certificate"), "{error}");
    connection.tls = certificates.trusting("server.key");
    let error = refused(&connection).await;
    assert!(error.contains("no certificate in PEM form"), "{error}");
}

#[tokio::test]
async fn a_port_without_tls_is_recognised() {
    let certificates = Certificates::new();
    // A listener that greets in plain text; mosquitto only hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connection = to(listener.local_addr().unwrap().port(), Transport::Tls, certificates.trusting("ca.pem"));
    let plain = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        socket
    };
    let (error, _socket) = tokio::join!(refused(&connection), plain);
    assert!(error.ends_with("this port does not speak TLS"), "{error}");
}

/// Publishes a message of about `size` bytes to itself.
async fn echo(stream: &mut Stream, size: usize) {
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
    assert!(receive(stream, publish.len()).await == publish, "the message came back changed");
}

/// Bytes in which no part is like another.
fn numbers(size: usize) -> Vec<u8> {
    (0..u32::MAX).flat_map(u32::to_le_bytes).take(size).collect()
}

#[tokio::test]
async fn websocket_in_the_open_and_over_tls() {
    let certificates = Certificates::new();
    let plain = Mosquitto::start(certificates.0.path(), "protocol websockets");
    let path = || "/mqtt".to_owned();
    let mut stream = greet(&to(plain.port, Transport::WebSocket(path()), Tls::default())).await;
    // Little, because mosquitto 2.0.11 sends 4 KiB every tenth of a second here, whoever the client is.
    echo(&mut stream, 20_000).await;
    let secure = certificates.listener("protocol websockets");
    let trust = certificates.trusting("ca.pem");
    let mut stream = greet(&to(secure.port, Transport::SecureWebSocket(path()), trust)).await;
    echo(&mut stream, 20_000).await;
    timeout(DEADLINE, stream.shutdown()).await.unwrap().unwrap();
}

#[tokio::test]
async fn large_messages_pass_plain_and_over_tls() {
    let certificates = Certificates::new();
    let plain = Mosquitto::start(certificates.0.path(), "");
    echo(&mut greet(&to(plain.port, Transport::Tcp, Tls::default())).await, 5_000_000).await;
    let secure = certificates.listener("");
    let connection = to(secure.port, Transport::Tls, certificates.trusting("ca.pem"));
    echo(&mut greet(&connection).await, 5_000_000).await;
}

#[tokio::test]
async fn a_port_without_websocket_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "");
    let error = refused(&to(broker.port, Transport::WebSocket("/".to_owned()), Tls::default())).await;
    assert!(error.starts_with("WebSocket upgrade: "), "{error}");
}

#[tokio::test]
async fn bytes_are_found_however_the_frames_cut_them() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connection = to(listener.local_addr().unwrap().port(), Transport::WebSocket("/x".to_owned()), Tls::default());
    let server = async {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_hdr_async(socket, agree).await.unwrap();
        for frame in [&b"a"[..], b"", b"bcd", b"efghij"] {
            socket.send(Message::Binary(frame.into())).await.unwrap();
            socket.send(Message::Ping("?".into())).await.unwrap();
        }
        for _ in 0..4 {
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("?".into()));
        }
        socket.close(None).await.unwrap();
    };
    let client = async {
        let mut stream = connected(&connection).await.unwrap();
        let bytes = receive(&mut stream, 10).await;
        assert_eq!(timeout(DEADLINE, stream.read(&mut [0])).await.unwrap().unwrap(), 0, "the end");
        bytes
    };
    let ((), bytes) = tokio::join!(server, client);
    assert_eq!(bytes, b"abcdefghij");
}

#[tokio::test]
async fn much_passes_both_ways_at_once_however_slowly_it_is_read() {
    use futures_util::{SinkExt, StreamExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connection = to(listener.local_addr().unwrap().port(), Transport::WebSocket("/x".to_owned()), Tls::default());
    let server = async {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_hdr_async(socket, agree).await.unwrap();
        while let Some(Ok(frame)) = socket.next().await {
            if frame.is_binary() {
                socket.send(frame).await.unwrap();
            }
        }
    };
    let client = async {
        let sent = numbers(5_000_000);
        let (mut reading, mut writing) = tokio::io::split(connected(&connection).await.unwrap());
        let write = async {
            writing.write_all(&sent).await.unwrap();
            writing.flush().await.unwrap();
        };
        let mut received = vec![0; sent.len()];
        let (_, read) =
            timeout(DEADLINE, async { tokio::join!(write, reading.read_exact(&mut received)) }).await.unwrap();
        read.unwrap();
        assert!(received == sent, "the bytes came back changed");
        timeout(DEADLINE, writing.shutdown()).await.unwrap().unwrap();
    };
    tokio::join!(server, client);
}

/// Answers the subprotocol as MQTT brokers must (MQTT 5, section 6).
#[allow(clippy::result_large_err)]
fn agree(
    request: &tokio_tungstenite::tungstenite::handshake::server::Request,
    mut response: tokio_tungstenite::tungstenite::handshake::server::Response,
) -> Result<
    tokio_tungstenite::tungstenite::handshake::server::Response,
    tokio_tungstenite::tungstenite::handshake::server::ErrorResponse,
> {
    let asked = request.headers()["sec-websocket-protocol"].clone();
    assert_eq!(asked, "mqtt");
    response.headers_mut().insert("sec-websocket-protocol", asked);
    Ok(response)
}

//! Errors of connections that fail: each names the cause, and the key of `miqro.yml` to write. With
//! real mosquitto listeners, and `openssl s_server` for cases without a setting of mosquitto.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::transport_fixture::{Certificates, DEADLINE, Mosquitto, greet, refused, tls_server, to};
use miqro_host::config::{Connection, Protocol, Tls, Transport};
use miqro_host::router::Router;
use miqro_host::session::{ConnectionStatus, Session};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Returns the reason why a session over `connection` fails.
async fn reason(connection: &Connection) -> String {
    let (session, handle) = Session::new(connection.clone(), None, Router::new());
    let task = tokio::spawn(session.run());
    let mut status = handle.status();
    let lost = status.wait_for(|status| matches!(status, ConnectionStatus::Disconnected { .. }));
    let lost = timeout(DEADLINE, lost)
        .await
        .expect("an outcome")
        .unwrap()
        .clone();
    handle.stop(Instant::now());
    timeout(DEADLINE, task)
        .await
        .expect("the end")
        .unwrap()
        .unwrap();
    match lost {
        ConnectionStatus::Disconnected { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

/// TLS with these files of the client.
fn with_client(certificates: &Certificates, port: u16, certificate: &str, key: &str) -> Connection {
    let mut connection = to(port, Transport::Tls, certificates.trusting("ca.pem"));
    connection.tls.client_certificate =
        Some((certificates.path(certificate), certificates.path(key)));
    connection
}

#[tokio::test]
async fn tls_port_is_named_to_a_plain_client() {
    let certificates = Certificates::new();
    let mosquitto = certificates.listener("");
    let openssl = tls_server(&certificates, "");
    for port in [mosquitto.port, openssl.port] {
        for protocol in [Protocol::V5, Protocol::V311] {
            let mut connection = to(port, Transport::Tcp, Tls::default());
            connection.session.protocol = protocol;
            says(
                &reason(&connection).await,
                &["speaks TLS", "write a tls section"],
            );
        }

        let error = refused(&to(
            port,
            Transport::WebSocket("/mqtt".to_owned()),
            Tls::default(),
        ))
        .await;
        says(&error, &["WebSocket upgrade: ", "transport: wss"]);
    }
}

#[tokio::test]
async fn plain_port_is_named_to_a_tls_client() {
    let certificates = Certificates::new();
    let broker = Mosquitto::start(certificates.0.path(), "");
    for transport in [
        Transport::Tls,
        Transport::SecureWebSocket("/mqtt".to_owned()),
    ] {
        let error = refused(&to(broker.port, transport, certificates.trusting("ca.pem"))).await;
        says(
            &error,
            &[
                "TLS handshake: ",
                "does not speak TLS",
                "transport: tcp",
                "broker.port",
            ],
        );
    }
}

#[tokio::test]
async fn a_port_for_web_pages_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = async {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                .await
                .unwrap();
            // until the client has gone: closing with something unread would reset the connection
            drop(tokio::io::copy(&mut socket, &mut tokio::io::sink()).await);
        }
    };

    let asks = async {
        says(
            &reason(&to(port, Transport::Tcp, Tls::default())).await,
            &["HTTP", "transport: ws"],
        );
        let error = refused(&to(
            port,
            Transport::WebSocket("/x".to_owned()),
            Tls::default(),
        ))
        .await;
        says(&error, &["404", "broker.path"]);
    };

    tokio::select! {
        () = answers => {}
        () = asks => {}
    }
}

#[tokio::test]
async fn a_broker_without_websocket_behind_tls_is_named() {
    let certificates = Certificates::new();
    let broker = certificates.listener("");
    let connection = to(
        broker.port,
        Transport::SecureWebSocket("/mqtt".to_owned()),
        certificates.trusting("ca.pem"),
    );
    says(
        &refused(&connection).await,
        &["WebSocket upgrade: ", "transport: tcp (tls with TLS)"],
    );
}

#[tokio::test]
async fn missing_client_certificate_is_asked_for() {
    let certificates = Certificates::new();
    let ca = certificates.path("ca.pem");
    for version in ["", "tls_version tlsv1.2\n"] {
        let demand = format!("{version}cafile {}\nrequire_certificate true", ca.display());
        let broker = certificates.listener(&demand);
        let error = reason(&to(
            broker.port,
            Transport::Tls,
            certificates.trusting("ca.pem"),
        ))
        .await;
        says(
            &error,
            &["client certificate", "tls.certfile and tls.keyfile"],
        );
    }

    for version in ["-tls1_2", "-tls1_3"] {
        let server = tls_server(
            &certificates,
            &format!("{version} -Verify 1 -CAfile ca.pem"),
        );
        let error = reason(&to(
            server.port,
            Transport::Tls,
            certificates.trusting("ca.pem"),
        ))
        .await;
        says(
            &error,
            &["client certificate", "tls.certfile and tls.keyfile"],
        );
    }
}

#[tokio::test]
async fn a_client_certificate_that_the_broker_refuses_is_named() {
    let certificates = Certificates::new();
    certificates.openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout own.key -out own.pem",
    );
    let ca = certificates.path("ca.pem");
    let broker = certificates.listener(&format!(
        "cafile {}\nrequire_certificate true",
        ca.display()
    ));
    let error = reason(&with_client(
        &certificates,
        broker.port,
        "own.pem",
        "own.key",
    ))
    .await;
    says(&error, &["client certificate", "own.pem", "tls.certfile"]);
}

#[tokio::test]
async fn a_key_that_is_encrypted_is_explained() {
    let certificates = Certificates::new();
    certificates.signed("client", "extendedKeyUsage=clientAuth");
    certificates.openssl("pkcs8 -topk8 -in client.key -passout pass:secret -out pkcs8.key");
    certificates
        .openssl("rsa -aes128 -traditional -in client.key -passout pass:secret -out rsa.key");
    let broker = certificates.listener("");
    for key in ["pkcs8.key", "rsa.key"] {
        let error = refused(&with_client(&certificates, broker.port, "client.pem", key)).await;
        says(
            &error,
            &["tls.keyfile", key, "encrypted", "openssl pkey -in"],
        );
    }

    // the suggested command works
    certificates.openssl("pkey -in pkcs8.key -passin pass:secret -out plain.key");
    greet(&with_client(
        &certificates,
        broker.port,
        "client.pem",
        "plain.key",
    ))
    .await;
}

#[tokio::test]
async fn files_with_wrong_content_are_named() {
    let certificates = Certificates::new();
    certificates.signed("client", "extendedKeyUsage=clientAuth");
    certificates.openssl("x509 -in client.pem -outform der -out client.der");
    certificates.openssl("pkey -in client.key -outform der -out key.der");
    certificates
        .openssl("pkcs12 -export -in client.pem -inkey client.key -passout pass:x -out client.p12");
    let whole = std::fs::read_to_string(certificates.path("client.pem")).unwrap();
    for (name, content) in [
        ("empty.pem", String::new()),
        ("page.pem", "<html>not found</html>".to_owned()),
        ("cut.pem", whole[..whole.len() / 2].to_owned()),
        (
            "broken.pem",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_owned(),
        ),
        ("marked.pem", format!("\u{FEFF}{whole}")),
    ] {
        std::fs::write(certificates.path(name), content).unwrap();
    }

    let broker = certificates.listener("");
    for (name, part) in [
        ("missing.pem", "No such file"),
        ("empty.pem", "an empty file"),
        ("page.pem", "found no line that begins with -----BEGIN"),
        ("cut.pem", "was it copied whole"),
        ("broken.pem", "certificate 1 in it cannot be read"),
        ("client.key", "found PRIVATE KEY"),
        ("client.der", "openssl x509 -inform der -in"),
        ("client.p12", "openssl pkcs12 -in"),
    ] {
        let error = refused(&to(
            broker.port,
            Transport::Tls,
            certificates.trusting(name),
        ))
        .await;
        says(&error, &["tls.ca_certs", name, part]);
        if name != "broken.pem" {
            let error = refused(&with_client(&certificates, broker.port, name, "client.key")).await;
            says(&error, &["client certificate (tls.certfile)", name, part]);
        }
    }

    for (name, part) in [
        (
            "client.pem",
            "expected PRIVATE KEY in PEM form, found CERTIFICATE",
        ),
        ("key.der", "openssl pkey -inform der -in"),
        ("server.key", "not the key of the client certificate"),
    ] {
        let error = refused(&with_client(&certificates, broker.port, "client.pem", name)).await;
        says(&error, &["client key (tls.keyfile)", name, part]);
    }

    // a byte-order mark does no harm
    greet(&with_client(
        &certificates,
        broker.port,
        "marked.pem",
        "client.key",
    ))
    .await;
}

#[tokio::test]
async fn expired_or_future_certificate_is_explained() {
    let certificates = Certificates::new();
    for (from, until, parts) in [
        (
            "20200101000000Z",
            "20210101000000Z",
            ["expired", "needs a new certificate"],
        ),
        (
            "20980101000000Z",
            "20990101000000Z",
            ["not valid yet", "the clock of this machine"],
        ),
    ] {
        certificates.dated("server", "subjectAltName=DNS:localhost", from, until);
        let broker = certificates.listener("");
        let error = refused(&to(
            broker.port,
            Transport::Tls,
            certificates.trusting("ca.pem"),
        ))
        .await;
        says(&error, &parts);
    }
}

#[tokio::test]
async fn untrusted_certificate_is_explained() {
    let certificates = Certificates::new();
    certificates.authority("other");
    let broker = certificates.listener("");
    let error = refused(&to(
        broker.port,
        Transport::Tls,
        certificates.trusting("other.pem"),
    ))
    .await;
    says(
        &error,
        &[
            "UnknownIssuer",
            "tls.ca_certs",
            "other.pem",
            "root certificate of the broker",
        ],
    );

    let error = refused(&to(broker.port, Transport::Tls, Tls::default())).await;
    says(
        &error,
        &[
            "UnknownIssuer",
            "set tls.ca_certs to the root certificate of the broker",
        ],
    );
}

#[tokio::test]
async fn name_missing_in_certificate_is_explained() {
    let certificates = Certificates::new();
    certificates.signed("server", "subjectAltName=DNS:broker.example");
    let broker = certificates.listener("");
    let error = refused(&to(
        broker.port,
        Transport::Tls,
        certificates.trusting("ca.pem"),
    ))
    .await;
    says(&error, &["localhost", "broker.example", "tls.server_name"]);
}

#[tokio::test]
async fn a_handshake_that_is_not_answered_is_explained() {
    // it takes the connection and says nothing
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificates = Certificates::new();
    let silent = |transport| {
        let tls = Tls {
            ca_certs: Some(certificates.path("ca.pem")),
            ..Tls::default()
        };
        let mut connection = to(port, transport, tls);
        // long enough to come as far as the handshake on a busy machine
        connection.session.connect_timeout = Duration::from_secs(4);
        connection
    };

    says(
        &reason(&silent(Transport::Tls)).await,
        &["TLS handshake: ", "not answered", "does not speak TLS"],
    );
    let web = Transport::WebSocket("/mqtt".to_owned());
    says(
        &reason(&silent(web)).await,
        &["WebSocket upgrade: ", "not answered"],
    );
}

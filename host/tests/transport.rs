//! The transport with real mosquitto brokers: TCP and TLS with every kind of key and fault. A
//! CONNECT goes out as bytes and the CONNACK comes back as bytes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::transport_fixture::{
    Certificates, DEADLINE, Mosquitto, connected, echo, greet, refused, tls_server, to,
};
use miqro_host::config::{Tls, Transport};
use miqro_host::session::transport::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[tokio::test]
async fn tls_with_a_given_root_by_name_and_by_address() {
    let certificates = Certificates::new();
    let broker = certificates.listener("");
    let mut connection = to(broker.port, Transport::Tls, certificates.trusting("ca.pem"));
    greet(&connection).await;
    connection.host = "127.0.0.1".to_owned();
    greet(&connection).await;
}

#[tokio::test]
async fn both_versions_of_tls() {
    let certificates = Certificates::new();
    for (option, expected) in [("-tls1_2", "TLSv1_2"), ("-tls1_3", "TLSv1_3")] {
        let server = tls_server(&certificates, option);
        let stream = connected(&to(
            server.port,
            Transport::Tls,
            certificates.trusting("ca.pem"),
        ))
        .await
        .unwrap();
        let Stream::Tls(stream) = stream else {
            panic!("not TLS: {stream:?}")
        };
        assert_eq!(
            format!("{:?}", stream.get_ref().1.protocol_version().unwrap()),
            expected
        );
    }
}

#[tokio::test]
async fn broker_with_untrusted_certificate_is_refused() {
    let certificates = Certificates::new();
    certificates.authority("other");
    let broker = certificates.listener("");
    let mut connection = to(
        broker.port,
        Transport::Tls,
        certificates.trusting("other.pem"),
    );
    let error = refused(&connection).await;
    assert!(error.starts_with("TLS handshake: "), "{error}");
    assert!(
        error.contains("UnknownIssuer") && error.contains("tls.ca_certs"),
        "{error}"
    );
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
    assert!(
        error.contains("localhost") && error.contains("broker.example"),
        "{error}"
    );
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
    let mut connection = to(
        broker.port,
        Transport::Tls,
        certificates.trusting("server.pem"),
    );
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
    certificates.openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem",
    );
    let broker = certificates.listener("");
    let error = refused(&to(
        broker.port,
        Transport::Tls,
        certificates.trusting("ca.pem"),
    ))
    .await;
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
    certificates.openssl(
        "x509 -req -in sec1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out sec1.pem",
    );
    let ca = certificates.path("ca.pem");
    let broker = certificates.listener(&format!(
        "cafile {}\nrequire_certificate true",
        ca.display()
    ));
    let mut connection = to(broker.port, Transport::Tls, certificates.trusting("ca.pem"));
    for (chain, key) in [
        ("client.pem", "client.key"),
        ("client.pem", "pkcs1.key"),
        ("sec1.pem", "sec1.key"),
    ] {
        connection.tls.client_certificate =
            Some((certificates.path(chain), certificates.path(key)));
        greet(&connection).await;
    }
}

#[tokio::test]
async fn a_missing_client_certificate_is_named() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates, "-tls1_2 -Verify 1 -CAfile ca.pem");
    let error = refused(&to(
        server.port,
        Transport::Tls,
        certificates.trusting("ca.pem"),
    ))
    .await;
    assert!(error.contains("client certificate"), "{error}");
    // In TLS 1.3 the client is done before the server looks at its certificate.
    let ca = certificates.path("ca.pem");
    let broker = certificates.listener(&format!(
        "cafile {}\nrequire_certificate true",
        ca.display()
    ));
    let mut stream = connected(&to(
        broker.port,
        Transport::Tls,
        certificates.trusting("ca.pem"),
    ))
    .await
    .unwrap();
    let error = timeout(DEADLINE, stream.read(&mut [0]))
        .await
        .unwrap()
        .unwrap_err()
        .to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn unusable_files_are_named() {
    let certificates = Certificates::new();
    let broker = certificates.listener("");
    let mut connection = to(
        broker.port,
        Transport::Tls,
        certificates.trusting("missing.pem"),
    );
    let error = refused(&connection).await;
    assert!(
        error.contains("ca_certs")
            && error.contains("missing.pem")
            && error.contains("No such file"),
        "{error}"
    );

    connection.tls = certificates.trusting("ca.pem");
    connection.tls.client_certificate = Some((
        certificates.path("server.pem"),
        certificates.path("server.pem"),
    ));
    let error = refused(&connection).await;
    assert!(
        error.contains("client key") && error.contains("expected PRIVATE KEY in PEM form"),
        "{error}"
    );
    connection.tls.client_certificate =
        Some((certificates.path("server.pem"), certificates.path("ca.key")));
    let error = refused(&connection).await;
    assert!(
        error.contains("client key") && error.contains("not the key of the client certificate"),
        "{error}"
    );
    connection.tls = certificates.trusting("server.key");
    let error = refused(&connection).await;
    assert!(
        error.contains("expected CERTIFICATE in PEM form"),
        "{error}"
    );
}

#[tokio::test]
async fn a_port_without_tls_is_recognised() {
    let certificates = Certificates::new();
    // A listener that greets in plain text; mosquitto only hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connection = to(
        listener.local_addr().unwrap().port(),
        Transport::Tls,
        certificates.trusting("ca.pem"),
    );
    let plain = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket
            .write_all(b"220 mail.example ESMTP\r\n")
            .await
            .unwrap();
        socket
    };

    let (error, _socket) = tokio::join!(refused(&connection), plain);
    assert!(error.contains("this port does not speak TLS"), "{error}");
}

#[tokio::test]
async fn large_messages_pass_plain_and_over_tls() {
    let certificates = Certificates::new();
    let plain = Mosquitto::start(certificates.0.path(), "");
    echo(
        &mut greet(&to(plain.port, Transport::Tcp, Tls::default())).await,
        5_000_000,
    )
    .await;
    let secure = certificates.listener("");
    let connection = to(secure.port, Transport::Tls, certificates.trusting("ca.pem"));
    echo(&mut greet(&connection).await, 5_000_000).await;
}

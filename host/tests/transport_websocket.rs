//! The transport over WebSocket, in the open and over TLS, with real mosquitto brokers and with
//! frames that cut the bytes anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::transport_fixture::{
    Certificates, DEADLINE, Mosquitto, connected, echo, greet, numbers, receive, refused, to,
};
use miqro_host::config::{Connection, Tls, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;

#[tokio::test]
async fn websocket_connects_plain_and_over_tls() {
    let certificates = Certificates::new();
    let plain = Mosquitto::start(certificates.0.path(), "protocol websockets");
    let path = || "/mqtt".to_owned();
    let mut stream = greet(&to(
        plain.port,
        Transport::WebSocket(path()),
        Tls::default(),
    ))
    .await;
    // Little, because mosquitto 2.0.11 sends 4 KiB every tenth of a second here, for every client.
    echo(&mut stream, 20_000).await;
    let secure = certificates.listener("protocol websockets");
    let trust = certificates.trusting("ca.pem");
    let mut stream = greet(&to(secure.port, Transport::SecureWebSocket(path()), trust)).await;
    echo(&mut stream, 20_000).await;
    timeout(DEADLINE, stream.shutdown()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_without_websocket_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "");
    let error = refused(&to(
        broker.port,
        Transport::WebSocket("/".to_owned()),
        Tls::default(),
    ))
    .await;
    assert!(error.starts_with("WebSocket upgrade: "), "{error}");
}

/// A listener for one test, and the settings that lead there.
async fn websocket_listener() -> (TcpListener, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let transport = Transport::WebSocket("/x".to_owned());
    (listener, to(port, transport, Tls::default()))
}

/// The next client of `listener`, after the upgrade.
async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (socket, _) = listener.accept().await.unwrap();
    let upgraded = tokio_tungstenite::accept_hdr_async(socket, agree).await;
    upgraded.unwrap()
}

#[tokio::test]
async fn packets_are_found_however_frames_split_them() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let (listener, connection) = websocket_listener().await;
    let server = async {
        let mut socket = accept(&listener).await;
        for frame in [&b"a"[..], b"", b"bcd", b"efghij"] {
            socket.send(Message::Binary(frame.into())).await.unwrap();
            socket.send(Message::Ping("?".into())).await.unwrap();
        }
        for _ in 0..4 {
            assert_eq!(
                socket.next().await.unwrap().unwrap(),
                Message::Pong("?".into())
            );
        }

        socket.close(None).await.unwrap();
    };

    let client = async {
        let mut stream = connected(&connection).await.unwrap();
        let bytes = receive(&mut stream, 10).await;
        assert_eq!(
            timeout(DEADLINE, stream.read(&mut [0]))
                .await
                .unwrap()
                .unwrap(),
            0,
            "the end"
        );

        bytes
    };

    let ((), bytes) = tokio::join!(server, client);
    assert_eq!(bytes, b"abcdefghij");
}

#[tokio::test]
async fn slow_readers_pass_large_data_in_both_directions() {
    use futures_util::{SinkExt, StreamExt};
    let (listener, connection) = websocket_listener().await;
    let server = async {
        let mut socket = accept(&listener).await;
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
        let (_, read) = timeout(DEADLINE, async {
            tokio::join!(write, reading.read_exact(&mut received))
        })
        .await
        .unwrap();
        read.unwrap();
        assert!(received == sent, "the bytes came back changed");
        timeout(DEADLINE, writing.shutdown())
            .await
            .unwrap()
            .unwrap();
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
    response
        .headers_mut()
        .insert("sec-websocket-protocol", asked);
    Ok(response)
}

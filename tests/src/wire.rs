//! A wire between a client and a broker that can be cut. In: the broker's port. Out: another port that leads there. Owns the
//! connections that go through it.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A wire. Its connections end with it.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    connections: Arc<Mutex<JoinSet<()>>>,
    _accepting: JoinSet<()>,
}

impl Wire {
    /// A wire to `broker`, a port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(broker: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let connections: Arc<Mutex<JoinSet<()>>> = Arc::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, broker, Arc::clone(&connections)));
        Ok(Self { port, connections, _accepting: accepting })
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections at once, whatever is under way in them; new ones can be made.
    pub fn cut(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

async fn accept(listener: TcpListener, broker: u16, connections: Arc<Mutex<JoinSet<()>>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let connection = async move {
            if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await {
                // small packets are not to wait here
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                // an error is the end of the connection, which both ends see
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        };
        connections.lock().unwrap_or_else(PoisonError::into_inner).spawn(connection);
    }
}

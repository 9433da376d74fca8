//! A wire between a client and a broker on which things go wrong on command.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Bytes that pass at once. Small, so that a fault comes in the middle of things.
const PORTION: usize = 4096;
/// How often a slow wire lets something pass.
const PACE: Duration = Duration::from_millis(10);

/// The fault of the existing connections. Later ones are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nothing passes any more, and no side notices: sent bytes vanish.
    HalfOpen,
    /// The broker takes nothing any more, and its own packets arrive.
    Stalled,
    /// So many bytes a second pass in each direction.
    Slow(usize),
    /// The next bytes of the broker pass by half; then the connection ends.
    CutWithin,
    /// The connection is reset.
    Reset,
}

/// A wire. Its connections end with it.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    connections: Arc<Mutex<Connections>>,
    _accepting: JoinSet<()>,
}

/// The connections that there are.
#[derive(Debug)]
struct Connections {
    tasks: JoinSet<()>,
    /// Tells them their fault; a later connection gets one of its own.
    fault: watch::Sender<Fault>,
}

impl Wire {
    /// A wire to `broker`, a port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(broker: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let connections = Connections {
            tasks: JoinSet::new(),
            fault: watch::Sender::new(Fault::None),
        };
        let connections = Arc::new(Mutex::new(connections));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, broker, Arc::clone(&connections)));
        Ok(Self {
            port,
            connections,
            _accepting: accepting,
        })
    }

    /// Its own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections at once, whatever is under way in them; new ones can be made.
    pub fn cut(&self) {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tasks
            .abort_all();
    }

    /// Gives the connections that there are a fault; new ones can be made, which have none.
    pub fn fail(&self, fault: Fault) {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connections.fault.send_replace(fault);
        connections.fault = watch::Sender::new(Fault::None);
    }
}

async fn accept(listener: TcpListener, broker: u16, connections: Arc<Mutex<Connections>>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = connections.fault.subscribe();
        connections.tasks.spawn(connection(client, broker, fault));
    }
}

async fn connection(client: TcpStream, broker: u16, fault: watch::Receiver<Fault>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await else {
        return;
    };
    // small packets are not to wait here
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = Pump {
        from: from_client,
        to: to_server,
        fault: fault.clone(),
        up: true,
    };

    let down = Pump {
        from: from_server,
        to: to_client,
        fault,
        up: false,
    };

    tokio::select! {
        () = up.run() => {}
        () = down.run() => {}
    }
}

/// One direction of a connection.
struct Pump {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    fault: watch::Receiver<Fault>,
    /// From the client to the broker.
    up: bool,
}

impl Pump {
    /// Ends with the connection.
    async fn run(mut self) {
        let mut buffer = vec![0; PORTION];
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let fault = *self.fault.borrow_and_update();
            let portion = match fault {
                Fault::Reset => return self.reset(),
                Fault::Slow(rate) => {
                    pace.tick().await;
                    (rate / (1000 / PACE.as_millis() as usize)).clamp(1, PORTION)
                }
                _ => PORTION,
            };

            let stands = fault == Fault::Stalled && self.up;
            let length = tokio::select! {
                // without a sender there is no further fault
                Ok(()) = self.fault.changed() => continue,
                read = self.from.read(&mut buffer[..portion]), if !stands => match read {
                    // nor is anybody told of the end
                    Ok(0) | Err(_) if matches!(fault, Fault::HalfOpen | Fault::Stalled) => {
                        std::future::pending().await
                    }
                    Ok(0) | Err(_) => return,
                    Ok(length) => length,
                },
                else => std::future::pending().await,
            };

            if !self.pass(&buffer[..length], fault).await {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    async fn pass(&mut self, bytes: &[u8], fault: Fault) -> bool {
        match fault {
            Fault::HalfOpen => true,
            Fault::CutWithin if !self.up => {
                // an error is the end that is wanted
                let _ = self.to.write_all(&bytes[..bytes.len().div_ceil(2)]).await;
                false
            }
            _ => self.to.write_all(bytes).await.is_ok(),
        }
    }

    /// Ends in a way that both ends see as a reset.
    fn reset(&self) {
        for stream in [self.from.as_ref(), self.to.as_ref()] {
            // an error means that it has ended already
            let _ = stream.set_zero_linger();
        }
    }
}

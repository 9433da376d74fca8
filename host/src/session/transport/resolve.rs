//! Machine: the addresses of a name. In: a name. Out: its addresses, by the system's resolver. Owns the one look-up that may be under
//! way.
//!
//! The system's resolver blocks a thread, which nobody can end. So there is one look-up at a time: who gives up waiting leaves it
//! to the next one that asks.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Looks names up, one at a time.
#[derive(Debug, Default)]
pub struct Resolver(Mutex<Option<Lookup>>);

/// A look-up under way.
#[derive(Debug)]
struct Lookup {
    name: (String, u16),
    task: JoinHandle<io::Result<Vec<SocketAddr>>>,
}

impl Resolver {
    /// The addresses of `host`, which may be one itself. SendQueue is not bounded here; who stops to wait leaves the look-up to
    /// the next one that asks for the same name.
    ///
    /// # Errors
    /// What the system's resolver says.
    pub async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let mut under_way = self.0.lock().await;
        let name = (host.to_owned(), port);
        // one for another name has no one who wants to know any more
        let former = under_way.take().filter(|lookup| lookup.name == name);
        let lookup = under_way.insert(former.unwrap_or_else(|| Lookup::begin(name)));
        let outcome = (&mut lookup.task).await;
        *under_way = None;
        outcome.map_err(io::Error::other)?
    }
}

impl Lookup {
    fn begin(name: (String, u16)) -> Self {
        let wanted = name.clone();
        let task =
            tokio::task::spawn_blocking(move || wanted.to_socket_addrs().map(Iterator::collect));
        Self { name, task }
    }
}

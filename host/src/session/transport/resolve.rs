//! Name resolution, one look-up at a time.
//!
//! The system's resolver blocks a thread, which nothing can end. A caller that gives up waiting therefore leaves its look-up to the
//! next caller.

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
    /// Resolves `host`, which may be an address itself. There is no time limit here; a caller that stops waiting leaves the look-up to
    /// the next one for the same name.
    ///
    /// # Errors
    /// The error of the system's resolver.
    pub async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let mut current = self.0.lock().await;
        let name = (host.to_owned(), port);
        // nothing waits any more for a look-up of another name
        let former = current.take().filter(|lookup| lookup.name == name);
        let lookup = current.insert(former.unwrap_or_else(|| Lookup::begin(name)));
        let outcome = (&mut lookup.task).await;
        *current = None;
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

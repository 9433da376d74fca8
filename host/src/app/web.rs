//! The HTTP server of the host, if it is configured.

use tokio::task::AbortHandle;
use tracing::info;

use crate::config::Web;
use crate::web::Server;

use super::control::Control;

/// The running server. It ends when this is dropped.
pub(super) struct WebServer(AbortHandle);

impl WebServer {
    /// Starts the server on `pool`, away from the message path.
    ///
    /// # Errors
    /// When its address cannot be listened on, or its certificate cannot be used.
    pub(super) async fn start(
        web: Option<&Web>,
        control: &Control,
        pool: &tokio::runtime::Handle,
    ) -> anyhow::Result<Option<Self>> {
        let Some(web) = web else { return Ok(None) };

        let web = web.clone();
        let requests = control.requests();
        let uploads = control.uploads();
        let opening = pool.spawn(async move { Server::open(&web, requests, uploads).await });
        let server = opening.await??;
        let scheme = server.scheme();
        info!(
            "the HTTP server listens on {scheme}://{}",
            server.address()?
        );
        Ok(Some(Self(pool.spawn(server.serve()).abort_handle())))
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

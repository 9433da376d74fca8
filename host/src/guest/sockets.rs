//! Outgoing TCP and UDP of guests: WASI's interfaces for sockets, which ask the [`SocketPolicy`] first.

use std::net::IpAddr;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::{
    ip_name_lookup, network, tcp_create_socket, udp_create_socket,
};
use wasmtime_wasi::p2::{DynPollable, Network, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView};

use ip_name_lookup::{HostResolveAddressStream, ResolveAddressStream};
use network::{ErrorCode, IpAddress, IpAddressFamily};

use crate::config::SocketProtocol;
use crate::guest::socket_policy::SocketPolicy;
use crate::guest::store::StoreData;

/// Replaces WASI's socket interfaces with ones that check the grants.
pub(super) fn add_to_linker(linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<StoreData, CheckedSockets>(linker, view)?;
    tcp_create_socket::add_to_linker::<StoreData, CheckedSockets>(linker, view)?;
    udp_create_socket::add_to_linker::<StoreData, CheckedSockets>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct CheckedSockets;

impl HasData for CheckedSockets {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    socket_policy: Arc<SocketPolicy>,
    sockets: WasiSocketsCtxView<'a>,
}

fn view(data: &mut StoreData) -> View<'_> {
    View {
        socket_policy: data.socket_policy.clone(),
        sockets: data.sockets(),
    }
}

impl tcp_create_socket::Host for View<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.socket_policy.may_make(SocketProtocol::Tcp)?;
        self.sockets.create_tcp_socket(family)
    }
}

impl udp_create_socket::Host for View<'_> {
    async fn create_udp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> SocketResult<Resource<UdpSocket>> {
        self.socket_policy.may_make(SocketProtocol::Udp)?;
        self.sockets.create_udp_socket(family).await
    }
}

impl ip_name_lookup::Host for View<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        let name = name.to_ascii_lowercase();
        self.socket_policy.may_look_up(&name)?;
        let stream = self.sockets.resolve_addresses(network, name.clone())?;
        self.socket_policy
            .found()
            .lookups
            .insert(stream.rep(), name);
        Ok(stream)
    }
}

impl HostResolveAddressStream for View<'_> {
    /// The next address that the name may lead to.
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let number = stream.rep();
        let name = self
            .socket_policy
            .found()
            .lookups
            .get(&number)
            .cloned()
            .unwrap_or_default();

        while let Some(address) = self
            .sockets
            .resolve_next_address(Resource::new_borrow(number))?
        {
            if self.socket_policy.found_at(&name, ip(address)) {
                return Ok(Some(address));
            }
        }

        Ok(None)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.sockets.subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.socket_policy.found().lookups.remove(&stream.rep());
        HostResolveAddressStream::drop(&mut self.sockets, stream)
    }
}

/// The errors of the interfaces above are those of `wasi:sockets/network`, so its functions are wanted here too.
impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.sockets, error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets, error)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets, network)
    }
}

fn ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => [a, b, c, d].into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => [a, b, c, d, e, f, g, h].into(),
    }
}

//! Outgoing TCP and UDP of guests. A refusal names the line of `miqro.yml` that would grant the access.
//!
//! An address may be reached when a grant names it, or when a granted name led to it in a lookup of this instance, so the
//! connected address is the checked one. Nothing connects to a guest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::{
    ip_name_lookup, network, tcp_create_socket, udp_create_socket,
};
use wasmtime_wasi::p2::{DynPollable, Network, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView, WasiSocketsView};

use ip_name_lookup::{HostResolveAddressStream, ResolveAddressStream};
use network::{ErrorCode, IpAddress, IpAddressFamily};

use crate::config::{SocketGrant, SocketProtocol};
use crate::guest::ip_policy::is_reachable;
use crate::guest::store::StoreData;
use crate::service_ctx::ServiceCtx;

/// Addresses that are remembered for one name; further ones replace all of them.
const ADDRESSES: usize = 256;

/// The longest name in the DNS.
const NAME_BYTES: usize = 253;

/// The addresses that one instance may reach.
pub(super) struct SocketPolicy {
    ctx: Arc<ServiceCtx>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// Addresses of granted names.
    addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The name of each lookup under way.
    lookups: BTreeMap<u32, String>,
}

impl SocketPolicy {
    pub(super) fn new(ctx: &Arc<ServiceCtx>) -> Arc<Self> {
        Arc::new(Self {
            ctx: ctx.clone(),
            found: Mutex::default(),
        })
    }

    /// Has the sockets of `builder` ask here.
    pub(super) fn guard(self: &Arc<Self>, builder: &mut WasiCtxBuilder) {
        let socket_policy = self.clone();
        builder
            .allow_tcp(true)
            .allow_udp(true)
            .allow_ip_name_lookup(true)
            .socket_addr_check(move |address, usage| {
                let may = socket_policy.may(address, usage);
                Box::pin(async move { may })
            });
    }

    fn may(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        let protocol = match usage {
            // an outgoing connection needs a local port, and any will do
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => return address.port() == 0,
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => return false,
            SocketAddrUse::TcpConnect => SocketProtocol::Tcp,
            SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => SocketProtocol::Udp,
        };
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let leads_there = |grant: &SocketGrant| {
            let known = self.found();
            grant.host.parse() == Ok(ip)
                || known
                    .addresses
                    .get(&grant.host)
                    .is_some_and(|found| found.contains(&ip))
        };
        let mut grants = self.ctx.config.grants.sockets.iter();
        if grants
            .any(|grant| grant.protocol == protocol && grant.port == port && leads_there(grant))
        {
            return true;
        }
        // unexpected datagrams are dropped silently
        if !matches!(usage, SocketAddrUse::UdpReceive) {
            let wanted = SocketGrant {
                protocol,
                host: ip.to_string(),
                port,
            };
            self.denied(&wanted.to_string(), &wanted.to_string());
        }
        false
    }

    fn has(&self, protocol: SocketProtocol) -> bool {
        self.ctx
            .config
            .grants
            .sockets
            .iter()
            .any(|grant| grant.protocol == protocol)
    }

    /// Whether a socket may be created: without a grant for its protocol it would only cost a file descriptor.
    fn may_make(&self, protocol: SocketProtocol) -> SocketResult<()> {
        if self.has(protocol) {
            return Ok(());
        }
        self.denied(
            &format!("a {protocol} socket"),
            &format!("{protocol}:HOST:PORT"),
        );
        Err(ErrorCode::AccessDenied.into())
    }

    fn is_granted(&self, host: &str) -> bool {
        self.ctx
            .config
            .grants
            .sockets
            .iter()
            .any(|grant| grant.host == host)
    }

    /// Whether the name may be looked up. Addresses may, because that asks no server.
    fn may_look_up(&self, name: &str) -> SocketResult<()> {
        if name.len() > NAME_BYTES {
            return Err(ErrorCode::InvalidArgument.into());
        }
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if is_address || self.is_granted(name) {
            return Ok(());
        }
        self.denied(&format!("to look up {name}"), &format!("tcp:{name}:PORT"));
        Err(ErrorCode::AccessDenied.into())
    }

    /// Remembers an address of a name; `false`: the name must not lead there.
    fn found_at(&self, name: &str, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        if !is_reachable(ip, name) {
            return false;
        }
        // only granted names are remembered, so the grants bound the memory
        if !self.is_granted(name) {
            return true;
        }
        let mut found = self.found();
        let addresses = found.addresses.entry(name.to_owned()).or_default();
        if addresses.len() >= ADDRESSES {
            addresses.clear();
        }
        addresses.insert(ip);
        true
    }

    fn denied(&self, what: &str, grant: &str) {
        let service = &self.ctx.config.name;
        let line = format!("services.{service}.grants.sockets: [\"{grant}\"]");
        self.ctx.state.meter().denied(what, &line);
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

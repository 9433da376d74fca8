//! Machine: outgoing TCP and UDP of guests. In: sockets that a guest makes, names that it looks up, addresses that it wants to reach.
//! Out: yes, or a refusal and the line of `miqro.yml` that would grant it. Owns what granted names were found to lead to.
//!
//! An address is reached when a grant has it, or when a name that a grant has led to it in a lookup of this instance; so what is
//! connected to is what was checked. Nobody connects to a guest.

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
use crate::guest::reach::reachable;
use crate::guest::store::Data;
use crate::service_ctx::ServiceCtx;

/// Addresses that are remembered for one name; a name with more of them begins anew.
const ADDRESSES: usize = 256;

/// The longest name that the DNS knows.
const NAME_BYTES: usize = 253;

/// Lets one instance reach what its service is granted.
pub(super) struct Door {
    ctx: Arc<ServiceCtx>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// Where granted names led.
    addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The names of lookups under way.
    lookups: BTreeMap<u32, String>,
}

impl Door {
    pub(super) fn new(ctx: &Arc<ServiceCtx>) -> Arc<Self> {
        Arc::new(Self {
            ctx: ctx.clone(),
            found: Mutex::default(),
        })
    }

    /// Has the sockets of `builder` ask here.
    pub(super) fn guard(self: &Arc<Self>, builder: &mut WasiCtxBuilder) {
        let door = self.clone();
        builder
            .allow_tcp(true)
            .allow_udp(true)
            .allow_ip_name_lookup(true)
            .socket_addr_check(move |address, usage| {
                let may = door.may(address, usage);
                Box::pin(async move { may })
            });
    }

    fn may(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        let protocol = match usage {
            // whoever goes out needs a local port, and any will do
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
        // what comes in unasked is dropped without a word
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

    /// Whether a socket may be made at all: without any grant for it, it would only cost a file descriptor.
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

    /// Whether the name may be looked up; addresses may, since nobody is asked about them.
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

    /// Notes where a name leads; `false`: there it must not lead.
    fn found_at(&self, name: &str, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        if !reachable(ip, name) {
            return false;
        }
        // an address needs no name to be found by, and what is remembered is bounded by the grants
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

/// Puts what asks the door into the place of what asks nobody.
pub(super) fn add_to_linker(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<Data, Guarded>(linker, view)?;
    tcp_create_socket::add_to_linker::<Data, Guarded>(linker, view)?;
    udp_create_socket::add_to_linker::<Data, Guarded>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Guarded;

impl HasData for Guarded {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    door: Arc<Door>,
    sockets: WasiSocketsCtxView<'a>,
}

fn view(data: &mut Data) -> View<'_> {
    View {
        door: data.door.clone(),
        sockets: data.sockets(),
    }
}

impl tcp_create_socket::Host for View<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.door.may_make(SocketProtocol::Tcp)?;
        self.sockets.create_tcp_socket(family)
    }
}

impl udp_create_socket::Host for View<'_> {
    async fn create_udp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> SocketResult<Resource<UdpSocket>> {
        self.door.may_make(SocketProtocol::Udp)?;
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
        self.door.may_look_up(&name)?;
        let stream = self.sockets.resolve_addresses(network, name.clone())?;
        self.door.found().lookups.insert(stream.rep(), name);
        Ok(stream)
    }
}

impl HostResolveAddressStream for View<'_> {
    /// Skips addresses to which the name must not lead.
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let number = stream.rep();
        let name = self
            .door
            .found()
            .lookups
            .get(&number)
            .cloned()
            .unwrap_or_default();
        while let Some(address) = self
            .sockets
            .resolve_next_address(Resource::new_borrow(number))?
        {
            if self.door.found_at(&name, ip(address)) {
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
        self.door.found().lookups.remove(&stream.rep());
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

//! The addresses that one guest may reach. A refusal names the line of `miqro.yml` that would grant the access.
//!
//! An address may be reached when a grant names it, or when a granted name led to it in a lookup of this instance, so the
//! connected address is the checked one. Nothing connects to a guest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::SocketResult;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::sockets::SocketAddrUse;

use crate::config::{SocketGrant, SocketProtocol};
use crate::guest::grant_usage::GrantKind;
use crate::guest::ip_policy::is_reachable;
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
pub(super) struct Found {
    /// Addresses of granted names.
    addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The name of each lookup under way.
    pub(super) lookups: BTreeMap<u32, String>,
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

        let ip = address.ip().to_canonical();
        let port = address.port();
        let leads_there = |grant: &SocketGrant| {
            let known = self.found();
            grant.host.parse() == Ok(ip)
                || known
                    .addresses
                    .get(&grant.host)
                    .is_some_and(|found| found.contains(&ip))
        };

        let mut grants = self.ctx.config.grants.sockets.iter();
        if let Some(place) = grants.position(|grant| {
            grant.protocol == protocol && grant.port == port && leads_there(grant)
        }) {
            self.ctx.grant_usage.note(GrantKind::Sockets, place);
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
    pub(super) fn may_make(&self, protocol: SocketProtocol) -> SocketResult<()> {
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
    pub(super) fn may_look_up(&self, name: &str) -> SocketResult<()> {
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
    pub(super) fn found_at(&self, name: &str, ip: IpAddr) -> bool {
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

    pub(super) fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The rule that decides whether an address may be reached under the name in a grant.

use std::net::IpAddr;

/// Loopback, link-local and similar addresses may be reached only when the grant names the address itself: no DNS name leads
/// to this machine or its link.
pub(super) fn is_reachable(ip: IpAddr, host: &str) -> bool {
    if host == "localhost" || host.parse() == Ok(ip) {
        return true;
    }
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.is_multicast())
        }
    }
}

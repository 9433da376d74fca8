//! Pure: whether an address may be reached under the name that a grant has. In: the address, the name. Out: yes or no. Owns nothing.

use std::net::IpAddr;

/// Loopback, link-local and the like are reached only when the grant names them itself: no name leads to this machine or its link.
pub(super) fn reachable(ip: IpAddr, host: &str) -> bool {
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

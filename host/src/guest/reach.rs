//! Pure: whether an address may be reached under the name that a grant has. In: the address, the name. Out: yes or no. Owns nothing.

use std::net::IpAddr;

/// Loopback, link-local and the like are reached only when the grant names them itself: no name leads to this machine or its link.
pub(super) fn reachable(ip: IpAddr, host: &str) -> bool {
    if host == "localhost" || host.parse() == Ok(ip) {
        return true;
    }
    match ip.to_canonical() {
        IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_broadcast()),
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_name_does_not_lead_to_this_machine_or_its_link() {
        for ip in ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert!(!reachable(ip, "innocent.example"), "{ip}");
            assert!(reachable(ip, &ip.to_string()), "{ip}");
        }
        assert!(reachable("192.168.1.1".parse().unwrap(), "router.example"));
        assert!(reachable("127.0.0.1".parse().unwrap(), "localhost"));
    }
}

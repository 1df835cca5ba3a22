//! Whether a host is on the local network, and a mirror on it nearer than any public one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True for a host on this machine or the local network: private (RFC 1918), link-local, loopback and
/// unique local (RFC 4193) addresses; names of a single label; and names under `.local` (RFC 6762),
/// `.lan`, `.internal`, `.home.arpa` (RFC 8375) and `.localhost` (RFC 6761). An IPv6 address may stand in
/// brackets and carry a zone.
pub fn is_local(host: &str) -> bool {
    let unbracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let address = unbracketed.split('%').next().unwrap_or_default();
    match address.parse() {
        Ok(IpAddr::V4(address)) => is_local_v4(address),
        Ok(IpAddr::V6(address)) => is_local_v6(address),
        Err(_) => is_local_name(host),
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_link_local() || address.is_loopback()
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_local_v4(mapped);
    }
    address.is_loopback() || address.is_unicast_link_local() || address.is_unique_local()
}

fn is_local_name(name: &str) -> bool {
    const DOMAINS: [&str; 5] = [".local", ".lan", ".internal", ".home.arpa", ".localhost"];
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let single_label = !name.is_empty() && !name.contains(['.', ':', '[']);
    single_label || DOMAINS.iter().any(|domain| name.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let local = "127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.1.1 ::1 \
                     [::1] fe80::1 [fe80::1%25eth0] [febf::1] fc00::1 [fd12:3456::1] ::ffff:10.0.0.1";
        let public = "8.8.8.8 172.15.0.1 172.32.0.1 192.169.0.1 100.64.0.1 0.0.0.0 2001:db8::1 [2001:db8::1] \
                      fec0::1 ::ffff:8.8.8.8 [::g]";
        assert_eq!(local.split(' ').filter(|host| !is_local(host)).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(public.split(' ').filter(|host| is_local(host)).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn names() {
        let local = "localhost mirror mirror. Mirror.LAN nas.local nas.local. cache.internal \
                     nas.home.arpa a.localhost";
        let public = "distfiles.gentoo.org local.example notlocal.org mylan.de home.arpa.example .";
        assert_eq!(local.split(' ').filter(|host| !is_local(host)).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(public.split(' ').filter(|host| is_local(host)).collect::<Vec<_>>(), [""; 0]);
        assert!(!is_local(""));
    }
}

//! Ports and threads of the HTTP servers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use anyhow::Context;

/// Takes a port. `flag` is the one that chooses another.
pub(super) fn bind(address: &str, port: u16, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((address, port))
        .with_context(|| format!("cannot listen on {address}:{port}; choose another with {flag}"))
}

/// The address that this machine reaches another process at that listens on this one.
pub(super) fn reachable(address: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let resolved = (address, port).to_socket_addrs()?.next().context("no such address")?;
    Ok(specified(resolved))
}

/// The address that this machine reaches a listener at.
pub(super) fn specified(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The threads of one server; 0 asks for one a core.
pub(super) fn threads(wanted: usize) -> usize {
    match wanted {
        0 => cores().min(8),
        wanted => wanted,
    }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

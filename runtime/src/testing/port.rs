//! Ports of the loopback interface.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Below the range from which systems take the ports of outgoing connections. From that range, a client that tries to
/// reach a stopped server may be given the server's own port, connect to itself and keep the server from coming back.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// A TCP port of 127.0.0.1 on which nobody listens; never the same twice in a process.
///
/// # Panics
/// When none is left.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin at different places.
    let offset = std::process::id().wrapping_mul(211);
    for _ in 0..COUNT {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + offset.wrapping_add(step) % COUNT).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {} on 127.0.0.1", FIRST + COUNT)
}

/// Whether somebody listens on `port` of 127.0.0.1.
pub fn is_open(port: u16) -> bool {
    TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(1)).is_ok()
}

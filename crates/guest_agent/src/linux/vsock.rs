//! Sockets of the hypervisor (`AF_VSOCK`).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, bind, connect, socket};

/// The address of whatever runs the machine.
const HOST: u32 = 2;
/// The address that takes connections to any of ours.
const ANY: u32 = u32::MAX;
/// How many connections wait.
const BACKLOG: i32 = 4;

fn stream() -> io::Result<OwnedFd> {
    let made = socket(
        AddressFamily::Vsock,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    );
    Ok(made?)
}

/// Waits for connections at a port.
pub(super) fn listen(port: u32) -> io::Result<OwnedFd> {
    let socket = stream()?;
    bind(socket.as_raw_fd(), &VsockAddr::new(ANY, port))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// The next connection.
pub(super) fn accept(listener: &OwnedFd) -> io::Result<File> {
    Ok(File::from(rustix::net::accept(listener)?))
}

/// A connection to a port of the host.
pub(super) fn connect_to_host(port: u32) -> io::Result<OwnedFd> {
    let socket = stream()?;
    connect(socket.as_raw_fd(), &VsockAddr::new(HOST, port))?;
    Ok(socket)
}

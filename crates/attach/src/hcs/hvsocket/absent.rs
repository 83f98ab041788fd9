//! Where the hypervisor is not Hyper-V, it has no sockets.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

pub(super) fn connect(_machine: u128, _service: u128, _limit: Duration) -> io::Result<TcpStream> {
    let what =
        "sockets of Hyper-V are a part of Windows; on this system lead a tunnel to the agent";
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}

//! Where the host is heard, and a thread for each.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use guest_proto::HYPERVISOR_PORT;

use crate::agent::Agent;
use crate::conversation::{Ending, hold};

/// Where the host is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Every port of virtio with a name of ours.
    Ports,
    /// The standard streams.
    Stdio,
    /// A Unix socket that is made there.
    Unix(PathBuf),
    /// A port of the hypervisor's own sockets.
    Vsock(u32),
    /// An address of TCP.
    Tcp(String),
}

impl Place {
    /// Reads a place as the command line names it.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "ports" => Some(Self::Ports),
            None if text == "stdio" => Some(Self::Stdio),
            None if text == "vsock" => Some(Self::Vsock(HYPERVISOR_PORT)),
            Some(("unix", path)) => Some(Self::Unix(path.into())),
            Some(("vsock", port)) => port.parse().ok().map(Self::Vsock),
            Some(("tcp", address)) => Some(Self::Tcp(address.to_owned())),
            _ => None,
        }
    }
}

/// Hears the host at a place until it ends, which a socket or a port never does.
///
/// # Errors
/// Where there is no such place or it is broken.
pub fn serve(place: &Place, agent: &Arc<Agent>) -> io::Result<()> {
    match place {
        Place::Stdio => hold(io::stdin(), io::stdout(), Arc::clone(agent), Ending::Final),
        Place::Tcp(address) => {
            for stream in TcpListener::bind(address)?.incoming() {
                let stream = stream?;
                let (reader, agent) = (stream.try_clone()?, Arc::clone(agent));
                std::thread::spawn(move || hold(reader, stream, agent, Ending::Final));
            }
            Ok(())
        }
        #[cfg(target_os = "linux")]
        Place::Ports => crate::linux::ports::serve(agent),
        #[cfg(target_os = "linux")]
        Place::Unix(path) => crate::linux::ports::serve_unix(path, agent),
        #[cfg(target_os = "linux")]
        Place::Vsock(port) => crate::linux::ports::serve_vsock(*port, agent),
        #[cfg(windows)]
        Place::Ports => crate::windows::ports::serve(agent),
        #[cfg(windows)]
        Place::Vsock(port) => crate::windows::hvsocket::serve(*port, agent),
        #[cfg(not(target_os = "linux"))]
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

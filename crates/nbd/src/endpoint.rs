//! Where clients connect: a socket file of the host or a port of the loopback interface.

use std::fmt::{self, Write as _};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;

use crate::stream::{Socket, Stream};
#[cfg(unix)]
use crate::unix_socket::SocketFile;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A port of the loopback interface; port 0 lets the host choose one.
    Tcp(SocketAddr),
    /// A socket file, for its owner alone. Not on Windows.
    Unix(PathBuf),
}

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The protocol has no login and no encryption, so no other machine may reach it.
    #[error("{address} is no address of the loopback interface")]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// Something else stands at the path or listens at the port.
    #[error("{endpoint} is taken")]
    Taken {
        /// Where.
        endpoint: Endpoint,
    },
    /// This system has no socket files.
    #[error("socket files are not supported on this system")]
    Unsupported,
    /// The host refused.
    #[error("listening at {endpoint} failed")]
    Host {
        /// Where.
        endpoint: Endpoint,
        /// What the host said.
        source: io::Error,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Endpoint {
    /// The address in the form that clients take: `nbd://127.0.0.1:10809/data` or
    /// `nbd+unix:///data?socket=/run/data.sock`.
    pub fn uri(&self, export: &str) -> String {
        let export = escape(export.as_bytes(), b"/");
        match self {
            Self::Tcp(address) => format!("nbd://{address}/{export}"),
            Self::Unix(path) => {
                let path = path.as_os_str().as_encoded_bytes();
                format!("nbd+unix:///{export}?socket={}", escape(path, b"/"))
            }
        }
    }
}

/// Escapes what has a meaning in an address or is not printable ([RFC 3986] 2.3), but for `kept`.
fn escape(bytes: &[u8], kept: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A socket that takes clients.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(SocketFile),
}

impl Listener {
    /// Listens.
    pub(crate) fn bind(endpoint: &Endpoint) -> Result<Self, BindError> {
        let bound = match endpoint {
            Endpoint::Tcp(address) if !address.ip().is_loopback() => {
                return Err(BindError::NotLoopback { address: *address });
            }
            Endpoint::Tcp(address) => TcpListener::bind(address).map(Self::Tcp),
            #[cfg(unix)]
            Endpoint::Unix(path) => SocketFile::bind(path).map(Self::Unix),
            #[cfg(not(unix))]
            Endpoint::Unix(_) => return Err(BindError::Unsupported),
        };
        let endpoint = || endpoint.clone();
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::AlreadyExists => BindError::Taken {
                endpoint: endpoint(),
            },
            _ => BindError::Host {
                endpoint: endpoint(),
                source,
            },
        })
    }

    /// Where it listens, with the port that the host chose.
    pub(crate) fn endpoint(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Endpoint::Tcp),
            #[cfg(unix)]
            Self::Unix(socket) => Ok(Endpoint::Unix(socket.path().to_owned())),
        }
    }

    /// Waits for a client.
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener
                .accept()
                .map(|(stream, _)| Stream::new(Socket::Tcp(stream))),
            #[cfg(unix)]
            Self::Unix(socket) => socket
                .accept()
                .map(|stream| Stream::new(Socket::Unix(stream))),
        }
    }
}

/// Connects and hangs up, so that whoever waits in [`Listener::accept`] looks up.
pub(crate) fn knock(endpoint: &Endpoint) {
    // A failure means that nobody listens, or that others wait to be accepted: both will do.
    match endpoint {
        Endpoint::Tcp(address) => drop(TcpStream::connect(address)),
        #[cfg(unix)]
        Endpoint::Unix(path) => drop(std::os::unix::net::UnixStream::connect(path)),
        #[cfg(not(unix))]
        Endpoint::Unix(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_the_form_that_clients_take() {
        let tcp = Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 10809)));
        assert_eq!(tcp.uri("my data"), "nbd://127.0.0.1:10809/my%20data");
        let unix = Endpoint::Unix("/run/a b?.sock".into());
        assert_eq!(unix.uri(""), "nbd+unix:///?socket=/run/a%20b%3F.sock");
    }

    #[test]
    fn other_machines_are_never_served() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:10809"] {
            let endpoint = Endpoint::Tcp(address.parse().unwrap());
            let error = Listener::bind(&endpoint).unwrap_err();
            assert!(matches!(error, BindError::NotLoopback { .. }), "{error}");
        }
    }
}

//! What the monitor is reached by.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// A stream whose reads and writes give up after a while.
pub trait QmpStream: Read + Write + Send {
    /// How long the next read or write waits at most; never zero. Those that take longer fail with
    /// `TimedOut` or `WouldBlock`.
    ///
    /// # Errors
    /// The host's.
    fn set_patience(&mut self, left: Duration) -> io::Result<()>;
}

impl QmpStream for TcpStream {
    fn set_patience(&mut self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

#[cfg(unix)]
impl QmpStream for std::os::unix::net::UnixStream {
    fn set_patience(&mut self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

impl QmpStream for Box<dyn QmpStream> {
    fn set_patience(&mut self, left: Duration) -> io::Result<()> {
        (**self).set_patience(left)
    }
}

/// Where a monitor listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QmpAddress {
    /// At a socket file: `-qmp unix:PATH,server=on,wait=off`.
    Unix(PathBuf),
    /// At a port: `-qmp tcp:127.0.0.1:PORT,server=on,wait=off`.
    Tcp(SocketAddr),
}

impl QmpAddress {
    /// Connects.
    ///
    /// # Errors
    /// The host's: `NotFound` and `ConnectionRefused` where nobody listens.
    pub fn connect(&self, patience: Duration) -> io::Result<Box<dyn QmpStream>> {
        match self {
            #[cfg(unix)]
            Self::Unix(path) => Ok(Box::new(std::os::unix::net::UnixStream::connect(path)?)),
            #[cfg(not(unix))]
            Self::Unix(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "socket files are not there on this system; give the monitor a port",
            )),
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, patience)?;
                // Commands are short, and each waits for its answer.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl fmt::Display for QmpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

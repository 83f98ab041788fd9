//! The way to the agent in a guest: a stream that is connected by the first request, and again after it
//! broke.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use attach::Channel;

/// How long a socket of this host may take to be connected.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The channel to the agent at the other end of the serial port of a machine of QEMU.
#[cfg(unix)]
pub(crate) fn socket(path: &Path) -> impl Channel + 'static {
    let path = path.to_owned();
    AgentChannel::new(move || std::os::unix::net::UnixStream::connect(&path))
}

/// Where there are no such sockets, nobody answers.
#[cfg(not(unix))]
pub(crate) fn socket(_path: &Path) -> impl Channel + 'static {
    AgentChannel::<TcpStream>::new(|| Err(io::ErrorKind::Unsupported.into()))
}

/// The channel to the agent at an address of this host.
pub(crate) fn tcp(address: SocketAddr) -> impl Channel + 'static {
    AgentChannel::new(move || {
        let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
        // Requests are small and waited for.
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

/// A stream, and how it is had.
pub(crate) struct AgentChannel<S> {
    connect: Box<dyn FnMut() -> io::Result<S> + Send>,
    stream: Option<S>,
}

impl<S: Channel> AgentChannel<S> {
    pub(crate) fn new(connect: impl FnMut() -> io::Result<S> + Send + 'static) -> Self {
        Self {
            connect: Box::new(connect),
            stream: None,
        }
    }

    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut S) -> io::Result<T>,
        is_end: impl FnOnce(&T) -> bool,
    ) -> io::Result<T> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert((self.connect)()?),
        };
        let done = act(stream);
        let is_over = match &done {
            Ok(done) => is_end(done),
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        };
        if is_over {
            self.stream = None;
        }
        done
    }
}

impl<S: Channel> Channel for AgentChannel<S> {
    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.with(|stream| stream.read(buffer, limit), |read| *read == 0)
    }

    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<usize> {
        self.with(|stream| stream.write(bytes, limit), |_| false)
    }
}

//! The way to the agent in a guest of QEMU: the socket at the other end of its serial port. It is
//! connected to by the first request, and again after it broke.

use std::io;
use std::path::Path;
use std::time::Duration;

use attach::Channel;

#[cfg(unix)]
use std::os::unix::net::UnixStream;

/// The channel to the agent at a socket.
#[cfg(unix)]
pub(crate) fn socket(path: &Path) -> impl Channel + 'static {
    AgentSocket {
        path: path.to_owned(),
        stream: None,
    }
}

#[cfg(unix)]
struct AgentSocket {
    path: std::path::PathBuf,
    stream: Option<UnixStream>,
}

#[cfg(unix)]
impl AgentSocket {
    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut UnixStream) -> io::Result<T>,
        is_end: impl FnOnce(&T) -> bool,
    ) -> io::Result<T> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(UnixStream::connect(&self.path)?),
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

#[cfg(unix)]
impl Channel for AgentSocket {
    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.with(
            |stream| Channel::read(stream, buffer, limit),
            |read| *read == 0,
        )
    }

    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<usize> {
        self.with(|stream| Channel::write(stream, bytes, limit), |_| false)
    }
}

/// Where there are no such sockets, nobody answers.
#[cfg(not(unix))]
pub(crate) fn socket(_path: &Path) -> impl Channel + 'static {
    Nobody
}

#[cfg(not(unix))]
struct Nobody;

#[cfg(not(unix))]
impl Channel for Nobody {
    fn read(&mut self, _buffer: &mut [u8], _limit: Duration) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&mut self, _bytes: &[u8], _limit: Duration) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

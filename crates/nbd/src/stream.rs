//! A connection, whatever carries it: both directions of it may be used at once from any thread.
//!
//! Ending a connection wakes whoever waits in it. Unix does that by itself. On Windows a thread that
//! waits to receive is not woken, so there it looks up every now and then.

use std::io;
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often somebody who waits to receive looks up; `None` where he is woken.
const LOOKS_UP: Option<Duration> = if cfg!(windows) {
    Some(Duration::from_millis(200))
} else {
    None
};

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody ended the connection.
    has_ended: AtomicBool,
    /// Whoever receives waits as long as it takes.
    is_patient: AtomicBool,
}

#[derive(Debug)]
pub(crate) enum Socket {
    /// Over the loopback interface.
    Tcp(TcpStream),
    /// Over a path of the host.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            state: Arc::default(),
        }
    }

    /// Another handle to the same connection.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let socket = match &self.socket {
            Socket::Tcp(stream) => Socket::Tcp(stream.try_clone()?),
            #[cfg(unix)]
            Socket::Unix(stream) => Socket::Unix(stream.try_clone()?),
        };
        Ok(Self {
            socket,
            state: Arc::clone(&self.state),
        })
    }

    /// Ends receiving, or both directions, for all handles.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.state.has_ended.store(true, Ordering::SeqCst);
        match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(how),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.shutdown(how),
        }
    }

    /// Receiving fails if it waits longer than `limit`.
    pub(crate) fn limit_waiting(&self, limit: Duration) -> io::Result<()> {
        self.state.is_patient.store(false, Ordering::SeqCst);
        self.set_read_timeout(Some(limit))
    }

    /// Receiving waits until something comes or the connection ends.
    pub(crate) fn wait_for_ever(&self) -> io::Result<()> {
        self.state.is_patient.store(true, Ordering::SeqCst);
        self.set_read_timeout(LOOKS_UP)
    }

    fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_read_timeout(limit),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.set_read_timeout(limit),
        }
    }

    /// How long sending may wait; `None`: for ever. What was sent before the limit is not known.
    pub(crate) fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_write_timeout(limit),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.set_write_timeout(limit),
        }
    }

    /// Sends small replies at once.
    pub(crate) fn set_no_delay(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_nodelay(true),
            #[cfg(unix)]
            Socket::Unix(_) => Ok(()),
        }
    }

    fn read_once(&self, buf: &mut [u8]) -> io::Result<usize> {
        use io::Read as _;
        match &self.socket {
            Socket::Tcp(stream) => (&*stream).read(buf),
            #[cfg(unix)]
            Socket::Unix(stream) => (&*stream).read(buf),
        }
    }
}

impl io::Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.read_once(buf) {
                Err(error) if is_timeout(&error) => {
                    if self.state.has_ended.load(Ordering::SeqCst) {
                        return Ok(0);
                    }
                    if !self.state.is_patient.load(Ordering::SeqCst) {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

impl io::Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &self.socket {
            Socket::Tcp(stream) => (&*stream).write(buf),
            #[cfg(unix)]
            Socket::Unix(stream) => (&*stream).write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Streams of bytes to a guest, with an end to every wait.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// A stream of bytes in both directions.
pub trait Channel: Send {
    /// Reads what is there, waiting for it no longer than `limit`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `TimedOut` or `WouldBlock` where nothing came; any other where the stream is broken.
    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize>;

    /// Writes some of the bytes, waiting for room no longer than `limit`.
    ///
    /// # Errors
    /// As for [`Channel::read`].
    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<usize>;
}

/// Sockets take no wait of zero for one.
fn at_least(limit: Duration) -> Option<Duration> {
    Some(limit.max(Duration::from_millis(1)))
}

impl Channel for TcpStream {
    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.set_read_timeout(at_least(limit))?;
        Read::read(self, buffer)
    }

    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<usize> {
        self.set_write_timeout(at_least(limit))?;
        Write::write(self, bytes)
    }
}

#[cfg(unix)]
impl Channel for std::os::unix::net::UnixStream {
    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.set_read_timeout(at_least(limit))?;
        Read::read(self, buffer)
    }

    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<usize> {
        self.set_write_timeout(at_least(limit))?;
        Write::write(self, bytes)
    }
}

/// How many pieces wait in each direction.
const PIECES: usize = 4;
/// The longest piece.
const PIECE: usize = 16 << 10;

/// A channel over two streams that know no limit to a wait, such as the pipes of a process or a pair
/// of named pipes: a thread each reads and writes. Both end with their stream.
pub struct PipeChannel {
    incoming: Receiver<io::Result<Vec<u8>>>,
    outgoing: SyncSender<Vec<u8>>,
    /// What was received and not read yet.
    left: Vec<u8>,
}

impl PipeChannel {
    /// A channel that reads from one and writes to the other.
    pub fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Self {
        let (to_us, incoming) = sync_channel(PIECES);
        let (outgoing, from_us) = sync_channel(PIECES);
        std::thread::spawn(move || read_all(reader, &to_us));
        std::thread::spawn(move || write_all(writer, &from_us));
        Self {
            incoming,
            outgoing,
            left: Vec::new(),
        }
    }
}

fn read_all(mut reader: impl Read, to_us: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = vec![0; PIECE];
        let read = match reader.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) => return,
            Ok(length) => {
                piece.truncate(length);
                Ok(piece)
            }
            Err(error) => Err(error),
        };
        let is_last = read.is_err();
        if to_us.send(read).is_err() || is_last {
            return;
        }
    }
}

fn write_all(mut writer: impl Write, from_us: &Receiver<Vec<u8>>) {
    for piece in from_us {
        if writer
            .write_all(&piece)
            .and_then(|()| writer.flush())
            .is_err()
        {
            return;
        }
    }
}

impl Channel for PipeChannel {
    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        if self.left.is_empty() {
            match self.incoming.recv_timeout(limit) {
                Ok(piece) => self.left = piece?,
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.left.len());
        for (to, from) in buffer.iter_mut().zip(self.left.drain(..length)) {
            *to = from;
        }
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<usize> {
        let length = bytes.len().min(PIECE);
        let mut piece = bytes.get(..length).unwrap_or_default().to_vec();
        let end = Instant::now() + limit;
        loop {
            piece = match self.outgoing.try_send(piece) {
                Ok(()) => return Ok(length),
                Err(TrySendError::Disconnected(_)) => {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                Err(TrySendError::Full(piece)) => piece,
            };
            if Instant::now() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Nobody tells when there is room again; a guest that does not read is rare.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

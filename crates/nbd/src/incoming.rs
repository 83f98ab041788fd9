//! Requests as they come from a client, some at a time.
//!
//! A client that keeps many requests in flight sends them together; whoever reads takes all that
//! have arrived, up to a bound, so that a system call is paid for many. What may take long ends what
//! is taken, so that it keeps nobody waiting.

use std::io::{self, Read};
use std::ops::Range;

use zerocopy::FromBytes;

use crate::format::{REQUEST_MAGIC, RequestHeader, command, command_flag};
use crate::handshake::MAX_REQUEST_LENGTH;
use crate::scratch::Scratch;

/// Bytes of a connection that are read ahead.
const BUFFER_LENGTH: usize = 128 * 1024;
/// Requests that are taken together.
const MAX_TAKEN: usize = 32;
/// Bytes read and written by requests that are taken together, unless a single one has more.
const MAX_TAKEN_BYTES: u64 = 256 * 1024;
const HEADER_LENGTH: usize = size_of::<RequestHeader>();

/// Why a connection ended before its client left by the rules.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// The client does not speak the protocol.
    #[error("the client broke the protocol: {0}")]
    Protocol(&'static str),
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[from] io::Error),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) command: u16,
    pub(crate) flags: u16,
    pub(crate) cookie: u64,
    /// First byte on the disk.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) length: u32,
    /// Where the bytes of a write stand in those of the batch.
    payload: Range<usize>,
}

/// Requests taken together, and the bytes that came with them. Its memory is used again.
#[derive(Default)]
pub(crate) struct Batch {
    requests: Vec<Request>,
    payload: Scratch,
    bytes: u64,
}

/// The receiving side of a connection.
pub(crate) struct Incoming<R> {
    stream: R,
    buffer: Box<[u8]>,
    /// What of the buffer has arrived and is not taken.
    filled: Range<usize>,
    has_ended: bool,
}

impl Batch {
    fn clear(&mut self) {
        self.requests.clear();
        self.payload.clear();
        self.bytes = 0;
    }

    /// Whether the client has left.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The requests in the order in which they were sent, each with the bytes that came with it.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&Request, &[u8])> {
        let payload = self.payload.as_bytes();
        let requests = self.requests.iter();
        requests.map(move |request| (request, &payload[request.payload.clone()]))
    }

    fn is_full(&self) -> bool {
        self.requests.len() >= MAX_TAKEN || self.bytes >= MAX_TAKEN_BYTES
    }
}

impl<R: Read> Incoming<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER_LENGTH].into_boxed_slice(),
            filled: 0..0,
            has_ended: false,
        }
    }

    /// Waits for a request and takes it with those that have arrived behind it; none where the
    /// client has left.
    ///
    /// # Errors
    /// The connection is of no use afterwards; later calls take nothing.
    pub(crate) fn take(&mut self, batch: &mut Batch) -> Result<(), ConnectionError> {
        batch.clear();
        let taken = self.take_some(batch);
        if taken.is_err() {
            self.has_ended = true;
        }
        taken
    }

    fn take_some(&mut self, batch: &mut Batch) -> Result<(), ConnectionError> {
        while !self.has_ended && !batch.is_full() {
            let is_first = batch.requests.is_empty();
            let Some(header) = self.next_header(is_first)? else {
                break;
            };
            if header.command.get() == command::DISCONNECT {
                self.has_ended = true;
                break;
            }
            let is_slow = is_slow(&header);
            let bytes = u64::from(header.length.get());
            if !is_first && (is_slow || batch.bytes + bytes > MAX_TAKEN_BYTES) {
                break;
            }
            self.filled.start += HEADER_LENGTH;
            let payload = self.take_payload(&header, batch)?;
            batch.requests.push(Request {
                command: header.command.get(),
                flags: header.flags.get(),
                cookie: header.cookie.get(),
                offset: header.offset.get(),
                length: header.length.get(),
                payload,
            });
            batch.bytes += bytes;
            if is_slow {
                break;
            }
        }
        Ok(())
    }

    /// The next head: waited for where `wait`, otherwise only if it has arrived with all its bytes.
    fn next_header(&mut self, wait: bool) -> Result<Option<RequestHeader>, ConnectionError> {
        if wait && !self.fill(HEADER_LENGTH)? {
            self.has_ended = true;
            return Ok(None);
        }
        let arrived = &self.buffer[self.filled.clone()];
        let Ok((header, rest)) = RequestHeader::read_from_prefix(arrived) else {
            return Ok(None);
        };
        if header.magic.get() != REQUEST_MAGIC {
            return Err(ConnectionError::Protocol("a request without its magic"));
        }
        let is_write = header.command.get() == command::WRITE;
        if is_write && header.length.get() > MAX_REQUEST_LENGTH {
            return Err(ConnectionError::Protocol("a write longer than allowed"));
        }
        if !wait && is_write && rest.len() < payload_length(&header) {
            return Ok(None);
        }
        Ok(Some(header))
    }

    /// Moves the bytes of a write to the batch.
    fn take_payload(
        &mut self,
        header: &RequestHeader,
        batch: &mut Batch,
    ) -> Result<Range<usize>, ConnectionError> {
        let start = batch.payload.mark();
        if header.command.get() != command::WRITE {
            return Ok(start..start);
        }
        let length = payload_length(header);
        let (early, late) = batch
            .payload
            .room(length)
            .split_at_mut(length.min(self.filled.len()));
        let from = self.filled.start;
        early.copy_from_slice(&self.buffer[from..from + early.len()]);
        self.filled.start += early.len();
        self.stream.read_exact(late)?;
        Ok(start..start + length)
    }

    /// Reads until `length` bytes have arrived; `false` where the client left before the first.
    fn fill(&mut self, length: usize) -> io::Result<bool> {
        while self.filled.len() < length {
            if self.filled.is_empty() {
                self.filled = 0..0;
            } else if self.filled.start + length > self.buffer.len() {
                self.buffer.copy_within(self.filled.clone(), 0);
                self.filled = 0..self.filled.len();
            }
            match self.stream.read(&mut self.buffer[self.filled.end..]) {
                Ok(0) if self.filled.is_empty() => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.filled.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn payload_length(header: &RequestHeader) -> usize {
    usize::try_from(header.length.get()).unwrap_or(usize::MAX)
}

/// Whether a request may wait for the host's disk, or has much to do.
fn is_slow(header: &RequestHeader) -> bool {
    let flags = header.flags.get();
    match header.command.get() {
        command::READ => false,
        command::WRITE => flags & command_flag::FUA != 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(command: u16, flags: u16, length: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = REQUEST_MAGIC.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(command.to_be_bytes());
        bytes.extend(7_u64.to_be_bytes());
        bytes.extend(512_u64.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// Gives out at most so many bytes a call.
    struct Trickle<'b>(&'b [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buf.len());
            (&mut self.0).take(u64::try_from(count).unwrap()).read(buf)
        }
    }

    fn commands(incoming: &mut Incoming<impl Read>) -> Result<Vec<(u16, usize)>, ConnectionError> {
        let mut batch = Batch::default();
        incoming.take(&mut batch)?;
        let requests = batch.requests();
        Ok(requests
            .map(|(request, payload)| (request.command, payload.len()))
            .collect())
    }

    #[test]
    fn what_arrived_together_is_taken_together_up_to_what_is_slow() {
        let mut bytes = request(command::READ, 0, 4096, &[]);
        bytes.extend(request(command::WRITE, 0, 3, b"abc"));
        bytes.extend(request(command::FLUSH, 0, 0, &[]));
        bytes.extend(request(command::READ, 0, 4096, &[]));
        bytes.extend(request(command::DISCONNECT, 0, 0, &[]));
        let mut incoming = Incoming::new(&bytes[..]);
        let read = (command::READ, 0);
        for expected in [
            vec![read, (command::WRITE, 3)],
            vec![(command::FLUSH, 0)],
            vec![read],
            vec![],
            vec![],
        ] {
            assert_eq!(commands(&mut incoming).unwrap(), expected);
        }
    }

    #[test]
    fn a_request_may_arrive_a_byte_at_a_time_and_be_longer_than_the_buffer() {
        let long = vec![7; 2 * BUFFER_LENGTH + 5];
        let mut bytes = request(command::WRITE, 0, 3, b"abc");
        let length = u32::try_from(long.len()).unwrap();
        bytes.extend(request(command::WRITE, 0, length, &long));
        for step in [1, 1000, usize::MAX] {
            let mut incoming = Incoming::new(Trickle(&bytes, step));
            assert_eq!(commands(&mut incoming).unwrap(), [(command::WRITE, 3)]);
            let taken = commands(&mut incoming).unwrap();
            assert_eq!(taken, [(command::WRITE, long.len())]);
            assert_eq!(commands(&mut incoming).unwrap(), []);
        }
    }

    #[test]
    fn what_breaks_the_protocol_ends_the_connection_for_good() {
        let mut magic = request(command::READ, 0, 1, &[]);
        magic[0] ^= 1;
        let long = request(command::WRITE, 0, MAX_REQUEST_LENGTH + 1, &[]);
        let cut = request(command::WRITE, 0, 4, b"abc");
        let cut_head = request(command::READ, 0, 4, &[])[..27].to_vec();
        for bytes in [magic, long, cut, cut_head] {
            let mut incoming = Incoming::new(&bytes[..]);
            assert!(commands(&mut incoming).is_err(), "{bytes:?}");
            assert_eq!(commands(&mut incoming).unwrap(), []);
        }
    }
}

//! Lines out of a stream, each of a bounded length and read by a certain time.

use std::io;
use std::time::Instant;

use super::stream::QmpStream;

/// How much is read at once.
const PIECE: usize = 16 << 10;

/// Why there is no line.
#[derive(Debug)]
pub(super) enum LineFault {
    /// None came in time; what came of it is kept.
    TimedOut,
    /// The stream ended; whether in the middle of a line.
    Ended { in_line: bool },
    /// It is longer than may be.
    TooLong,
    /// The host failed.
    Io(io::Error),
}

/// What has been read and not taken yet.
#[derive(Debug)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Up to here there is no line end.
    searched: usize,
    longest: usize,
}

impl Lines {
    pub(super) fn new(longest: usize) -> Self {
        Self {
            bytes: Vec::new(),
            searched: 0,
            longest,
        }
    }

    /// The next line without its end.
    pub(super) fn next(
        &mut self,
        stream: &mut impl QmpStream,
        deadline: Instant,
    ) -> Result<Vec<u8>, LineFault> {
        loop {
            match self.take() {
                Some(line) if line.len() <= self.longest => return Ok(line),
                None if self.bytes.len() <= self.longest => {}
                _ => return Err(LineFault::TooLong),
            }
            self.read(stream, deadline)?;
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let rest = self.bytes.get(self.searched..)?;
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.bytes.len();
            return None;
        };
        let end = self.searched + end;
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        line.pop();
        self.searched = 0;
        Some(line)
    }

    fn read(&mut self, stream: &mut impl QmpStream, deadline: Instant) -> Result<(), LineFault> {
        let mut piece = [0; PIECE];
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LineFault::TimedOut);
        }
        stream.set_patience(left).map_err(LineFault::Io)?;
        match stream.read(&mut piece) {
            Ok(0) => Err(LineFault::Ended {
                in_line: !self.bytes.is_empty(),
            }),
            Ok(length) => {
                self.bytes.extend(piece.iter().take(length));
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Err(LineFault::TimedOut),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    Err(LineFault::Ended {
                        in_line: !self.bytes.is_empty(),
                    })
                }
                _ => Err(LineFault::Io(error)),
            },
        }
    }
}

//! A conversation whose half of the client is known in advance: without a socket and without threads.

use std::io::{self, Read, Write};

use blockio::{ByteCount, MemoryDisk, SectorSize};

use crate::answer::Answerer;
use crate::export::Export;
use crate::handshake;
use crate::incoming::{Batch, Incoming};
use crate::reply::Replies;

/// What a client says, and what it is answered.
struct Recorded<'c> {
    said: &'c [u8],
    answers: Vec<u8>,
}

impl Read for Recorded<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.said.read(buf)
    }
}

impl Write for Recorded<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.answers.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Body of the fuzz target of the protocol: `data` is all that a client says to a server of a disk of
/// 1 MiB. Returns what it is answered.
///
/// Memory is bounded by the largest request, work by the length of `data`.
pub fn fuzz_session(data: &[u8]) -> Vec<u8> {
    const SIZE: ByteCount = ByteCount(1 << 20);
    let Some(disk) = MemoryDisk::new(SIZE, SectorSize::B512) else {
        return Vec::new();
    };
    let Ok(export) = Export::new("data", &disk) else {
        return Vec::new();
    };
    let mut recorded = Recorded {
        said: data,
        answers: Vec::new(),
    };
    let Ok(agreement) = handshake::negotiate(&mut recorded, std::slice::from_ref(&export)) else {
        return recorded.answers;
    };
    let answerer = Answerer::new(&export, agreement);
    let mut incoming = Incoming::new(recorded.said);
    let mut answers = recorded.answers;
    let (mut batch, mut replies) = (Batch::default(), Replies::default());
    while incoming.take(&mut batch).is_ok() && !batch.is_empty() {
        replies.clear();
        for (request, payload) in batch.requests() {
            answerer.answer(request, payload, &mut replies);
        }
        // Only the last are kept: a short input can ask for much.
        answers.clear();
        answers.extend_from_slice(replies.as_bytes());
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_client_is_answered_as_a_live_one_is() {
        let mut said = 3_u32.to_be_bytes().to_vec();
        // EXPORT_NAME, then a read of two bytes.
        said.extend(b"IHAVEOPT\0\0\0\x01\0\0\0\x04data");
        said.extend(b"\x25\x60\x95\x13\0\0\0\0cookie!!\0\0\0\0\0\0\0\0\0\0\0\x02");
        let answers = fuzz_session(&said);
        assert_eq!(answers, b"\x67\x44\x66\x98\0\0\0\0cookie!!\0\0");
    }
}

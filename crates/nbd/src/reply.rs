//! Replies, laid out in one piece of memory and sent together.

use zerocopy::IntoBytes;

use crate::format::{
    ChunkHeader, ErrorPayload, HolePayload, REPLY_FLAG_DONE, SIMPLE_REPLY_MAGIC,
    STRUCTURED_REPLY_MAGIC, SimpleReply, chunk,
};
use crate::scratch::Scratch;

/// Replies that wait to be sent.
#[derive(Default)]
pub(crate) struct Replies {
    bytes: Scratch,
}

impl Replies {
    /// Forgets all replies.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// What is to be sent.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }

    /// A place to come back to by [`Replies::rewind`].
    pub(crate) fn mark(&self) -> usize {
        self.bytes.mark()
    }

    /// Takes back all that was added since `mark`.
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.bytes.rewind(mark);
    }

    /// The last `length` bytes that were added.
    pub(crate) fn last(&self, length: u32) -> &[u8] {
        let bytes = self.as_bytes();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        &bytes[bytes.len().saturating_sub(length)..]
    }

    /// A simple reply; where `error` is 0 and something was read, its bytes have to follow.
    pub(crate) fn simple(&mut self, cookie: u64, error: u32) {
        let reply = SimpleReply {
            magic: SIMPLE_REPLY_MAGIC.into(),
            error: error.into(),
            cookie: cookie.into(),
        };
        self.push(reply.as_bytes());
    }

    /// Room for `length` bytes, to be filled by the caller: they hold anything.
    pub(crate) fn room(&mut self, length: usize) -> &mut [u8] {
        self.bytes.room(length)
    }

    /// The head of a reply in one chunk that holds `length` bytes read at `offset`; they have to follow.
    pub(crate) fn data_chunk(&mut self, cookie: u64, offset: u64, length: u32) {
        let place = offset.to_be_bytes();
        // No overflow: requests are bounded to far less than 32 bits.
        self.chunk(cookie, chunk::OFFSET_DATA, length.saturating_add(8));
        self.push(&place);
    }

    /// A reply in one chunk that says a range reads as zeros.
    pub(crate) fn hole_chunk(&mut self, cookie: u64, offset: u64, length: u32) {
        let payload = HolePayload {
            offset: offset.into(),
            length: length.into(),
        };
        self.chunk(cookie, chunk::OFFSET_HOLE, length_of(payload.as_bytes()));
        self.push(payload.as_bytes());
    }

    /// The head of a chunk of block status; `length` bytes have to follow.
    pub(crate) fn status_chunk(&mut self, cookie: u64, length: u32) {
        self.chunk(cookie, chunk::BLOCK_STATUS, length);
    }

    /// A whole reply without content, for a request that read nothing.
    pub(crate) fn nothing_chunk(&mut self, cookie: u64) {
        const NONE: u16 = 0;
        self.chunk(cookie, NONE, 0);
    }

    /// The last chunk of a reply that failed, with a message for people.
    pub(crate) fn error_chunk(&mut self, cookie: u64, error: u32, message: &str) {
        let message = cut(message, 512);
        let payload = ErrorPayload {
            error: error.into(),
            message_length: u16::try_from(message.len()).unwrap_or(0).into(),
        };
        let length = length_of(payload.as_bytes()).saturating_add(length_of(message));
        self.chunk(cookie, chunk::ERROR, length);
        self.push(payload.as_bytes());
        self.push(message);
    }

    /// Adds bytes as they are.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    fn chunk(&mut self, cookie: u64, kind: u16, length: u32) {
        let header = ChunkHeader {
            magic: STRUCTURED_REPLY_MAGIC.into(),
            flags: REPLY_FLAG_DONE.into(),
            kind: kind.into(),
            cookie: cookie.into(),
            length: length.into(),
        };
        self.push(header.as_bytes());
    }
}

/// Bytes of something short.
fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The first `limit` bytes of a text at most, whole characters.
fn cut(text: &str, limit: usize) -> &[u8] {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text.as_bytes()[..end]
}

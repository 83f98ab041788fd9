//! Compressed streams, told by their first bytes and never by a name.
//!
//! Invariant: however the stream was made, unpacking takes bounded memory. What comes out is as long
//! as it likes; whoever reads stops where nothing more fits.

use std::io::{self, Cursor, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// The longest magic number.
const MAGIC_BYTES: usize = 6;
/// Memory for unpacking xz: its largest preset needs 65 MiB.
const XZ_MEMORY_BYTES: u64 = 256 << 20;
/// The window of zstd, as a power of two: what its own tool takes without being asked.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Unpacked bytes handed from one thread to the other at a time, and how many such pieces wait.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES: usize = 4;

/// How a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// xz.
    Xz,
}

/// A way of packing that is known and cannot be undone here.
#[derive(Debug, thiserror::Error)]
#[error("it is packed with {0}, which is not supported: unpack it first")]
pub(super) struct UnknownCompression(&'static str);

/// The stream unpacked, in a thread of its own where there is work to do.
///
/// # Errors
/// Of the input; one that carries [`UnknownCompression`].
pub(super) fn unpacked(mut input: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    let limit = u64::try_from(MAGIC_BYTES).unwrap_or(0);
    (&mut *input).take(limit).read_to_end(&mut magic)?;
    let kind = kind(&magic)?;
    let whole = Cursor::new(magic).chain(input);
    Ok(match kind {
        Compression::None => Box::new(whole),
        Compression::Gzip => in_thread(Box::new(MultiGzDecoder::new(whole)))?,
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            in_thread(Box::new(decoder))?
        }
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY_BYTES, CONCATENATED)?;
            in_thread(Box::new(XzDecoder::new_stream(whole, stream)))?
        }
    })
}

fn kind(magic: &[u8]) -> io::Result<Compression> {
    let unknown = |name| Err(io::Error::other(UnknownCompression(name)));
    match magic {
        [0x1F, 0x8B, ..] => Ok(Compression::Gzip),
        [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Ok(Compression::Zstd),
        [0xFD, b'7', b'z', b'X', b'Z', 0] => Ok(Compression::Xz),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => unknown("bzip2"),
        [0x04, 0x22, 0x4D, 0x18, ..] => unknown("lz4"),
        [0x1F, 0x9D, ..] => unknown("compress"),
        _ => Ok(Compression::None),
    }
}

/// Reads in a thread, a few pieces ahead. Dropping what is returned ends the thread at its next
/// piece.
fn in_thread(mut input: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let (sender, pieces) = sync_channel(PIECES);
    thread::Builder::new()
        .name("unpack".to_owned())
        .spawn(move || {
            loop {
                let (bytes, end) = piece(&mut *input);
                if !bytes.is_empty() && sender.send(Ok(bytes)).is_err() {
                    return;
                }
                match end {
                    End::NotYet => {}
                    End::Whole => return,
                    End::Failed(error) => {
                        // Where nobody listens any more, nobody misses it.
                        drop(sender.send(Err(error)));
                        return;
                    }
                }
            }
        })?;
    Ok(Box::new(Pieces {
        pieces,
        piece: Cursor::new(Vec::new()),
        is_done: false,
    }))
}

/// How a piece ended.
enum End {
    NotYet,
    Whole,
    Failed(io::Error),
}

/// The next bytes.
fn piece(input: &mut dyn Read) -> (Vec<u8>, End) {
    let mut bytes = vec![0; PIECE_BYTES];
    let mut done = 0;
    let end = loop {
        if done == bytes.len() {
            break End::NotYet;
        }
        match input.read(&mut bytes[done..]) {
            Ok(0) => break End::Whole,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break End::Failed(error),
        }
    };
    bytes.truncate(done);
    (bytes, end)
}

/// What a thread sends, as a stream.
struct Pieces {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
    is_done: bool,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(out)?;
            if count > 0 || self.is_done || out.is_empty() {
                return Ok(count);
            }
            // The thread lets go of the channel after its last piece.
            let Ok(next) = self.pieces.recv() else {
                self.is_done = true;
                return Ok(0);
            };
            self.piece = Cursor::new(next?);
        }
    }
}

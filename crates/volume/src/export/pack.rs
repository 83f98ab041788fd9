//! Where the archive goes: packed and written in a thread of its own, while the next part is made.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use flate2::GzBuilder;
use liblzma::write::XzEncoder;

use crate::tar_tree::Compression;

/// Bytes handed over at a time, and how many such pieces there are.
const PIECE_BYTES: usize = 1 << 20;
const PIECES: usize = 4;
/// The levels that the tools take by themselves.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
const XZ_LEVEL: u32 = 6;

/// A writer that hands what it is given to a thread.
pub(super) struct Packed {
    full: Option<SyncSender<Piece>>,
    empty: Receiver<Vec<u8>>,
    /// Always of [`PIECE_BYTES`], of which so many are used.
    piece: Piece,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// A buffer, and how much of it is used.
type Piece = (Vec<u8>, usize);

/// Packs and writes.
trait Sink: Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn finish(self: Box<Self>) -> io::Result<()>;
}

type Output = Box<dyn Write + Send>;

struct Plain(Output);
struct Gzip(flate2::write::GzEncoder<Output>);
struct Zstd(zstd::Encoder<'static, Output>);
struct Xz(XzEncoder<Output>);

impl Sink for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sink for Gzip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()?.flush()
    }
}

impl Sink for Zstd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()?.flush()
    }
}

impl Sink for Xz {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()?.flush()
    }
}

fn sink(out: Output, compression: Compression) -> io::Result<Box<dyn Sink>> {
    Ok(match compression {
        Compression::None => Box::new(Plain(out)),
        // Without the time of now in its head.
        Compression::Gzip => Box::new(Gzip(
            GzBuilder::new()
                .mtime(0)
                .write(out, flate2::Compression::new(GZIP_LEVEL)),
        )),
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            Box::new(Zstd(encoder))
        }
        Compression::Xz => Box::new(Xz(XzEncoder::new(out, XZ_LEVEL))),
    })
}

impl Packed {
    pub(super) fn new(out: Output, compression: Compression) -> io::Result<Self> {
        let mut sink = sink(out, compression)?;
        let (full, pieces) = sync_channel::<Piece>(PIECES);
        let (give_back, empty) = sync_channel(PIECES);
        let thread = thread::Builder::new()
            .name("pack".to_owned())
            .spawn(move || {
                for (piece, used) in pieces {
                    sink.write(piece.get(..used).unwrap_or_default())?;
                    // Nobody takes it back after the last one.
                    drop(give_back.try_send(piece));
                }
                sink.finish()
            })?;
        Ok(Self {
            full: Some(full),
            empty,
            piece: (vec![0; PIECE_BYTES], 0),
            thread: Some(thread),
        })
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.room(bytes.len());
            let count = room.len();
            let (now, later) = bytes.split_at(count);
            room.copy_from_slice(now);
            self.filled(count)?;
            bytes = later;
        }
        Ok(())
    }

    /// Where the next bytes go, at most `most` of them; never empty.
    pub(super) fn room(&mut self, most: usize) -> &mut [u8] {
        let (piece, used) = &mut self.piece;
        let end = used.saturating_add(most).min(piece.len());
        piece.get_mut(*used..end).unwrap_or_default()
    }

    /// So many bytes were put where [`Packed::room`] said.
    pub(super) fn filled(&mut self, count: usize) -> io::Result<()> {
        self.piece.1 += count;
        if self.piece.1 >= PIECE_BYTES {
            self.send()?;
        }
        Ok(())
    }

    /// Hands the piece over and takes an empty one.
    fn send(&mut self) -> io::Result<()> {
        let next = self.empty.try_recv();
        let next = next.unwrap_or_else(|_| vec![0; PIECE_BYTES]);
        let piece = std::mem::replace(&mut self.piece, (next, 0));
        let sent = self.full.as_ref().map(|full| full.send(piece));
        match sent {
            Some(Ok(())) => Ok(()),
            // The thread ended, which only a failure makes it do.
            _ => Err(self.failure()),
        }
    }

    /// Why the thread ended.
    fn failure(&mut self) -> io::Error {
        self.full = None;
        let result = self.thread.take().map(JoinHandle::join);
        match result {
            Some(Ok(Err(error))) => error,
            _ => io::Error::other("writing stopped"),
        }
    }

    /// Writes what is left and waits until all is written.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.piece.1 > 0 {
            self.send()?;
        }
        self.full = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Err(io::Error::other("writing stopped")),
        }
    }
}

impl Drop for Packed {
    /// An archive that was given up: the thread ends and lets go of the output.
    fn drop(&mut self) {
        self.full = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

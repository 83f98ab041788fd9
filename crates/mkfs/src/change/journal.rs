//! The journal of a change: how all of it happens, or nothing.
//!
//! ```text
//!   1  flush              file data lies in clusters that are still free
//!   2  journal, sync      from here on the change has happened; nothing of it is on the disk yet
//!   3  guards, flush      whoever else opens the volume now sees that it is to be checked
//!   4  pieces, flush      all structures are new
//!   5  guards off, flush  the volume is whole, and says so
//!   6  journal emptied, sync
//! ```
//! A crash before the end of 2 leaves the old state: a journal that is not whole is none. A crash
//! later is followed by [`recover`], which begins again at 3 and may itself be cut short.
//!
//! A change may come with another size of the disk. A disk that grows does so before the change is
//! made, and a [`Growth`] in the journal says so meanwhile: without a change behind it, it is undone.
//! A disk that shrinks does so after 5, and before 6; [`ChangeSet::final_size`] says how far.
//!
//! The journal stands beside the image, where others do not see it. So it says of each sector what it
//! was before: [`recover`] touches nothing where a sector is neither old nor new, because then
//! somebody else has written since.

use blockio::{
    BlockKind, BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, IoError, IoErrorKind,
    Operation, SectorSize, Storage,
};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ChangeError;
use super::checksum::crc64;

const MAGIC: [u8; 8] = *b"CVOLCHG2";
const GROWTH_MAGIC: [u8; 8] = *b"CVOLGRW1";
/// Where a change stands in a journal that begins with a [`Growth`].
const BEHIND_GROWTH: u64 = 4096;
/// Bytes of the largest journal that is read: twice what a change may write, and the heads.
const MAX_JOURNAL: u64 = 2 << 30;
/// Bytes written to the disk in one step.
const MAX_STEP: usize = 1 << 20;

/// Head of a journal.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    /// Of all that follows this field, to the end of the journal.
    checksum: U64,
    /// Bytes of the journal.
    length: U64,
    /// Bytes of the disk that it belongs to.
    disk_size: U64,
    /// Bytes of the disk when all is done.
    final_size: U64,
    /// Bytes of a piece.
    piece: U32,
    unused: U32,
    /// Pieces that follow.
    count: U64,
}
const _: () = assert!(size_of::<Header>() == 56);
/// Where the checksummed part begins.
const CHECKED_FROM: usize = 16;

/// Head of a piece; its new bytes follow, then those of its guard where it has one.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PieceHeader {
    /// On the disk, in bytes.
    offset: U64,
    /// Checksum of the bytes that the change found there.
    before: U64,
    /// 1 where a guard follows.
    guarded: U32,
    unused: U32,
}
const _: () = assert!(size_of::<PieceHeader>() == 24);

/// A sector that a change writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    offset: ByteOffset,
    before: u64,
    after: Box<[u8]>,
    /// What it is while the change is applied.
    during: Option<Box<[u8]>>,
}

impl Piece {
    pub(super) fn new(
        offset: ByteOffset,
        before: &[u8],
        after: Box<[u8]>,
        during: Option<Box<[u8]>>,
    ) -> Self {
        Self {
            offset,
            before: crc64(before),
            after,
            during,
        }
    }
}

/// All that a change writes: sectors in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSet {
    disk_size: ByteCount,
    final_size: ByteCount,
    piece: u64,
    pieces: Vec<Piece>,
}

impl ChangeSet {
    pub(super) fn new(disk_size: ByteCount, piece: u64, pieces: Vec<Piece>) -> Self {
        Self {
            disk_size,
            final_size: disk_size,
            piece,
            pieces,
        }
    }

    /// A change of nothing on `disk`.
    pub(crate) fn nothing(disk: &dyn Disk) -> Self {
        Self::new(disk.size(), disk.logical_sector_size().bytes(), Vec::new())
    }

    /// This change and another one of the same disk, of other sectors, as one.
    pub(crate) fn joined(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self.pieces.sort_by_key(|piece| piece.offset);
        self
    }

    /// The same change, after which the disk is cut to `size`.
    pub(crate) fn with_final_size(mut self, size: ByteCount) -> Self {
        self.final_size = size;
        self
    }

    /// Bytes that the disk has when the change is complete: less than it has before where it is to
    /// be cut, which is for the caller to do.
    pub fn final_size(&self) -> ByteCount {
        self.final_size
    }

    /// Whether nothing is changed, and the disk not cut.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.final_size == self.disk_size
    }

    /// Bytes that the change writes.
    pub fn size(&self) -> ByteCount {
        let count = u64::try_from(self.pieces.len()).unwrap_or(u64::MAX);
        ByteCount(count.saturating_mul(self.piece))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; size_of::<Header>()];
        for piece in &self.pieces {
            let header = PieceHeader {
                offset: piece.offset.get().into(),
                before: piece.before.into(),
                guarded: u32::from(piece.during.is_some()).into(),
                unused: U32::ZERO,
            };
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(&piece.after);
            bytes.extend_from_slice(piece.during.as_deref().unwrap_or_default());
        }
        let mut header = Header {
            magic: MAGIC,
            checksum: U64::ZERO,
            length: u64::try_from(bytes.len()).unwrap_or(u64::MAX).into(),
            disk_size: self.disk_size.get().into(),
            final_size: self.final_size.get().into(),
            piece: u32::try_from(self.piece).unwrap_or(0).into(),
            unused: U32::ZERO,
            count: u64::try_from(self.pieces.len()).unwrap_or(u64::MAX).into(),
        };
        bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
        header.checksum = crc64(&bytes[CHECKED_FROM..]).into();
        bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
        bytes
    }

    /// The change in a journal; `None` where there is none that was written whole.
    ///
    /// # Errors
    /// Of the storage.
    pub fn read(journal: &dyn Storage) -> Result<Option<Self>, ChangeError> {
        let base = base_of(journal)?;
        let length = journal.len()?.get().saturating_sub(base);
        let header_length = u64::try_from(size_of::<Header>()).unwrap_or(u64::MAX);
        if length < header_length || length > MAX_JOURNAL {
            return Ok(None);
        }
        let mut head = [0; size_of::<Header>()];
        journal.read_at(&mut head, ByteOffset(base))?;
        let Ok(header) = Header::ref_from_bytes(&head) else {
            return Ok(None);
        };
        if header.magic != MAGIC
            || header.length.get() < header_length
            || header.length.get() > length
        {
            return Ok(None);
        }
        let Ok(whole) = usize::try_from(header.length.get()) else {
            return Ok(None);
        };
        let mut bytes = vec![0; whole];
        journal.read_at(&mut bytes, ByteOffset(base))?;
        Ok(Self::decode(&bytes))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, mut rest) = Header::ref_from_prefix(bytes).ok()?;
        if crc64(bytes.get(CHECKED_FROM..)?) != header.checksum.get() {
            return None;
        }
        let piece = SectorSize::from_bytes(u64::from(header.piece.get()))?.bytes();
        let size = usize::try_from(piece).ok()?;
        let mut pieces = Vec::new();
        // Ends: each turn takes bytes.
        while !rest.is_empty() {
            let (head, after) = PieceHeader::ref_from_prefix(rest).ok()?;
            let (new, after) = after.split_at_checked(size)?;
            let (during, after) = match head.guarded.get() {
                0 => (None, after),
                _ => after
                    .split_at_checked(size)
                    .map(|(during, rest)| (Some(during.into()), rest))?,
            };
            pieces.push(Piece {
                offset: ByteOffset(head.offset.get()),
                before: head.before.get(),
                after: new.into(),
                during,
            });
            rest = after;
        }
        let is_ascending = pieces.windows(2).all(|pair| {
            pair[0]
                .offset
                .get()
                .checked_add(piece)
                .is_some_and(|end| end <= pair[1].offset.get())
        });
        let count = u64::try_from(pieces.len()).ok()?;
        (is_ascending && count == header.count.get()).then(|| Self {
            disk_size: ByteCount(header.disk_size.get()),
            final_size: ByteCount(header.final_size.get()),
            piece,
            pieces,
        })
    }

    /// Makes the change happen on `disk`, all of it or nothing. The journal is empty before and
    /// after; where this fails with [`ChangeError::Recorded`] it holds the change, which
    /// [`recover`] completes.
    ///
    /// # Errors
    /// Of the disk and the storage. After any error but `Recorded` the disk holds the old state.
    pub fn commit(&self, disk: &dyn Disk, journal: &dyn Storage) -> Result<(), ChangeError> {
        if self.is_empty() {
            return Ok(());
        }
        self.begin(disk, journal)?;
        forget(journal).map_err(ChangeError::Recorded)
    }

    /// As [`ChangeSet::commit`], but the journal stays, for a disk that is to be cut: that, and
    /// [`forget`], are left to the caller.
    ///
    /// # Errors
    /// As for [`ChangeSet::commit`].
    pub fn begin(&self, disk: &dyn Disk, journal: &dyn Storage) -> Result<(), ChangeError> {
        self.reserve(disk)?;
        // The data of new files first: structures that name it may be on the disk as soon as the
        // journal is.
        disk.flush()?;
        self.record(journal)?;
        self.apply(disk).map_err(ChangeError::Recorded)
    }

    /// Completes a change that was recorded, but for cutting the disk; may be called again.
    ///
    /// # Errors
    /// [`ChangeError::Conflict`] where somebody else has written since; of the disk.
    pub fn complete(&self, disk: &dyn Disk) -> Result<(), ChangeError> {
        self.check(disk)?;
        self.apply(disk).map_err(ChangeError::Recorded)
    }

    /// Takes space of the host for what is going to be written, by writing zeros where the disk
    /// reads zeros: a host that is full says so now, not in the middle.
    fn reserve(&self, disk: &dyn Disk) -> Result<(), ChangeError> {
        let zeros = vec![0; usize::try_from(self.piece).unwrap_or(0)];
        for piece in &self.pieces {
            let range = ByteRange::new(piece.offset, ByteCount(self.piece));
            if let Some(range) = range
                && disk.block_status(range)?.kind == BlockKind::Hole
            {
                disk.write_at(&zeros, piece.offset)?;
            }
        }
        Ok(())
    }

    fn record(&self, journal: &dyn Storage) -> Result<(), ChangeError> {
        let bytes = self.encode();
        let base = base_of(journal)?;
        let recorded = journal
            .write_at(&bytes, ByteOffset(base))
            // The change has happened once its journal is durable, and not before.
            .and_then(|()| journal.sync());
        recorded.map_err(|error| {
            // Whether it is durable is not known; it must not be found by anybody.
            match forget(journal) {
                Ok(()) => ChangeError::Disk(error),
                Err(_) => ChangeError::Recorded(error),
            }
        })
    }

    fn apply(&self, disk: &dyn Disk) -> Result<(), IoError> {
        let guards = || self.pieces.iter().filter(|piece| piece.during.is_some());
        if guards().next().is_some() {
            for piece in guards() {
                disk.write_at(piece.during.as_deref().unwrap_or_default(), piece.offset)?;
            }
            // The warning must be there before the first thing that it warns of.
            disk.flush()?;
        }
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        for piece in self.pieces.iter().filter(|piece| piece.during.is_none()) {
            let end = run.0 + u64::try_from(run.1.len()).unwrap_or(0);
            if end != piece.offset.get() || run.1.len() >= MAX_STEP {
                write_run(disk, &run)?;
                run = (piece.offset.get(), Vec::new());
            }
            run.1.extend_from_slice(&piece.after);
        }
        write_run(disk, &run)?;
        // Everything must be new before the warning goes and before the journal does.
        disk.flush()?;
        if guards().next().is_some() {
            for piece in guards() {
                disk.write_at(&piece.after, piece.offset)?;
            }
            // The journal is forgotten only when nothing is missing any more.
            disk.flush()?;
        }
        Ok(())
    }

    /// Whether each sector of the disk is as the change found it, or as it makes it.
    fn check(&self, disk: &dyn Disk) -> Result<(), ChangeError> {
        // Cut already, perhaps: no piece lies behind the end then.
        if disk.size() != self.disk_size && disk.size() != self.final_size {
            return Err(ChangeError::Conflict {
                offset: ByteOffset(0),
            });
        }
        let mut now = vec![0; usize::try_from(self.piece).unwrap_or(0)];
        for piece in &self.pieces {
            disk.read_at(&mut now, piece.offset)?;
            let is_known = *now == *piece.after
                || piece
                    .during
                    .as_deref()
                    .is_some_and(|during| *now == *during)
                || crc64(&now) == piece.before;
            if !is_known {
                return Err(ChangeError::Conflict {
                    offset: piece.offset,
                });
            }
        }
        Ok(())
    }

    /// The disk as it will be when the change is complete, to be read only.
    ///
    /// # Errors
    /// [`ChangeError::Conflict`] where the disk is not the one that the change was made for.
    pub fn complete_view<D: Disk>(self, disk: D) -> Result<ChangedDisk<D>, ChangeError> {
        self.check(&disk)?;
        Ok(ChangedDisk { disk, change: self })
    }
}

fn write_run(disk: &dyn Disk, run: &(u64, Vec<u8>)) -> Result<(), IoError> {
    if run.1.is_empty() {
        return Ok(());
    }
    disk.write_at(&run.1, ByteOffset(run.0))
}

/// Where a change stands in a journal.
fn base_of(journal: &dyn Storage) -> Result<u64, IoError> {
    Ok(match Growth::read(journal)? {
        Some(_) => BEHIND_GROWTH,
        None => 0,
    })
}

/// Notes that a disk grows, for a change that is to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Bytes that the disk had, and has again where no change follows.
    pub from: ByteCount,
    /// Bytes that it gets.
    pub to: ByteCount,
}

/// A [`Growth`] at the start of a journal.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct GrowthHead {
    magic: [u8; 8],
    from: U64,
    to: U64,
    /// Of all before.
    checksum: U64,
}
const _: () = assert!(size_of::<GrowthHead>() == 32);

impl Growth {
    /// Writes it to an empty journal, durably.
    ///
    /// # Errors
    /// Of the storage; nothing has begun then.
    pub fn record(self, journal: &dyn Storage) -> Result<(), ChangeError> {
        let mut head = GrowthHead {
            magic: GROWTH_MAGIC,
            from: self.from.get().into(),
            to: self.to.get().into(),
            checksum: U64::ZERO,
        };
        head.checksum = crc64(&head.as_bytes()[..24]).into();
        journal.write_at(head.as_bytes(), ByteOffset(0))?;
        // Before the disk grows: who finds it larger must know why.
        Ok(journal.sync()?)
    }

    /// What a journal begins with, if that is it.
    ///
    /// # Errors
    /// Of the storage.
    pub fn read(journal: &dyn Storage) -> Result<Option<Self>, IoError> {
        let mut bytes = [0; size_of::<GrowthHead>()];
        if journal.len()?.get() < u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
            return Ok(None);
        }
        journal.read_at(&mut bytes, ByteOffset(0))?;
        let Ok(head) = GrowthHead::ref_from_bytes(&bytes) else {
            return Ok(None);
        };
        let is_whole = head.magic == GROWTH_MAGIC && crc64(&bytes[..24]) == head.checksum.get();
        Ok(is_whole.then(|| Self {
            from: ByteCount(head.from.get()),
            to: ByteCount(head.to.get()),
        }))
    }
}

/// Empties the journal, durably.
///
/// # Errors
/// Of the storage.
pub fn forget(journal: &dyn Storage) -> Result<(), IoError> {
    journal.set_len(ByteCount(0))?;
    // The next change must not be mixed with this one.
    journal.sync()
}

/// What a journal held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing that ever happened.
    Nothing,
    /// A change, which is complete now.
    Completed,
}

/// Completes the change that a journal holds, if any, and empties the journal. May be called again.
///
/// # Errors
/// [`ChangeError::Conflict`] where somebody else has written since; of the disk and the storage.
pub fn recover(disk: &dyn Disk, journal: &dyn Storage) -> Result<Recovery, ChangeError> {
    let Some(change) = ChangeSet::read(journal)? else {
        if journal.len()?.get() > 0 {
            forget(journal)?;
        }
        return Ok(Recovery::Nothing);
    };
    change.complete(disk)?;
    forget(journal).map_err(ChangeError::Recorded)?;
    Ok(Recovery::Completed)
}

/// A disk seen through a change that is recorded but not complete; nothing can be written.
#[derive(Debug)]
pub struct ChangedDisk<D> {
    disk: D,
    change: ChangeSet,
}

impl<D: Disk> ChangedDisk<D> {
    fn refuse(operation: Operation, offset: ByteOffset, length: ByteCount) -> IoError {
        IoError::new(IoErrorKind::ReadOnly, operation, offset, length)
    }

    /// The pieces that touch a range.
    fn pieces(&self, start: u64, end: u64) -> &[Piece] {
        let piece = self.change.piece;
        let pieces = &self.change.pieces;
        let first = pieces.partition_point(|p| p.offset.get().saturating_add(piece) <= start);
        let last = pieces.partition_point(|p| p.offset.get() < end);
        pieces.get(first..last).unwrap_or_default()
    }
}

impl<D: Disk> Disk for ChangedDisk<D> {
    fn size(&self) -> ByteCount {
        self.disk.size().min(self.change.final_size)
    }

    fn logical_sector_size(&self) -> SectorSize {
        self.disk.logical_sector_size()
    }

    fn physical_sector_size(&self) -> SectorSize {
        self.disk.physical_sector_size()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<(), IoError> {
        self.disk.read_at(buf, offset)?;
        let start = offset.get();
        let end = start + u64::try_from(buf.len()).unwrap_or(0);
        for piece in self.pieces(start, end) {
            let at = piece.offset.get();
            let (from, to) = (at.max(start), (at + self.change.piece).min(end));
            let index = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
            buf[index(from - start)..index(to - start)]
                .copy_from_slice(&piece.after[index(from - at)..index(to - at)]);
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<(), IoError> {
        let length = ByteCount(u64::try_from(buf.len()).unwrap_or(u64::MAX));
        Err(Self::refuse(Operation::Write, offset, length))
    }

    fn flush(&self) -> Result<(), IoError> {
        Ok(())
    }

    fn discard(&self, range: ByteRange) -> Result<(), IoError> {
        Err(Self::refuse(Operation::Discard, range.start(), range.len()))
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<(), IoError> {
        Err(Self::refuse(Operation::Zero, range.start(), range.len()))
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus, IoError> {
        let status = self.disk.block_status(range)?;
        let (start, end) = (status.range.start(), status.range.end());
        let Some(piece) = self.pieces(start.get(), end.get()).first() else {
            return Ok(status);
        };
        let (at, kind) = (piece.offset.get(), status.kind);
        // Up to the first piece as below, then that piece as data.
        let (end, kind) = if at > start.get() {
            (at, kind)
        } else {
            ((at + self.change.piece).min(end.get()), BlockKind::Data)
        };
        let range = ByteRange::between(start, ByteOffset(end)).unwrap_or(status.range);
        Ok(BlockStatus { range, kind })
    }
}

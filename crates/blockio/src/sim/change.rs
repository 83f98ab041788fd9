//! One change to a simulated storage, and how it is put into an image, whole or torn.

use std::fmt;
use std::sync::Arc;

use super::recipe::{Tear, sector_count};
use crate::sparse::{PAGE, PAGE_BYTES, Page, PageMap};

/// Bytes of a write within one page; whole pages are shared by all images that hold them.
enum Piece {
    Page(Arc<Page>),
    Part(Vec<u8>),
}

/// A write, cut at page borders.
pub(super) struct Write {
    start: u64,
    end: u64,
    pieces: Vec<Piece>,
}

/// A change to a storage, or what lies between two.
pub(super) enum Change {
    Write(Write),
    Zero { start: u64, end: u64 },
    SetLen(u64),
    Sync,
    FailedSync,
    Mark(String),
}

impl Write {
    /// The write of `bytes` at `start`; their end fits in 64 bits.
    pub(super) fn new(start: u64, bytes: &[u8]) -> Self {
        let mut pieces = Vec::new();
        let mut rest = bytes;
        let into_page = usize::try_from(start % PAGE_BYTES).unwrap_or(0);
        let mut room = PAGE - into_page;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(room.min(rest.len()));
            pieces.push(match <&Page>::try_from(now) {
                Ok(page) => Piece::Page(Arc::new(*page)),
                Err(_) => Piece::Part(now.to_vec()),
            });
            rest = later;
            room = PAGE;
        }
        Self {
            start,
            end: start + u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            pieces,
        }
    }

    /// Puts the bytes of `[from, to)`, a part of the write, into the image.
    fn apply(&self, from: u64, to: u64, image: &mut PageMap) {
        let first_page = self.start / PAGE_BYTES;
        let skip = from / PAGE_BYTES - first_page;
        let pieces = self
            .pieces
            .iter()
            .skip(usize::try_from(skip).unwrap_or(usize::MAX));
        for (page, piece) in (from / PAGE_BYTES..).zip(pieces) {
            let page_start = page * PAGE_BYTES;
            if page_start >= to {
                break;
            }
            let bytes: &[u8] = match piece {
                Piece::Page(whole) if from <= page_start && page_start + PAGE_BYTES <= to => {
                    image.put_page(page, Arc::clone(whole));
                    continue;
                }
                Piece::Page(whole) => whole.as_slice(),
                Piece::Part(part) => part,
            };
            let piece_start = self.start.max(page_start);
            let low = from.max(piece_start);
            let high = to.min(page_start + PAGE_BYTES).min(self.end);
            let within = |offset: u64| usize::try_from(offset - piece_start).unwrap_or(usize::MAX);
            if let Some(bytes) = bytes.get(within(low)..within(high)) {
                image.write(low, bytes);
            }
        }
    }
}

impl Change {
    /// Puts the change, or the sectors of it that the tear leaves, into the image.
    pub(super) fn apply(&self, tear: Option<Tear>, image: &mut PageMap) {
        match self {
            Self::SetLen(len) => image.set_len(*len),
            Self::Sync | Self::FailedSync | Self::Mark(_) => {}
            Self::Write(write) => match tear {
                None => write.apply(write.start, write.end, image),
                Some(tear) => {
                    for (from, to) in tear.pieces(write.start, write.end) {
                        write.apply(from, to, image);
                    }
                }
            },
            Self::Zero { start, end } => match tear {
                None => image.zero(*start, *end),
                Some(tear) => {
                    for (from, to) in tear.pieces(*start, *end) {
                        image.zero(from, to);
                    }
                }
            },
        }
    }

    /// The bytes that a write or zeroing covers.
    fn span(&self) -> Option<(u64, u64)> {
        match self {
            Self::Write(write) => Some((write.start, write.end)),
            Self::Zero { start, end } => Some((*start, *end)),
            _ => None,
        }
    }

    /// How many sectors a write or zeroing touches; 1 for what cannot be torn.
    pub(super) fn sector_count(&self) -> u64 {
        self.span()
            .map_or(1, |(start, end)| sector_count(start, end))
    }

    /// Whether both cover a byte.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self.span(), other.span()) {
            (Some((start, end)), Some((from, to))) => start < to && from < end,
            _ => false,
        }
    }

    /// Whether it changes bytes or the length.
    pub(super) fn is_bytes(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Zero { .. } | Self::SetLen(_))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(write) => {
                write!(f, "write {:#x}+{:#x}", write.start, write.end - write.start)
            }
            Self::Zero { start, end } => write!(f, "zero {start:#x}+{:#x}", end - start),
            Self::SetLen(len) => write!(f, "set_len {len:#x}"),
            Self::Sync => f.write_str("sync"),
            Self::FailedSync => f.write_str("sync, failed"),
            Self::Mark(label) => write!(f, "mark {label:?}"),
        }
    }
}

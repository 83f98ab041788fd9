//! Room that the store keeps for itself, so that a host without any space can still be asked what
//! there is, and told to remove some of it.
//!
//! Volumes grow until the host is full, and the database needs some space even to be read: memory
//! that processes share is a file beside it. So a file of a megabyte lies in the store. A command that
//! finds next to no space takes it away before it opens the database, and puts it back at its end.
//! Nothing here fails a command: without the file, a full host is a full host.

use std::io::Write;

use super::database::short_of_space;
use super::folder::{self, Folders, RESERVE};
use crate::error::Result;
use crate::platform;

/// How long the file is.
const LENGTH: usize = 1 << 20;
/// How much space the database needs to be opened and changed: 32 KiB of memory that is shared, the log
/// of a change, and a rescue record, each of them with room to spare.
const NEEDED: u64 = 384 << 10;
/// How much of that is memory that is shared, and what stands with it in the log.
const MEMORY: u64 = 96 << 10;
/// The file is made where at least this much is left beside it: it is never what fills a host.
const PLENTY: u64 = 16 << 20;

/// The smallest page of memory of any host.
const SMALLEST_PAGE: u64 = 4096;

/// What the host of a folder says of its space, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostSpace {
    /// What is left for whoever asks.
    pub(crate) left: u64,
    /// The smallest piece that is given to a file.
    pub(crate) block: u64,
}

/// The file, put back when this is dropped if it had to be taken away.
pub(super) struct Reserve {
    /// The root, where the file is to be put back.
    taken_from: Option<cap_std::fs::Dir>,
}

impl Reserve {
    /// Makes room for opening the database, or the file where it is missing.
    ///
    /// # Errors
    /// `NoSpace` where the host has next to none, and is one on which that would kill the process.
    pub(super) fn prepare(folders: &Folders) -> Result<Self> {
        let nothing = Self { taken_from: None };
        // Where the host does not say how much is left, nothing is known to be short.
        let Ok(space) = platform::space(folders.path()) else {
            return Ok(nothing);
        };
        if space.left >= NEEDED {
            let wanted = u64::try_from(LENGTH).unwrap_or(u64::MAX);
            if space.left >= PLENTY.saturating_add(wanted) {
                keep(folders.root());
            }
            return Ok(nothing);
        }
        let taken = folder::remove_file(folders.root(), RESERVE);
        let reserve = match (taken, folders.root().try_clone()) {
            (Ok(()), Ok(root)) => Self {
                taken_from: Some(root),
            },
            _ => nothing,
        };
        match platform::space(folders.path()) {
            Ok(space) if space.block < SMALLEST_PAGE && space.left < MEMORY => {
                Err(short_of_space())
            }
            _ => Ok(reserve),
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        if let Some(root) = &self.taken_from {
            keep(root);
        }
    }
}

/// Whether blocks of the host are smaller than the pages of its memory.
pub(super) fn has_small_blocks(folders: &Folders) -> bool {
    platform::space(folders.path()).is_ok_and(|space| space.block < SMALLEST_PAGE)
}

/// Makes the file where it is missing, or was left too short by somebody who died or a host that was full.
/// As much of it as finds room stays: less helps, too.
fn keep(root: &cap_std::fs::Dir) {
    match folder::metadata(root, RESERVE) {
        Ok(None) => {}
        Ok(Some(found)) if usize::try_from(found.len()).is_ok_and(|length| length < LENGTH) => {
            if folder::remove_file(root, RESERVE).is_err() {
                return;
            }
        }
        _ => return,
    }
    let Ok(mut file) = folder::create_new(root, RESERVE) else {
        return;
    };
    // Bytes that are no zeros: a hole would take no space. They may be lost with the host's power, so that
    // nobody waits for them.
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(LENGTH).collect();
    if let Err(error) = file.write_all(&bytes) {
        tracing::debug!(%error, "the room that the store keeps for itself is shorter than wanted");
    }
}

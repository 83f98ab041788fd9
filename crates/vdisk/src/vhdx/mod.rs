//! VHDX images ([MS-VHDX]): read, written through the log, checked.
//!
//! ```text
//!   create   open          info   check        doors of this module
//!        \   /               |      |
//!        image  ---- io, trim, status           what a guest does: block locks, BAT, payload
//!          |
//!     commit, session                           the only places that write metadata
//!          |
//!   bat  space  log/{entry,replay,write}        tables in memory, the log
//!          |
//!   header region metadata locator geometry     decoding: bytes in, checked values out
//!          |
//!        format                                 layouts, nothing else
//! ```
//!
//! # What holds after any crash
//! - I1 A table on disk never points to space whose content is anything but the old or the new
//!   content of that very block.
//! - I2 No two entries share space.
//! - I3 The file opens for writing without repair; space may be lost, nothing else.
//! - I4 What [`blockio::Disk::flush`] returned for is there.
//! - I5 Opening writes nothing, except that opening for writing replays a dirty log.
//!
//! # The order of writes that sees to it
//! - The write gate (`session`): the tail of the file that nothing uses is cut off and a log with
//!   one empty entry is written; *sync*; a header that names the log; *sync*; the other header.
//!   After the first sync whatever the file grows by reads zero, also after a crash.
//! - Allocation (`io`): space, then data, then the entry in memory. Space that is not known to be
//!   zero is filled first and makes the commit sync before its log entry.
//! - Commit (`commit`): copy of the changed pages; *sync* if a page points to filled space; log
//!   entry; *sync*, which is what a flush waits for; pages to their places; their durability comes
//!   with the next sync, and only then does the tail of the log move past the entry.
//! - Part of a block in a child (`part`): space, data, and where the chunk has none a bitmap of
//!   zeros, then bits and entry in memory. The commit always syncs before its log entry: what a
//!   crash shows there is the parent's old content or the data, never what the space held.
//! - Discard (`trim`): the entry becomes *zero*; its space is free when that commit is durable, and
//!   known to be zero when a hole was punched into it and one more sync is done.
//! - Compaction (`compact`): a block that moves is copied; *sync*; log entry; *sync*; and only then
//!   is the space it left free. What is given up is as in a discard.
//! - Resize (`resize`): what the longer table needs is in its place, or entries of blocks that go
//!   are gone; *sync*; one log entry with the size and, where the table moved, both region tables;
//!   *sync*.
//! - Close (`session`): commit; *sync*; header without a log; *sync*; the other header; the file is
//!   cut to what is in use. It is cut only now because a live log vouches for the file's length.
//! - Another parent (`relink`): everything is durable and the log cleared before; then one log entry
//!   with all pages of metadata that change, so that the image has its old parent or the new one.
//! - Opening a dirty image for writing (`open`): *sync*; header with a new file write GUID and the
//!   same log; *sync*; replay; *sync*; header without a log; *sync*; the other header.
//!
//! # Where this goes beyond the rules it began from
//! - Replay begins with a sync: after a killed process (the machine lived on) the page cache may
//!   show a header and log entries that are not durable. Replaying those into the file, or
//!   overwriting the other header, before they are durable would leave a power cut nothing whole.
//! - The tail that may be overwritten is that of the last *durable* entry, not the newest known: a
//!   torn entry must not have eaten what its predecessor's replay begins with. Entries of at most
//!   a quarter of the log make this hold without bookkeeping.
//! - Punched space is handed out only after the sync that makes the hole durable; until then it
//!   counts as used, so that no failed write in between can make "known to be zero" wrong.
//! - `FlushedFileOffset` is the length captured *before* the last completed sync began: growth that
//!   raced with that sync is not vouched for.
//! - A log that is named by the header and holds no whole entry, and the start of one at most, is an
//!   empty log, not damage: QEMU 10.0 writes the header first and its first entry after it, so a kill
//!   in between leaves that. We never do.
//! - Space named by entries whose state gives it no meaning (an unmapped block that kept its
//!   offset) is not handed out in the session, since other readers may still look there.

mod bat;
mod bitmap;
mod check;
mod commit;
mod compact;
mod create;
mod find;
mod format;
mod fuzz;
mod geometry;
mod header;
mod image;
mod info;
mod io;
mod layer;
mod locator;
mod log;
mod metadata;
mod open;
mod part;
mod region;
mod relink;
mod repair;
mod resize;
mod salvage;
mod seal;
mod session;
mod space;
mod status;
mod trim;
mod view;

pub(crate) use check::{check, has_a_header};
pub(crate) use create::{create, create_child};
pub use fuzz::{fuzz_child, fuzz_open, fuzz_open_fixed};
pub(crate) use info::info;
pub(crate) use open::{link_facts, link_state, open, open_as, open_layer, open_taker};
pub(crate) use relink::{parent_of, relink};
pub(crate) use repair::repair;
pub(crate) use salvage::salvage;

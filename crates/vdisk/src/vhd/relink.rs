//! Giving a differencing VHD another parent, or none.
//!
//! VHD has no log, and its header of two sectors has one checksum: half of a new one would be
//! damage. So there are two headers for a while, and the footer, which is one sector, says which
//! counts:
//!
//! ```text
//!   names and new header behind the footer   sync: nobody looks there yet
//!   footer at the new end, leading to it     sync: from here on the new parent counts
//!   copy of the footer at 0                  sync: nobody looks at the old header any more
//!   new header in its usual place            sync
//!   both footers lead there again            sync each
//! ```
//! After a crash at any point one whole footer leads to one whole header, with the old parent or
//! the new one. (A footer that is written at the new end and lost leaves zeros there; the copy at 0
//! counts then.)

use blockio::{ByteCount, ByteOffset, Storage};
use uuid::Uuid;
use zerocopy::{FromBytes, IntoBytes};

use super::footer::{self, Found, Place};
use super::format::{FOOTER_LEN, HEADER_LEN, RawFooter, RawHeader, SECTOR, TYPE_DYNAMIC, checksum};
use super::names::NameBlock;
use super::sparse;
use crate::child::ParentNames;
use crate::error::ImageError;
use crate::info::ImageKind;

/// Where the header of a child stands, right behind the copy of the footer.
const USUAL_PLACE: u64 = FOOTER_LEN;

/// Makes the image known by `parent.0` and called `parent.1` the parent; with `None` the image
/// stands alone, which its blocks must have been sealed for.
///
/// # Errors
/// `InvalidOption` where a name does not fit, `Damaged` where the image is to be repaired first, `Io`.
pub(crate) fn relink(
    storage: &dyn Storage,
    parent: Option<(Uuid, &ParentNames)>,
) -> Result<(), ImageError> {
    let found = footer::find(storage)?;
    if found.footer.kind != ImageKind::Differencing {
        return match parent {
            None => Ok(()),
            Some(_) => Err(ImageError::invalid_option("child", "it has no parent")),
        };
    }
    let found = match found.place {
        Place::End => found,
        Place::Start => mend_end(storage, &found, found.file_length.next_multiple_of(SECTOR))?,
        // The byte that a footer of 511 bytes has less than others.
        Place::OldEnd => mend_end(storage, &found, found.data_limit)?,
    };
    let start = footer::read(storage, 0, FOOTER_LEN)?;
    if start != found.footer.bytes {
        storage.write_at(&found.footer.bytes, ByteOffset(0))?;
        // Before the end of the file moves: without a footer there, this one counts.
        storage.sync()?;
    }
    match parent {
        None => stand_alone(storage, &found),
        Some((linkage, names)) => change_parent(storage, &found, linkage, names),
    }
}

/// Brings a whole footer to the end of a file that a crash left without one, or that has a shorter one.
fn mend_end(storage: &dyn Storage, found: &Found, end: u64) -> Result<Found, ImageError> {
    storage.write_at(&found.footer.bytes, ByteOffset(end))?;
    // Before anything is built on it.
    storage.sync()?;
    footer::find(storage)
}

/// The footer says what kind of disk it is: the header's word of a parent has no meaning then.
fn stand_alone(storage: &dyn Storage, found: &Found) -> Result<(), ImageError> {
    let bytes = edited(&found.footer.bytes, |footer| {
        footer.disk_type = TYPE_DYNAMIC.into();
    })?;
    write_footers(storage, &bytes, found.data_limit)
}

fn change_parent(
    storage: &dyn Storage,
    found: &Found,
    linkage: Uuid,
    names: &ParentNames,
) -> Result<(), ImageError> {
    // As read and checked; what else stands in it stays.
    sparse::read_header(storage, found)?;
    let mut bytes = [0; 1024];
    storage.read_at(&mut bytes, found.footer.header_offset)?;
    let copy_at = found.file_length.next_multiple_of(SECTOR);
    let names = NameBlock::at(names, copy_at + HEADER_LEN)?;
    let header = new_header(&bytes, linkage, &names)?;
    let end = names.end().next_multiple_of(SECTOR);

    storage.set_len(ByteCount(end + FOOTER_LEN))?;
    storage.write_at(&header, ByteOffset(copy_at))?;
    for name in names.places() {
        storage.write_at(&name.bytes, ByteOffset(name.offset))?;
    }
    // Before a footer leads there.
    storage.sync()?;
    let elsewhere = edited(&found.footer.bytes, |footer| {
        footer.data_offset = copy_at.into();
    })?;
    write_footers(storage, &elsewhere, end)?;
    // Nobody looks at the usual place now, so that half of it may be written.
    storage.write_at(&header, ByteOffset(USUAL_PLACE))?;
    // Before a footer leads there again.
    storage.sync()?;
    let usual = edited(&found.footer.bytes, |footer| {
        footer.data_offset = USUAL_PLACE.into();
    })?;
    write_footers(storage, &usual, end)
}

/// The footer at the end, which counts, then its copy.
fn write_footers(storage: &dyn Storage, bytes: &[u8; 512], end: u64) -> Result<(), ImageError> {
    storage.write_at(bytes, ByteOffset(end))?;
    // One at a time: each is one sector, and one of them is whole at any time.
    storage.sync()?;
    storage.write_at(bytes, ByteOffset(0))?;
    Ok(storage.sync()?)
}

fn edited(bytes: &[u8; 512], edit: impl FnOnce(&mut RawFooter)) -> Result<[u8; 512], ImageError> {
    let mut raw = RawFooter::read_from_bytes(bytes)
        .map_err(|_| ImageError::damaged(footer::RULE, "the footer is too short"))?;
    edit(&mut raw);
    raw.checksum = 0.into();
    raw.checksum = checksum(raw.as_bytes(), [0; 4]).into();
    let mut edited = [0; 512];
    edited.copy_from_slice(raw.as_bytes());
    Ok(edited)
}

fn new_header(
    bytes: &[u8; 1024],
    linkage: Uuid,
    names: &NameBlock,
) -> Result<[u8; 1024], ImageError> {
    let mut raw = RawHeader::read_from_bytes(bytes)
        .map_err(|_| ImageError::damaged(sparse::RULE, "header is too short"))?;
    raw.parent_unique_id = linkage.into_bytes();
    raw.parent_time_stamp = 0.into();
    raw.parent_unicode_name = names.header_name();
    raw.parent_locators = names.locators();
    raw.checksum = 0.into();
    raw.checksum = checksum(raw.as_bytes(), [0; 4]).into();
    let mut header = [0; 1024];
    header.copy_from_slice(raw.as_bytes());
    Ok(header)
}

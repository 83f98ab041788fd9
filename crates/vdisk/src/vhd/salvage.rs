//! What is done to a draft of a damaged VHD so that it can be read.

use blockio::{ByteCount, ByteOffset, ByteRange, Storage};
use uuid::Uuid;
use zerocopy::{FromBytes, IntoBytes};

use super::dynamic::DynamicDisk;
use super::footer::{self, Found, NewFooter};
use super::format::{FOOTER_LEN, HEADER_LEN, RawFooter, SECTOR};
use super::layer::FixedLayer;
use super::repair::{is_sound, repair, suspects, with_checksum};
use super::sparse::{self, Layout, new_header};
use crate::chain::Layer;
use crate::error::{ImageError, readable};
use crate::info::ImageKind;
use crate::repair::Repairs;
use crate::salvage::{SalvageOptions, Suspects};

/// How far into the file a table of blocks is looked for.
const SEARCHED: u64 = blockio::MIB;

/// Makes the draft one that can be opened, as far as that is possible, and says which blocks are
/// not to be trusted.
///
/// # Errors
/// `Io`.
pub(crate) fn salvage(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    options: SalvageOptions,
) -> Result<Suspects, ImageError> {
    repair(draft, repairs)?;
    if !can_be_opened(draft)? {
        make_up(draft, repairs, options)?;
        repair(draft, repairs)?;
    }
    let Some(found) = readable(footer::find(draft))? else {
        return Ok(Suspects::default());
    };
    match readable(sparse::read_header(draft, &found))? {
        Some(header) if found.footer.kind != ImageKind::Fixed => {
            let mut suspects = suspects(draft, &found, &header.layout)?;
            // A child that is called a disk of its own is read so: what is not in it would be zeros.
            if header.has_stray_parent(found.footer.kind) {
                let whole = ByteRange::new(ByteOffset(0), found.footer.size);
                suspects.doubtful = whole.into_iter().collect();
            }
            Ok(suspects)
        }
        _ => Ok(Suspects::default()),
    }
}

fn can_be_opened(draft: &dyn Storage) -> Result<bool, ImageError> {
    let Some(found) = readable(footer::find(draft))? else {
        return Ok(false);
    };
    let header = readable(sparse::read_header(draft, &found))?;
    Ok(found.footer.kind == ImageKind::Fixed || header.is_some())
}

/// Makes footers and header anew from what the caller knows, as far as they are lost.
fn make_up(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    options: SalvageOptions,
) -> Result<(), ImageError> {
    let (Some(size), Some(block_size)) = (options.size, options.block_size) else {
        return Ok(());
    };
    if !block_size.get().is_power_of_two() || block_size.get() < SECTOR {
        let reason = "blocks of a VHD are a power of two of at least a sector";
        return Err(ImageError::invalid_option("block size", reason));
    }
    let length = draft.len()?.get();
    let footer = match readable(footer::find(draft))? {
        Some(found) => found.footer.bytes,
        None => NewFooter {
            size,
            kind: ImageKind::Dynamic,
            unique_id: Uuid::new_v4(),
            unix_time: 0,
        }
        .to_bytes(),
    };
    let Ok(mut raw) = RawFooter::read_from_bytes(&footer) else {
        return Ok(());
    };
    raw.data_offset = FOOTER_LEN.into();
    let bytes = with_checksum(&raw);
    let place = length.next_multiple_of(SECTOR);
    draft.write_at(&bytes, ByteOffset(0))?;
    draft.write_at(&bytes, ByteOffset(place))?;
    let message = "footers are made up from the sizes that were given";
    repairs.fix(footer::RULE, Some(ByteOffset(0)), message);
    let Some(found) = readable(footer::find(draft))? else {
        return Ok(());
    };
    if readable(sparse::read_header(draft, &found))?.is_some() {
        return Ok(());
    }
    if let Some(header) = header_for(draft, &found, block_size)? {
        draft.write_at(&header, ByteOffset(FOOTER_LEN))?;
        let message = "header is made up from the sizes that were given";
        repairs.fix(sparse::RULE, Some(ByteOffset(FOOTER_LEN)), message);
    }
    Ok(())
}

/// The header that leads to the only table whose entries make sense.
fn header_for(
    draft: &dyn Storage,
    found: &Found,
    block_size: ByteCount,
) -> Result<Option<[u8; 1024]>, ImageError> {
    let mut old = [0; 1024];
    if found.file_length < FOOTER_LEN + HEADER_LEN {
        return Ok(None);
    }
    draft.read_at(&mut old, ByteOffset(FOOTER_LEN))?;
    let mut header = None;
    let mut several = false;
    let end = SEARCHED.min(found.data_limit);
    let mut at = FOOTER_LEN + HEADER_LEN;
    while at < end {
        let layout = Layout::new(found.footer.current_size.get(), block_size.get(), at);
        let bytes = new_header(&layout, None)?;
        draft.write_at(&bytes, ByteOffset(FOOTER_LEN))?;
        if is_sound(draft, found)? {
            several |= header.is_some();
            header = Some(bytes);
        }
        at += SECTOR;
    }
    draft.write_at(old.as_bytes(), ByteOffset(FOOTER_LEN))?;
    Ok(header.filter(|_| !several))
}

/// Opens a draft for reading; blocks that share a place are read as they are.
///
/// # Errors
/// `Damaged` where footer or header are lost, `Io`.
pub(crate) fn open_salvaged(storage: Box<dyn Storage>) -> Result<Box<dyn Layer>, ImageError> {
    let found = footer::find(&*storage)?;
    if found.footer.kind == ImageKind::Fixed {
        return Ok(Box::new(FixedLayer { storage, found }));
    }
    Ok(Box::new(DynamicDisk::open_unchecked(storage, &found)?))
}

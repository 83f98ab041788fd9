//! Facts of an image: of an open one, and of any file, also of a differencing one.

use std::sync::atomic::Ordering;

use blockio::{ByteCount, Storage};

use super::bat::{Bat, BatEntry};
use super::geometry::EntryRole;
use super::header::Header;
use super::image::{VhdxImage, lock};
use super::metadata::Metadata;
use super::open::read_structure;
use super::view::View;
use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::info::{ImageInfo, ImageKind};

/// Facts of an image; its data are not touched.
pub(crate) fn info(storage: &dyn Storage) -> Result<ImageInfo, ImageError> {
    let structure = read_structure(storage)?;
    let view = View::new(storage, structure.overlay);
    let bat = Bat::new(structure.regions.bat, &structure.geometry)?;
    let mut blocks = 0_u64;
    bat.scan(&view, &structure.geometry, |index, raw| {
        let payload = matches!(structure.geometry.role(index), Some(EntryRole::Payload(_)));
        if payload && BatEntry::decode(raw).is_some_and(|entry| entry.place().is_some()) {
            blocks += 1;
        }
        Ok(())
    })?;
    let facts = Facts {
        metadata: &structure.metadata,
        header: &structure.header.header,
        creator: &structure.creator,
        blocks,
        file_length: storage.len()?,
        dirty_log: structure.dirty_log,
    };
    Ok(facts.describe())
}

struct Facts<'a> {
    metadata: &'a Metadata,
    header: &'a Header,
    creator: &'a str,
    blocks: u64,
    file_length: ByteCount,
    dirty_log: bool,
}

impl Facts<'_> {
    fn describe(&self) -> ImageInfo {
        let metadata = self.metadata;
        let kind = match (&metadata.parent, metadata.leave_blocks_allocated) {
            (Some(_), _) => ImageKind::Differencing,
            (None, true) => ImageKind::Fixed,
            (None, false) => ImageKind::Dynamic,
        };
        ImageInfo {
            format: ImageFormat::Vhdx,
            kind,
            virtual_size: ByteCount(metadata.disk_size),
            logical_sector: metadata.logical_sector,
            physical_sector: metadata.physical_sector,
            block_size: Some(ByteCount(metadata.block_size)),
            allocated: ByteCount(self.blocks.saturating_mul(metadata.block_size)),
            file_length: self.file_length,
            ids: vec![
                ("disk", metadata.disk_id.to_string()),
                ("file write", self.header.file_write_guid.to_string()),
                ("data write", self.header.data_write_guid.to_string()),
            ],
            creator: self.creator.to_owned(),
            dirty_log: self.dirty_log,
            parent: metadata.parent.clone(),
        }
    }
}

impl VhdxImage {
    pub(super) fn describe(&self) -> ImageInfo {
        let session = lock(&self.session);
        let blocks = match self.writable {
            true => self.allocated_blocks.load(Ordering::Relaxed),
            false => self.count_blocks(),
        };
        let facts = Facts {
            metadata: &self.metadata,
            header: &session.header.header,
            creator: &self.creator,
            blocks,
            file_length: ByteCount(self.file_length.load(Ordering::Acquire)),
            dirty_log: self.dirty_log,
        };
        facts.describe()
    }

    /// Blocks with a place, counted in the file; as many as could be read.
    fn count_blocks(&self) -> u64 {
        let mut blocks = 0;
        // An unreadable table makes the count too small, and every read of a block fail.
        let _ = self.bat.scan(&self.storage, &self.geometry, |index, raw| {
            let payload = matches!(self.geometry.role(index), Some(EntryRole::Payload(_)));
            if payload && BatEntry::decode(raw).is_some_and(|entry| entry.place().is_some()) {
                blocks += 1;
            }
            Ok(())
        });
        blocks
    }
}

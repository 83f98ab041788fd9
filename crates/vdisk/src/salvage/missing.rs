//! The place of a parent that cannot be opened: it holds everything and gives nothing.

use blockio::{
    ByteCount, ByteOffset, ByteRange, Extent, ExtentKind, IoError, IoErrorKind, Operation,
};

use crate::bounds::buffer_len;
use crate::chain::{Held, Layer};
use crate::info::ImageInfo;

/// A layer whose bytes are not there.
pub(super) struct MissingLayer {
    info: ImageInfo,
}

impl MissingLayer {
    /// The parent of the child that `info` describes.
    pub(super) fn new(info: ImageInfo) -> Self {
        Self { info }
    }
}

impl Layer for MissingLayer {
    fn linkage(&self) -> uuid::Uuid {
        uuid::Uuid::nil()
    }

    fn size(&self) -> ByteCount {
        self.info.virtual_size
    }

    fn held_at(&self, start: u64, length: u64) -> blockio::Result<(Held, u64)> {
        Ok((Held::File(start), length))
    }

    fn absent_at(&self, _start: u64) -> blockio::Result<u64> {
        Ok(0)
    }

    fn read_file(&self, buf: &mut [u8], at: ByteOffset) -> blockio::Result<()> {
        let length = ByteCount(buffer_len(buf));
        Err(IoError::new(
            IoErrorKind::Damaged,
            Operation::Read,
            at,
            length,
        ))
    }

    fn file_extent(&self, range: ByteRange) -> blockio::Result<Extent> {
        Ok(Extent {
            range,
            kind: ExtentKind::Data,
        })
    }

    fn info(&self) -> ImageInfo {
        self.info.clone()
    }
}

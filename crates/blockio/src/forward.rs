//! References, boxes and `Arc`s of a disk or storage are disks and storages too, so that code can
//! own, borrow or share what it stands on without saying which.

use std::sync::Arc;

use crate::disk::{BlockStatus, Disk};
use crate::error::Result;
use crate::storage::{Extent, Storage, ZeroMode};
use crate::units::{ByteCount, ByteOffset, ByteRange, SectorSize};

macro_rules! forward {
    ($pointer:ty) => {
        impl<T: Disk + ?Sized> Disk for $pointer {
            fn size(&self) -> ByteCount {
                (**self).size()
            }

            fn logical_sector_size(&self) -> SectorSize {
                (**self).logical_sector_size()
            }

            fn physical_sector_size(&self) -> SectorSize {
                (**self).physical_sector_size()
            }

            fn is_read_only(&self) -> bool {
                Disk::is_read_only(&**self)
            }

            fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
                Disk::read_at(&**self, buf, offset)
            }

            fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
                Disk::write_at(&**self, buf, offset)
            }

            fn flush(&self) -> Result<()> {
                (**self).flush()
            }

            fn discard(&self, range: ByteRange) -> Result<()> {
                (**self).discard(range)
            }

            fn write_zeroes(&self, range: ByteRange) -> Result<()> {
                (**self).write_zeroes(range)
            }

            fn block_status(&self, range: ByteRange) -> Result<BlockStatus> {
                (**self).block_status(range)
            }
        }

        impl<T: Storage + ?Sized> Storage for $pointer {
            fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
                Storage::read_at(&**self, buf, offset)
            }

            fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
                Storage::write_at(&**self, buf, offset)
            }

            fn sync(&self) -> Result<()> {
                (**self).sync()
            }

            fn len(&self) -> Result<ByteCount> {
                (**self).len()
            }

            fn set_len(&self, len: ByteCount) -> Result<()> {
                (**self).set_len(len)
            }

            fn zero(&self, range: ByteRange, mode: ZeroMode) -> Result<()> {
                (**self).zero(range, mode)
            }

            fn extent_at(&self, range: ByteRange) -> Result<Extent> {
                (**self).extent_at(range)
            }

            fn is_read_only(&self) -> bool {
                Storage::is_read_only(&**self)
            }

            fn copy_within(&self, range: ByteRange, to: ByteOffset) -> Result<()> {
                (**self).copy_within(range, to)
            }
        }
    };
}

forward!(&T);
forward!(Box<T>);
forward!(Arc<T>);

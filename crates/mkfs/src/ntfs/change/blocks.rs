//! The blocks of an index that is being changed: its bitmap, its growth and its end.

use super::bytes::{narrow, wide};
use super::index::Tree;
use super::record::{Attribute, Stream, Value, kind};
use super::space::write_stream;
use super::volume::MAX_VALUE;
use crate::change::ChangeError;

/// Blocks by which an index grows at once.
const MAX_STEP: u64 = 16;
/// Bytes of a bitmap that stays in the record.
const MAX_RESIDENT_BITMAP: usize = 64;

impl Tree<'_, '_> {
    /// Gives back the clusters of an index that lies in the record alone.
    pub(super) fn drop_blocks(&mut self) -> Result<(), ChangeError> {
        let name = self.name.clone();
        let is_of_blocks = |a: &Attribute| {
            matches!(a.kind, kind::INDEX_ALLOCATION | kind::BITMAP) && a.name == name
        };
        let gone: Vec<Attribute> = self
            .file
            .attributes
            .extract_if(.., |a| is_of_blocks(a))
            .collect();
        for attribute in gone {
            self.file.is_dirty = true;
            if let Value::Stream(stream) = attribute.value {
                self.volume.space.give(&self.volume.disk, &stream.runs)?;
            }
        }
        Ok(())
    }

    /// The bitmap of blocks.
    pub(super) fn block_bits(&self) -> Result<Vec<u8>, ChangeError> {
        let attribute = self.file.attribute(kind::BITMAP, &self.name)?;
        self.volume.whole_value(attribute, MAX_VALUE)
    }

    fn set_block_bit(&mut self, block: u64, used: bool) -> Result<(), ChangeError> {
        let mut bits = self.block_bits()?;
        let index = narrow(block / 8);
        let bit = 1_u8 << (block % 8);
        match bits.get_mut(index) {
            Some(byte) if used => *byte |= bit,
            Some(byte) => *byte &= !bit,
            None => return Err(self.damaged("its bitmap is too short")),
        }
        let cluster = self.volume.layout.cluster;
        match &mut self.file.attribute_mut(kind::BITMAP, &self.name)?.value {
            Value::Resident(value) => {
                *value = bits;
                self.file.is_dirty = true;
            }
            Value::Stream(stream) => {
                let byte = [bits[index]];
                let stream = stream.clone();
                write_stream(&mut self.volume.disk, &stream, cluster, &byte, wide(index))?;
            }
        }
        Ok(())
    }

    /// Takes a block: its number as children are numbered.
    pub(super) fn take_block(&mut self) -> Result<u64, ChangeError> {
        let per_block = wide(self.block) / self.volume.layout.index_unit(self.block);
        if self.file.find(kind::INDEX_ALLOCATION, &self.name).is_none() {
            let stream = Attribute::stream(kind::INDEX_ALLOCATION, &self.name, Stream::default());
            let bitmap = Attribute::resident(kind::BITMAP, &self.name, vec![0; 8]);
            self.file
                .attributes
                .retain(|a| a.kind != kind::BITMAP || a.name != self.name);
            self.file.attributes.extend([stream, bitmap]);
            self.file.is_dirty = true;
        }
        let blocks = self.allocation()?.size / wide(self.block);
        let bits = self.block_bits()?;
        let is_free = |block: &u64| {
            bits.get(narrow(block / 8))
                .is_none_or(|byte| byte >> (block % 8) & 1 == 0)
        };
        let block = match (0..blocks).find(is_free) {
            Some(block) => block,
            None => {
                self.grow(blocks)?;
                blocks
            }
        };
        self.set_block_bit(block, true)?;
        Ok(block * per_block)
    }

    fn grow(&mut self, blocks: u64) -> Result<(), ChangeError> {
        let name = self.name.clone();
        let step = (1 + blocks / 8).min(MAX_STEP);
        let size = |more: u64| (blocks + more) * wide(self.block);
        let (wished, least) = (size(step), size(1));
        let volume = &mut *self.volume;
        let stream = self.file.attribute_mut(kind::INDEX_ALLOCATION, &name)?;
        let grown = match volume.grow_value(stream, wished) {
            Err(ChangeError::NoSpace { .. }) if step > 1 => {
                volume.grow_value(stream, least)?;
                least
            }
            result => {
                result?;
                wished
            }
        };
        let bits = (grown / wide(self.block)).div_ceil(64) * 8;
        let bitmap = self.file.attribute_mut(kind::BITMAP, &name)?;
        if bitmap.sizes().0 < bits {
            volume.grow_value(bitmap, bits)?;
        }
        if bitmap
            .resident_value()
            .is_some_and(|value| value.len() > MAX_RESIDENT_BITMAP)
        {
            volume.move_to_clusters(bitmap)?;
        }
        self.file.is_dirty = true;
        Ok(())
    }

    pub(super) fn give_block(&mut self, number: u64) -> Result<(), ChangeError> {
        let block = self.offset_of(number)? / wide(self.block);
        self.set_block_bit(block, false)
    }
}

//! An image on a simulated storage, with all that was asked of it sector by sector.

use std::collections::BTreeMap;
use std::ops::Range;

use blockio::{ByteOffset, ByteRange, CrashPlan, SimStorage};
use vdisk::ImageDisk;

use crate::images;
use crate::past::{Past, fill};
use crate::random::Random;

/// An image that is written to, and what each of its sectors was told to hold.
pub(crate) struct Tracked {
    pub(crate) storage: SimStorage,
    pub(crate) disk: Option<Box<dyn ImageDisk>>,
    pub(crate) past: BTreeMap<u64, Past>,
    pub(crate) version: u64,
    pub(crate) random: Random,
}

impl Tracked {
    pub(crate) fn disk(&self) -> &dyn ImageDisk {
        &**self.disk.as_ref().unwrap()
    }

    /// Sectors are about to hold these tags; those that nobody asked anything of hold what `before`
    /// says.
    pub(crate) fn note(
        &mut self,
        first: u64,
        tags: impl Iterator<Item = u64>,
        before: impl Fn(u64) -> u64,
    ) {
        let position = self.storage.position().0;
        for (sector, tag) in (first..).zip(tags) {
            let past = self.past.entry(sector);
            let past = past.or_insert_with(|| Past::settled(before(sector)));
            past.versions.push((position, tag));
        }
    }

    /// The sectors of a range of which anything was asked are about to be cleared.
    pub(crate) fn note_cleared(&mut self, sectors: Range<u64>) {
        let position = self.storage.position().0;
        for (_, past) in self.past.range_mut(sectors) {
            past.versions.push((position, 0));
        }
    }

    /// The bytes of sectors that are about to be written, each with a tag of its own.
    pub(crate) fn next_version(
        &mut self,
        sector: u64,
        count: u64,
        before: impl Fn(u64) -> u64,
    ) -> Vec<u8> {
        self.version += 1;
        let version = self.version;
        let tags = move |n| ((sector + n) << 32) + version;
        self.note(sector, (0..count).map(tags), before);
        (0..count).flat_map(|n| fill(tags(n))).collect()
    }

    /// What failed may be there or not; what succeeded is, after the next flush.
    pub(crate) fn finish(
        &mut self,
        sector: u64,
        count: u64,
        result: blockio::Result<()>,
    ) -> blockio::Result<()> {
        if result.is_ok() {
            for (_, past) in self.past.range_mut(sector..sector + count) {
                past.finish();
            }
        }
        result
    }

    /// A flush returned: what was asked for before it must be there from here on.
    pub(crate) fn promise(&mut self) {
        let position = self.storage.mark("flushed").0;
        for past in self.past.values_mut() {
            past.promise(position);
        }
    }

    pub(crate) fn flush(&mut self) -> blockio::Result<()> {
        self.disk().flush()?;
        self.promise();
        Ok(())
    }

    pub(crate) fn close(&mut self) {
        self.disk.take().unwrap().close().unwrap();
        self.promise();
    }

    /// Compacts, some of the sectors being nobody's any more (`unused` in bytes): those hold what they
    /// held or zeros, and what it is afterwards stays. `place` is where a sector is on the disk.
    pub(crate) fn compact(
        &mut self,
        sectors: Range<u64>,
        unused: &[ByteRange],
        place: impl Fn(u64) -> u64,
    ) -> blockio::Result<()> {
        let position = self.storage.position().0;
        images::compact_step(&mut **self.disk.as_mut().unwrap(), unused)?;
        let disk = self.disk.as_ref().unwrap();
        for (sector, past) in self.past.range_mut(sectors) {
            let mut bytes = [0; 512];
            disk.read_at(&mut bytes, ByteOffset(place(*sector)))?;
            let tag = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            past.versions.push((position, tag));
            past.finish();
        }
        self.promise();
        Ok(())
    }
}

/// A few states at each position.
pub(crate) fn few(seed: u64) -> CrashPlan {
    CrashPlan {
        exhaustive: 1,
        samples: 1,
        torn_samples: 1,
        ..CrashPlan::quick(seed)
    }
}

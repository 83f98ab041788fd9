//! Which bytes of a disk its file systems really use.
//!
//! ```text
//!   partition table            what lies between partitions is nobody's
//!        |
//!   owner                      is it surely this file system that owns the partition?
//!        |
//!   ntfs | fat | ext           its own record of free clusters, if it can be believed
//!        |
//!   UsedMap                    ranges that nobody uses
//! ```
//! Invariant: when in doubt, a byte is used. That goes for partitions whose type and content do not
//! agree, file systems that were not unmounted cleanly, features that are not known here, volumes
//! with shadow copies (which need what the volume itself has freed), and anything encrypted.

mod ext;
mod fat;
mod owner;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, KIB, MIB};

use crate::change::{ChangeError, Overlay};
use crate::error::{MkfsError, MkfsErrorKind};
use crate::identify::{FileSystem, identify_range};
use owner::{Owner, PartitionType};

/// The start of a disk that no partition begins in by custom: tables, and the code of boot loaders.
const START: u64 = MIB;
/// Shorter runs than this are not worth a note.
const MIN_RUN: u64 = 4 * KIB;
/// Most runs that are noted, whatever the size of the disk: the shortest that is noted follows.
const MAX_RUNS: u64 = 1 << 21;

/// How one partition is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartUse {
    /// The partition, or the whole disk where there is no partition table.
    pub range: ByteRange,
    /// What is in it.
    pub file_system: FileSystem,
    /// Bytes that are used.
    pub used: ByteCount,
    /// Why all of it counts as used, where that is so without a look at it.
    pub left_alone: Option<String>,
}

/// What of a disk is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedMap {
    parts: Vec<PartUse>,
    unused: Vec<ByteRange>,
    size: ByteCount,
}

impl UsedMap {
    /// The partitions, in the order of their table.
    pub fn parts(&self) -> &[PartUse] {
        &self.parts
    }

    /// Ranges that nobody uses, ascending and apart.
    pub fn unused(&self) -> &[ByteRange] {
        &self.unused
    }

    /// Bytes of the disk that are used, as far as is known.
    pub fn used(&self) -> ByteCount {
        let unused: u64 = self.unused.iter().map(|range| range.len().get()).sum();
        ByteCount(self.size.get().saturating_sub(unused))
    }
}

/// Runs that are not used, as they are found.
struct Unused {
    ranges: Vec<ByteRange>,
    min: u64,
}

impl Unused {
    fn new(size: u64) -> Self {
        Self {
            ranges: Vec::new(),
            min: (size / MAX_RUNS).next_power_of_two().max(MIN_RUN),
        }
    }

    /// Adds a run; runs of one partition come in order.
    fn add(&mut self, start: u64, end: u64) {
        match self.ranges.last_mut() {
            Some(last) if last.end().get() == start => {
                if let Some(joined) = ByteRange::between(last.start(), ByteOffset(end)) {
                    *last = joined;
                }
            }
            _ => {
                self.drop_short();
                self.ranges
                    .extend(ByteRange::between(ByteOffset(start), ByteOffset(end)));
            }
        }
    }

    fn drop_short(&mut self) {
        if self.ranges.last().is_some_and(|r| r.len().get() < self.min) {
            self.ranges.pop();
        }
    }

    fn finish(mut self) -> Vec<ByteRange> {
        self.drop_short();
        self.ranges.sort_unstable_by_key(|range| range.start());
        self.ranges
    }
}

/// Finds out which ranges of a disk nobody uses.
///
/// # Errors
/// `Io`. What is damaged is no error, but used.
pub fn used(disk: &dyn Disk) -> Result<UsedMap, MkfsError> {
    let size = disk.size();
    let mut unused = Unused::new(size.get());
    let whole = ByteRange::new(ByteOffset(0), size);
    let parts = match crate::gpt::usable(disk) {
        Ok((usable, partitions)) => {
            let found = partitions
                .iter()
                .map(|entry| (PartitionType::Gpt(entry.partition_type), entry.range));
            of_table(disk, usable, found.collect(), &mut unused)?
        }
        Err(error) if error.kind() == MkfsErrorKind::NotFound => {
            let Some(whole) = whole.filter(|whole| !whole.is_empty()) else {
                return Ok(UsedMap {
                    parts: Vec::new(),
                    unused: Vec::new(),
                    size,
                });
            };
            without_gpt(disk, whole, &mut unused)?
        }
        Err(MkfsError::Disk(error)) => return Err(error.into()),
        Err(error) => alone(
            whole,
            format!("its partition table cannot be used: {error}"),
        ),
    };
    Ok(UsedMap {
        parts,
        unused: unused.finish(),
        size,
    })
}

fn without_gpt(
    disk: &dyn Disk,
    whole: ByteRange,
    unused: &mut Unused,
) -> Result<Vec<PartUse>, MkfsError> {
    if identify_range(disk, whole)? != FileSystem::Unknown {
        return Ok(vec![of_partition(
            disk,
            whole,
            PartitionType::WholeDisk,
            unused,
        )?]);
    }
    let records = match crate::gpt::mbr_records(disk) {
        Ok(records) => records,
        Err(MkfsError::Disk(error)) => return Err(error.into()),
        Err(error) => {
            return Ok(alone(
                Some(whole),
                format!("its partition table cannot be used: {error}"),
            ));
        }
    };
    if records.is_empty() {
        return Ok(alone(
            Some(whole),
            "it holds no partition table and no file system that is known".to_owned(),
        ));
    }
    let found = records
        .into_iter()
        .map(|(os_type, range)| (PartitionType::Mbr(os_type), range));
    of_table(disk, whole, found.collect(), unused)
}

fn alone(range: Option<ByteRange>, reason: String) -> Vec<PartUse> {
    let part = range.map(|range| PartUse {
        range,
        file_system: FileSystem::Unknown,
        used: range.len(),
        left_alone: Some(reason),
    });
    part.into_iter().collect()
}

/// Partitions, and what lies between them within `usable`.
fn of_table(
    disk: &dyn Disk,
    usable: ByteRange,
    mut found: Vec<(PartitionType, ByteRange)>,
    unused: &mut Unused,
) -> Result<Vec<PartUse>, MkfsError> {
    if found.iter().any(|(of_type, _)| of_type.spans_the_disk()) {
        let whole = ByteRange::new(ByteOffset(0), disk.size());
        let reason = "it is part of dynamic volumes, whose table lies outside the partitions";
        return Ok(alone(whole, reason.to_owned()));
    }
    found.sort_by_key(|(_, range)| range.start());
    let mut at = usable.start().get().max(START);
    for (_, range) in &found {
        if range.start().get() > at {
            unused.add(at, range.start().get().min(usable.end().get()));
        }
        at = at.max(range.end().get());
    }
    if at < usable.end().get() {
        unused.add(at, usable.end().get());
    }
    let overlaps = found
        .windows(2)
        .any(|pair| pair[0].1.end() > pair[1].1.start());
    found
        .into_iter()
        .map(|(of_type, range)| match overlaps {
            true => Ok(PartUse {
                range,
                file_system: FileSystem::Unknown,
                used: range.len(),
                left_alone: Some("partitions overlap".to_owned()),
            }),
            false => of_partition(disk, range, of_type, unused),
        })
        .collect()
}

fn of_partition(
    disk: &dyn Disk,
    range: ByteRange,
    of_type: PartitionType,
    unused: &mut Unused,
) -> Result<PartUse, MkfsError> {
    let file_system = identify_range(disk, range)?;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut keep = |start: u64, end: u64| match runs.last_mut() {
        Some(last) if last.1 == start => last.1 = end,
        _ if end - start >= unused.min => runs.push((start, end)),
        _ => {}
    };
    let looked = match owner::owner(disk, range, file_system, of_type)? {
        Owner::Another(reason) => Err(ChangeError::Unsupported(reason)),
        Owner::Ntfs => crate::ntfs::visit_free(Overlay::new(disk, range), &mut keep),
        Owner::Fat => fat::visit_free(disk, range, &mut keep),
        Owner::Ext => ext::visit_free(disk, range, &mut keep),
    };
    let left_alone = match looked {
        Ok(()) => None,
        Err(ChangeError::Disk(error)) => return Err(error.into()),
        Err(error) => {
            // What was visited before the reason was found is not to be believed either.
            runs.clear();
            Some(error.to_string())
        }
    };
    let base = range.start().get();
    let mut free = 0;
    for (start, end) in runs {
        free += end - start;
        unused.add(base + start, base + end);
    }
    Ok(PartUse {
        range,
        file_system,
        used: ByteCount(range.len().get().saturating_sub(free)),
        left_alone,
    })
}

//! A sound volume, and the tools to spoil it: records, blocks and entries are found by the reader,
//! changed, and protected again, so that the damage meant is the only one.

use std::ops::{ControlFlow, Range};
use std::sync::OnceLock;

use blockio::{ByteCount, ByteOffset, Disk, MIB, MemoryDisk, SectorSize};
use mkfs::ntfs::parse::{AttributeView, Index, NtfsVolume, kind, unprotect};
use mkfs::ntfs::{NtfsOptions, format};
use mkfs::tree::memory::MemoryTree;
use mkfs::{NodeId, NodeName, NtTime, Times};

/// Bytes of the volume: not a multiple of 64 clusters, so that `$Bitmap` has a tail.
const SIZE: u64 = 16 * MIB + 5 * 4096;
pub(crate) const CLUSTER: u64 = 4096;
pub(crate) const RECORD: u64 = 1024;
pub(crate) const BLOCK: u64 = 4096;
pub(crate) const ROOT: u64 = 5;

/// A volume that is being spoilt.
pub(crate) struct Volume {
    disk: MemoryDisk,
}

fn name(text: &str) -> NodeName {
    NodeName::from_text(text).unwrap()
}

/// A tree with each kind of structure: two levels of blocks are not needed, one is.
fn tree() -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.use_times(Times::all(NtTime::from_unix(1_700_000_000, 0)));
    let many = tree.add_directory(NodeId::ROOT, name("many"));
    for number in 0..300 {
        tree.add_file(many, name(&format!("a file of the number {number}")), b"x");
    }
    let outer = tree.add_directory(NodeId::ROOT, name("outer"));
    let inner = tree.add_directory(outer, name("inner directory"));
    tree.add_file(inner, name("deep.txt"), b"deep");
    tree.add_file(NodeId::ROOT, name("small file.txt"), b"a small file");
    tree.add_file(NodeId::ROOT, name("first large file"), &[1; 5 * 4096]);
    tree.add_file(NodeId::ROOT, name("second large file"), &[2; 5 * 4096]);
    tree.add_symlink(NodeId::ROOT, name("symbolic link"), "small file.txt", false);
    let linked = tree.add_file(NodeId::ROOT, name("first name of a file"), b"linked");
    tree.add_hard_link(NodeId::ROOT, name("second name of a file"), linked);
    let island = |at: u64| (ByteOffset(at * 128 * 1024), &b"island"[..]);
    tree.add_sparse_file(
        NodeId::ROOT,
        name("sparse file"),
        ByteCount(MIB),
        &[island(1), island(5)],
    );
    let comb: Vec<_> = (0..700)
        .map(|at| (ByteOffset(at * 131_072), &b"tooth"[..]))
        .collect();
    tree.add_sparse_file(
        NodeId::ROOT,
        name("comb of holes"),
        ByteCount(90 * MIB),
        &comb,
    );
    tree
}

fn sound() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let disk = MemoryDisk::new(ByteCount(SIZE), SectorSize::B512).unwrap();
        let options = NtfsOptions {
            label: "Damage".into(),
            serial: 0x1234_5678_9ABC_DEF0,
            time: NtTime::from_unix(1_700_000_000, 0),
            ..NtfsOptions::default()
        };
        let go_on = |_, _| ControlFlow::Continue(());
        format(&disk, &options, Some(&mut tree().source()), &go_on).unwrap();
        disk.to_bytes()
    })
}

impl Volume {
    /// A volume without a damage.
    pub(crate) fn sound() -> Self {
        let disk = MemoryDisk::new(ByteCount(SIZE), SectorSize::B512).unwrap();
        disk.write_at(sound(), ByteOffset(0)).unwrap();
        Self { disk }
    }

    pub(crate) fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    pub(crate) fn read(&self, at: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.disk.read_at(&mut bytes, ByteOffset(at)).unwrap();
        bytes
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        self.disk.write_at(bytes, ByteOffset(at)).unwrap();
    }

    /// Where the copy of the boot sector stands.
    pub(crate) fn boot_copy(&self) -> u64 {
        SIZE - 512
    }

    /// Changes both boot sectors.
    pub(crate) fn boot(&self, at: u64, bytes: &[u8]) {
        self.write(at, bytes);
        self.write(self.boot_copy() + at, bytes);
    }

    fn with<T>(&self, read: impl FnOnce(&NtfsVolume<'_>) -> T) -> T {
        read(&NtfsVolume::open(&self.disk).unwrap())
    }

    /// The record of a path.
    pub(crate) fn find(&self, path: &str) -> u64 {
        self.with(|volume| {
            let mut number = ROOT;
            for name in path.split('/').filter(|name| !name.is_empty()) {
                let file = volume.read_file(number).unwrap();
                let index = Index::open(volume, &file, "$I30").unwrap();
                let units: Vec<u16> = name.encode_utf16().collect();
                let entry = index.find_name(volume, &units, true).unwrap().unwrap();
                number = entry.view().unwrap().file().record();
            }
            number
        })
    }

    /// Where a byte of a stream lies on the volume.
    pub(crate) fn place(&self, record: u64, kind: u32, name: &str, offset: u64) -> u64 {
        self.with(|volume| {
            let value = volume.read_file(record).unwrap();
            let value = value.value(volume, kind, name).unwrap().unwrap();
            value
                .map()
                .unwrap()
                .locate(offset, CLUSTER)
                .unwrap()
                .0
                .unwrap()
        })
    }

    fn record_place(&self, number: u64) -> u64 {
        self.with(|volume| {
            let map = volume.mft().map().unwrap();
            map.locate(number * RECORD, CLUSTER).unwrap().0.unwrap()
        })
    }

    /// Changes a record (and its copy in the mirror), its update sequence taken off and put on.
    pub(crate) fn record(&self, number: u64, change: impl FnOnce(&mut [u8])) {
        let place = self.record_place(number);
        let bytes = self.protected(place, RECORD, change);
        if number < 4 {
            let mirror = self.place(1, kind::DATA, "", number * RECORD);
            self.write(mirror, &bytes);
        }
    }

    fn protected(&self, place: u64, length: u64, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut bytes = self.read(place, length);
        unprotect(&mut bytes).unwrap();
        change(&mut bytes);
        let start = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
        let count = usize::from(u16::from_le_bytes([bytes[6], bytes[7]]));
        for stride in 1..count {
            let end = stride * 512;
            let word = [bytes[end - 2], bytes[end - 1]];
            bytes[start + 2 * stride..start + 2 * stride + 2].copy_from_slice(&word);
            let number = [bytes[start], bytes[start + 1]];
            bytes[end - 2..end].copy_from_slice(&number);
        }
        self.write(place, &bytes);
        bytes
    }

    /// Where a record stands, as it is on the disk.
    pub(crate) fn raw_record(&self, number: u64) -> u64 {
        self.record_place(number)
    }

    /// Where an attribute stands in its record, and its bytes there.
    pub(crate) fn attribute(&self, number: u64, kind: u32, name: &str) -> Range<usize> {
        self.with(|volume| {
            let record = volume.read_record(number).unwrap();
            let found: AttributeView<'_> = record.view().find(kind, name).unwrap().unwrap();
            found.offset..found.offset + found.length
        })
    }

    /// Where the value of a resident attribute begins in its record.
    pub(crate) fn value(&self, number: u64, kind: u32, name: &str) -> usize {
        let attribute = self.attribute(number, kind, name);
        let place = self.record_place(number);
        let mut bytes = self.read(place, RECORD);
        unprotect(&mut bytes).unwrap();
        let offset = &bytes[attribute.start + 0x14..attribute.start + 0x16];
        attribute.start + usize::from(u16::from_le_bytes([offset[0], offset[1]]))
    }

    /// Changes bytes within an attribute.
    pub(crate) fn in_attribute(&self, number: u64, kind: u32, name: &str, at: usize, bytes: &[u8]) {
        let start = self.attribute(number, kind, name).start + at;
        self.record(number, |record| {
            record[start..start + bytes.len()].copy_from_slice(bytes)
        });
    }

    /// Changes bytes within a resident value.
    pub(crate) fn in_value(&self, number: u64, kind: u32, name: &str, at: usize, bytes: &[u8]) {
        let start = self.value(number, kind, name) + at;
        self.record(number, |record| {
            record[start..start + bytes.len()].copy_from_slice(bytes)
        });
    }

    /// Changes a block of a directory.
    pub(crate) fn block(&self, directory: u64, number: u64, change: impl FnOnce(&mut [u8])) {
        let place = self.place(directory, kind::INDEX_ALLOCATION, "$I30", number * CLUSTER);
        self.protected(place, BLOCK, change);
    }

    /// Changes the node that holds the entry of a name; `change` is given the node's bytes from its
    /// head on and where the entry stands in them.
    pub(crate) fn entry(
        &self,
        directory: u64,
        name: &str,
        change: impl FnOnce(&mut [u8], Range<usize>),
    ) {
        let key: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let root = self.value(directory, kind::INDEX_ROOT, "$I30") + 0x10;
        let bytes = {
            let mut bytes = self.read(self.record_place(directory), RECORD);
            unprotect(&mut bytes).unwrap();
            bytes
        };
        if let Some(range) = find_entry(&bytes[root..], &key) {
            return self.record(directory, |record| change(&mut record[root..], range));
        }
        for number in 0.. {
            let place = self.place(directory, kind::INDEX_ALLOCATION, "$I30", number * CLUSTER);
            let mut bytes = self.read(place, BLOCK);
            unprotect(&mut bytes).unwrap();
            if let Some(range) = find_entry(&bytes[0x18..], &key) {
                return self.block(directory, number, |block| change(&mut block[0x18..], range));
            }
        }
    }

    /// Changes bytes of the entry of a name.
    pub(crate) fn in_entry(&self, directory: u64, name: &str, at: usize, bytes: &[u8]) {
        self.entry(directory, name, |node, range| {
            node[range.start + at..range.start + at + bytes.len()].copy_from_slice(bytes);
        });
    }

    /// Sets or clears a bit of a bitmap.
    pub(crate) fn bit(&self, record: u64, kind: u32, name: &str, bit: u64, value: bool) {
        let place = self.place(record, kind, name, bit / 8);
        let mut byte = self.read(place, 1);
        let mask = 1 << (bit % 8);
        byte[0] = if value {
            byte[0] | mask
        } else {
            byte[0] & !mask
        };
        self.write(place, &byte);
    }

    /// The first cluster of a file's data.
    pub(crate) fn cluster(&self, record: u64) -> u64 {
        self.place(record, kind::DATA, "", 0) / CLUSTER
    }
}

/// Where the entry of a name stands in a node.
fn find_entry(node: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let word = |at: usize| usize::from(u16::from_le_bytes([node[at], node[at + 1]]));
    let mut at = word(0);
    let end = word(4);
    while at < end {
        let length = word(at + 8);
        if word(at + 12) & 2 != 0 {
            return None;
        }
        let units = usize::from(node[at + 0x50]);
        if node[at + 0x52..at + 0x52 + 2 * units] == *name {
            return Some(at..at + length);
        }
        at += length;
    }
    None
}

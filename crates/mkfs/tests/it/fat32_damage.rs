//! Damages of FAT32, each planted into a sound volume, and the class of finding that tells of it.

use std::ops::ControlFlow;
use std::sync::OnceLock;

use blockio::{ByteCount, ByteOffset, Disk, MIB, MemoryDisk, SectorSize};
use mkfs::fat32::{Fat32Options, format};
use mkfs::tree::memory::MemoryTree;
use mkfs::{CasePolicy, NamePolicy, NodeId, NodeName, NtTime};

/// Bytes of the volume; clusters are sectors, so that there are enough for FAT32.
const SIZE: u64 = 40 * MIB;
const SECTOR: u64 = 512;

/// One damage.
pub(crate) struct Damage {
    pub(crate) name: &'static str,
    pub(crate) plant: fn(&Volume),
    pub(crate) class: &'static str,
}

macro_rules! damages {
    ($($plant:ident => $class:literal,)*) => {
        /// All of them.
        pub(crate) const DAMAGES: &[Damage] = &[
            $(Damage { name: stringify!($plant), plant: $plant, class: $class },)*
        ];
    };
}

damages! {
    boot_without_end_mark => "boot-sector",
    boot_of_no_clusters => "boot-sector",
    boot_with_the_root_outside => "boot-sector",
    boot_copy_that_differs => "boot-copy",
    boot_marked_as_dirty => "volume-dirty",
    info_without_marks => "fsinfo",
    info_with_another_count => "fsinfo-free",
    info_with_a_next_cluster_of_none => "fsinfo-next",
    table_with_another_media_type => "fat-head",
    table_marked_as_dirty => "volume-dirty",
    tables_that_differ => "fat-copy",
    entry_of_the_table_that_leads_nowhere => "fat-entry",
    chain_that_comes_back => "chain-loop",
    chain_of_two_files => "chain-cross",
    chain_into_free_clusters => "chain-free",
    chain_that_is_too_short => "chain-short",
    chain_that_is_too_long => "chain-long",
    chain_of_nobody => "chain-lost",
    file_that_begins_outside => "chain-outside",
    file_larger_than_its_clusters => "chain-short",
    file_smaller_than_its_clusters => "chain-long",
    directory_with_a_size => "directory-size",
    directory_without_clusters => "entry-cluster",
    directory_without_its_dot => "dot-entry",
    directory_with_another_parent => "dot-entry",
    long_name_with_another_checksum => "long-name",
    long_name_out_of_order => "long-name",
    long_name_of_nobody => "long-name",
    short_name_with_small_letters => "name-character",
    short_name_with_a_star => "name-character",
    name_there_twice => "name-duplicate",
    label_in_a_directory => "label",
    label_with_clusters => "label",
    dot_with_a_size => "directory-size",
    file_of_a_month_that_there_is_not => "time",
    file_of_an_hour_that_there_is_not => "time",
    boot_with_a_table_in_use_of_none => "boot-sector",
}

/// A volume that is being spoilt.
pub(crate) struct Volume {
    disk: MemoryDisk,
}

fn sound() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let disk = MemoryDisk::new(ByteCount(SIZE), SectorSize::B512).unwrap();
        let name = |text: &str| NodeName::from_text(text).unwrap();
        let mut tree = MemoryTree::new();
        tree.add_file(NodeId::ROOT, name("FIRST.TXT"), &[1; 5000]);
        tree.add_file(NodeId::ROOT, name("SECOND.TXT"), &[2; 5000]);
        tree.add_file(
            NodeId::ROOT,
            name("a file with a long name.text"),
            &[3; 100],
        );
        let folder = tree.add_directory(NodeId::ROOT, name("FOLDER"));
        let inner = tree.add_directory(folder, name("INNER"));
        tree.add_file(inner, name("DEEP.TXT"), &[4; 600]);
        tree.add_file(inner, name("DEEQ.TXT"), &[5; 600]);
        let options = Fat32Options {
            label: "DAMAGE".into(),
            volume_id: 0x1234_5678,
            time: NtTime::from_unix(1_700_000_000, 0),
            name_policy: NamePolicy::Map,
            case_policy: CasePolicy::Rename,
            cluster_size: Some(ByteCount(SECTOR)),
            hidden_sectors: 0,
        };
        let go_on = |_, _| ControlFlow::Continue(());
        format(&disk, &options, Some(&mut tree.source()), &go_on).unwrap();
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

    fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.disk.read_at(&mut bytes, ByteOffset(at)).unwrap();
        bytes
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.disk.write_at(bytes, ByteOffset(at)).unwrap();
    }

    fn number(&self, at: u64, length: usize) -> u64 {
        let mut bytes = self.read(at, length);
        bytes.resize(8, 0);
        u64::from_le_bytes(bytes.try_into().unwrap())
    }

    fn table(&self, copy: u64) -> u64 {
        (self.number(14, 2) + copy * self.number(36, 4)) * SECTOR
    }

    fn link(&self, cluster: u64) -> u64 {
        self.number(self.table(0) + 4 * cluster, 4)
    }

    /// Sets an entry of both tables.
    fn set_link(&self, cluster: u64, value: u32) {
        for copy in 0..2 {
            self.write(self.table(copy) + 4 * cluster, &value.to_le_bytes());
        }
    }

    fn place(&self, cluster: u64) -> u64 {
        self.table(2) + (cluster - 2) * SECTOR
    }

    /// Where the short entry of a name stands.
    fn entry(&self, name: &[u8; 11]) -> u64 {
        let data = self.table(2);
        let found = self
            .read(data, 1 << 20)
            .chunks(32)
            .position(|slot| slot[..11] == *name);
        data + 32 * u64::try_from(found.unwrap()).unwrap()
    }

    /// The first cluster of a name.
    fn first(&self, name: &[u8; 11]) -> u64 {
        let entry = self.entry(name);
        self.number(entry + 20, 2) << 16 | self.number(entry + 26, 2)
    }

    fn set_first(&self, name: &[u8; 11], cluster: u32) {
        let entry = self.entry(name);
        let [a, b, c, d] = cluster.to_le_bytes();
        self.write(entry + 20, &[c, d]);
        self.write(entry + 26, &[a, b]);
    }
}

const FIRST: &[u8; 11] = b"FIRST   TXT";
const SECOND: &[u8; 11] = b"SECOND  TXT";
const FOLDER: &[u8; 11] = b"FOLDER     ";
const INNER: &[u8; 11] = b"INNER      ";
const DEEP: &[u8; 11] = b"DEEP    TXT";
const DEEQ: &[u8; 11] = b"DEEQ    TXT";
const LONG: &[u8; 11] = b"AFILEW~1TEX";
const END: u32 = 0x0FFF_FFFF;

/// Where the boot sector and its copy stand.
const BOOTS: [u64; 2] = [0, 6 * SECTOR];

fn boot(volume: &Volume, at: u64, bytes: &[u8]) {
    for start in BOOTS {
        volume.write(start + at, bytes);
    }
}

fn boot_without_end_mark(volume: &Volume) {
    boot(volume, 510, &[0, 0]);
}

fn boot_of_no_clusters(volume: &Volume) {
    volume.write(13, &[3]);
}

fn boot_with_the_root_outside(volume: &Volume) {
    boot(volume, 44, &0x0FFF_0000_u32.to_le_bytes());
}

fn boot_copy_that_differs(volume: &Volume) {
    volume.write(BOOTS[1] + 67, &[0x99]);
}

fn boot_marked_as_dirty(volume: &Volume) {
    boot(volume, 65, &[1]);
}

fn info_without_marks(volume: &Volume) {
    volume.write(SECTOR, &[0; 4]);
}

fn info_with_another_count(volume: &Volume) {
    let count = volume.number(SECTOR + 488, 4);
    volume.write(
        SECTOR + 488,
        &u32::try_from(count - 5).unwrap().to_le_bytes(),
    );
}

fn info_with_a_next_cluster_of_none(volume: &Volume) {
    volume.write(SECTOR + 492, &0x0F00_0000_u32.to_le_bytes());
}

fn table_with_another_media_type(volume: &Volume) {
    volume.set_link(0, 0x0FFF_FFF1);
}

fn table_marked_as_dirty(volume: &Volume) {
    volume.set_link(1, 0x07FF_FFFF);
}

fn tables_that_differ(volume: &Volume) {
    volume.write(volume.table(1) + 4 * volume.first(FIRST), &[0x77]);
}

fn entry_of_the_table_that_leads_nowhere(volume: &Volume) {
    volume.set_link(volume.first(FIRST), 0x0F00_0000);
}

fn chain_that_comes_back(volume: &Volume) {
    let first = volume.first(FIRST);
    volume.set_link(first + 5, u32::try_from(first + 1).unwrap());
}

fn chain_of_two_files(volume: &Volume) {
    let other = u32::try_from(volume.first(SECOND)).unwrap();
    volume.set_first(FIRST, other);
}

fn chain_into_free_clusters(volume: &Volume) {
    volume.set_link(volume.first(FIRST), 70_000);
}

fn chain_that_is_too_short(volume: &Volume) {
    volume.set_link(volume.first(FIRST) + 3, END);
}

/// The file takes a cluster more than its size needs.
fn chain_that_is_too_long(volume: &Volume) {
    let last = volume.first(FIRST) + 9;
    assert_eq!(volume.link(last) & 0x0FFF_FFF8, 0x0FFF_FFF8);
    volume.set_link(last, 70_000);
    volume.set_link(70_000, END);
}

fn chain_of_nobody(volume: &Volume) {
    volume.set_link(70_000, 70_001);
    volume.set_link(70_001, END);
}

fn file_that_begins_outside(volume: &Volume) {
    volume.set_first(FIRST, 0x0F00_0000);
}

fn size(volume: &Volume, name: &[u8; 11], size: u32) {
    volume.write(volume.entry(name) + 28, &size.to_le_bytes());
}

fn file_larger_than_its_clusters(volume: &Volume) {
    size(volume, FIRST, 50_000);
}

fn file_smaller_than_its_clusters(volume: &Volume) {
    size(volume, FIRST, 500);
}

fn directory_with_a_size(volume: &Volume) {
    size(volume, FOLDER, 500);
}

fn directory_without_clusters(volume: &Volume) {
    volume.set_first(INNER, 0);
}

fn directory_without_its_dot(volume: &Volume) {
    volume.write(volume.place(volume.first(INNER)), b"X");
}

fn directory_with_another_parent(volume: &Volume) {
    volume.write(volume.place(volume.first(INNER)) + 32 + 26, &[0x77]);
}

/// Of the first two slots before the short name.
fn piece(volume: &Volume, before: u64) -> u64 {
    volume.entry(LONG) - 32 * before
}

fn long_name_with_another_checksum(volume: &Volume) {
    for before in 1..=3 {
        volume.write(piece(volume, before) + 13, &[0x77]);
    }
}

fn long_name_out_of_order(volume: &Volume) {
    volume.write(piece(volume, 2), &[7]);
}

fn long_name_of_nobody(volume: &Volume) {
    volume.set_first(LONG, 0);
    volume.set_link(volume.first(LONG).max(2), END);
    volume.write(volume.entry(LONG), &[0xE5]);
}

fn short_name_with_small_letters(volume: &Volume) {
    volume.write(volume.entry(FIRST), b"f");
}

fn short_name_with_a_star(volume: &Volume) {
    volume.write(volume.entry(FIRST) + 1, b"*");
}

fn name_there_twice(volume: &Volume) {
    volume.write(volume.entry(DEEQ), DEEP);
}

fn label_in_a_directory(volume: &Volume) {
    let slot = volume.place(volume.first(INNER)) + 32 * 4;
    volume.write(slot, b"A LABEL    \x08");
}

fn label_with_clusters(volume: &Volume) {
    volume.write(volume.entry(b"DAMAGE     ") + 26, &[5]);
}

fn dot_with_a_size(volume: &Volume) {
    volume.write(volume.place(volume.first(INNER)) + 28, &[0x20]);
}

/// The thirteenth month, and the hour 25.
fn file_of_a_month_that_there_is_not(volume: &Volume) {
    let date = 20_u16 << 9 | 13 << 5 | 1;
    volume.write(volume.entry(FIRST) + 24, &date.to_le_bytes());
}

fn file_of_an_hour_that_there_is_not(volume: &Volume) {
    let time = 25_u16 << 11;
    volume.write(volume.entry(FIRST) + 22, &time.to_le_bytes());
}

/// One table alone is kept up: the sixth of two.
fn boot_with_a_table_in_use_of_none(volume: &Volume) {
    boot(volume, 40, &[0x85]);
}

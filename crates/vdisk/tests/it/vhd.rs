//! What a VHD looks like in the file, what is read from those of others, and many threads on one.

use std::sync::Arc;

use blockio::{
    BlockKind, ByteCount, ByteOffset, Disk, MemoryStorage, SectorSize, SparseMemoryStorage, Storage,
};
use vdisk::{
    Access, CreateOptions, IdSource, ImageErrorKind, ImageFormat, ImageKind, Provisioning, Severity,
};

use crate::images::{self, File, KIB, MIB, bytes_of, range};

/// Puts right the checksum of a footer (field at 64) or header (field at 36).
pub(crate) fn fix_checksum(bytes: &mut [u8], field: usize) {
    bytes[field..field + 4].fill(0);
    let sum: u32 = bytes.iter().map(|b| u32::from(*b)).sum();
    bytes[field..field + 4].copy_from_slice(&(!sum).to_be_bytes());
}

/// A dynamic VHD of 4 MiB + 512 with blocks of 512 KiB: all of block 1 and a sector of block 8.
pub(crate) fn sample() -> Vec<u8> {
    let file = File::default();
    let size = 4 * MIB + 512;
    let disk = images::create(&file, ImageFormat::Vhd, Provisioning::Dynamic, size);
    let block = vec![0x11; usize::try_from(512 * KIB).unwrap()];
    disk.write_at(&block, ByteOffset(512 * KIB)).unwrap();
    disk.write_at(&[0x22; 512], ByteOffset(4 * MIB)).unwrap();
    disk.close().unwrap();
    bytes_of(&file)
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn open_bytes(bytes: Vec<u8>) -> Result<Box<dyn vdisk::ImageDisk>, vdisk::ImageError> {
    let storage = MemoryStorage::from_bytes(bytes);
    vdisk::open(Box::new(storage), Some(ImageFormat::Vhd), Access::ReadOnly)
}

/// A check of a disk whose type or version nobody knows told of no errors: nothing had been looked at.
#[test]
fn what_a_check_does_not_know_it_does_not_call_sound() {
    let types = (60, 7_u32, 0..512, 64);
    let versions = (12, 0x2_0000, 0..512, 64);
    let headers = (512 + 24, 0x3_0000, 512..1536, 36);
    for (field, value, part, sum) in [types, versions, headers] {
        let mut bytes = sample();
        bytes[field..field + 4].copy_from_slice(&value.to_be_bytes());
        fix_checksum(&mut bytes[part], sum);
        let end = bytes.len() - 512;
        bytes.copy_within(0..512, end);
        let checked = vdisk::check(&MemoryStorage::from_bytes(bytes), None);
        let kind = checked
            .map(|report| report.is_sound())
            .map_err(|e| e.kind());
        assert_eq!(kind, Err(ImageErrorKind::Unsupported), "{field}");
    }
}

#[test]
fn a_dynamic_vhd_is_laid_out_as_windows_lays_it_out() {
    let bytes = sample();
    let end = bytes.len() - 512;
    assert_eq!(bytes[..512], bytes[end..], "the footer and its copy");
    assert_eq!(&bytes[28..32], b"win ");
    assert_eq!(be64(&bytes, 48), 4 * MIB + 512, "current size is exact");
    assert_eq!(be32(&bytes, 24), 1_700_000_000 - 946_684_800);
    assert_eq!(&bytes[512..520], b"cxsparse");
    assert_eq!(be64(&bytes, 512 + 16), 1536, "table offset");
    assert_eq!(be32(&bytes, 512 + 28), 9, "table entries");
    let entries: Vec<u32> = (0..9).map(|n| be32(&bytes, 1536 + 4 * n)).collect();
    let used: Vec<u32> = entries.iter().copied().filter(|e| *e != u32::MAX).collect();
    assert_eq!(used, [entries[1], entries[8]]);
    for entry in used {
        assert_eq!(entry % 8, 7, "data is aligned to 4 KiB");
        let at = usize::try_from(entry).unwrap() * 512;
        assert_eq!(
            bytes[at..at + 512],
            [0xff; 512],
            "the sector bitmap is full"
        );
    }
    assert_eq!(
        bytes[1536 + 36..2048],
        [0xff; 476],
        "the table fills its sector"
    );
    assert_eq!(
        end % 4096,
        3584,
        "the footer is where the next bitmap would be"
    );
}

#[test]
fn the_same_options_give_the_same_bytes() {
    assert!(sample() == sample());
}

#[test]
fn the_largest_vhd_is_2040_gib_and_small_while_it_is_empty() {
    let file = File::default();
    let mut options = CreateOptions::new(ByteCount(2040 << 30));
    let disk = vdisk::create(Box::new(file.clone()), ImageFormat::Vhd, &options).unwrap();
    let last = ByteOffset((2040 << 30) - 4);
    disk.write_at(b"last", last).unwrap();
    disk.close().unwrap();
    assert!(file.len().unwrap().get() < 7 * MIB);
    let disk = images::open(&file, ImageFormat::Vhd);
    let mut buf = [0; 4];
    disk.read_at(&mut buf, last).unwrap();
    assert_eq!(&buf, b"last");
    options.size = ByteCount((2040 << 30) + 512);
    let refused = vdisk::create(Box::new(File::default()), ImageFormat::Vhd, &options);
    assert_eq!(refused.err().unwrap().kind(), ImageErrorKind::TooLarge);
}

#[test]
fn options_that_a_vhd_cannot_have_are_refused() {
    let good = CreateOptions::new(ByteCount(MIB));
    let fixed = Provisioning::Fixed;
    let bad = [
        CreateOptions {
            size: ByteCount(0),
            ..good.clone()
        },
        CreateOptions {
            size: ByteCount(1000),
            ..good.clone()
        },
        CreateOptions {
            logical_sector: SectorSize::B4096,
            ..good.clone()
        },
        CreateOptions {
            block_size: Some(ByteCount(MIB)),
            ..good.clone()
        },
        CreateOptions {
            block_size: Some(ByteCount(0)),
            ..good.clone()
        },
        CreateOptions {
            block_size: Some(ByteCount(2 * MIB)),
            provisioning: fixed,
            ..good.clone()
        },
    ];
    for options in bad {
        let refused = vdisk::create(Box::new(File::default()), ImageFormat::Vhd, &options);
        let kind = refused.err().unwrap().kind();
        assert_eq!(kind, ImageErrorKind::InvalidOption, "{options:?}");
    }
    let small_blocks = CreateOptions {
        size: ByteCount(2040 << 30),
        block_size: Some(ByteCount(512 * KIB)),
        ..good
    };
    let refused = vdisk::create(Box::new(File::default()), ImageFormat::Vhd, &small_blocks);
    assert_eq!(refused.err().unwrap().kind(), ImageErrorKind::TooLarge);
}

#[test]
fn a_file_that_lost_its_end_is_opened_by_the_copy_of_the_footer() {
    let mut bytes = sample();
    bytes.truncate(bytes.len() - 512);
    let disk = open_bytes(bytes.clone()).unwrap();
    let mut buf = [0; 512];
    disk.read_at(&mut buf, ByteOffset(4 * MIB)).unwrap();
    assert_eq!(buf, [0x22; 512]);
    let report = vdisk::check(&MemoryStorage::from_bytes(bytes.clone()), None).unwrap();
    assert!(!report.is_sound());
    // Writing a new block mends it.
    let file = Arc::new(MemoryStorage::from_bytes(bytes));
    let disk = vdisk::open(Box::new(file.clone()), None, Access::ReadWrite).unwrap();
    disk.write_at(&[0x33; 512], ByteOffset(0)).unwrap();
    disk.close().unwrap();
    let report = vdisk::check(&file, None).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings());
}

#[test]
fn a_copy_at_the_start_never_overrules_a_good_footer_at_the_end() {
    // The guest of a fixed disk writes the first sectors of another VHD into its first sector.
    let file = File::default();
    let disk = images::create(&file, ImageFormat::Vhd, Provisioning::Fixed, MIB);
    disk.write_at(&sample()[..4096], ByteOffset(0)).unwrap();
    disk.close().unwrap();
    let disk = images::open(&file, ImageFormat::Vhd);
    assert_eq!(disk.info().kind, ImageKind::Fixed);
    assert_eq!(disk.size().get(), MIB);
}

#[test]
fn a_footer_of_511_bytes_is_a_footer() {
    let file = File::default();
    let disk = images::create(&file, ImageFormat::Vhd, Provisioning::Fixed, MIB);
    disk.write_at(b"data", ByteOffset(MIB - 4)).unwrap();
    disk.close().unwrap();
    let mut bytes = bytes_of(&file);
    bytes.pop();
    let disk = open_bytes(bytes).unwrap();
    let mut buf = [0; 4];
    disk.read_at(&mut buf, ByteOffset(MIB - 4)).unwrap();
    assert_eq!((disk.size().get(), &buf), (MIB, b"data"));
}

/// The footer with the new size was written a byte early, over the last block: the image, resized
/// without an error, could not be opened any more.
#[test]
fn a_resize_puts_a_whole_footer_in_the_place_of_one_of_511_bytes() {
    let size = 9 * MIB;
    for new_size in [40 * MIB, 5 * MIB] {
        let file = File::default();
        let disk = images::create(&file, ImageFormat::Vhd, Provisioning::Dynamic, size);
        disk.write_at(&[7; 5000], ByteOffset(4 * MIB)).unwrap();
        disk.close().unwrap();
        let mut bytes = bytes_of(&file);
        // Right behind the block, as Virtual PC had it.
        let footer = bytes[..511].to_vec();
        let sector = u64::from(be32(&bytes, 1536 + 4 * 8));
        let end = usize::try_from((sector + 1) * 512 + 512 * KIB).unwrap();
        bytes.truncate(end);
        bytes.extend(footer);
        let file = File::default();
        file.write_at(&bytes, ByteOffset(0)).unwrap();
        let mut disk = images::open(&file, ImageFormat::Vhd);
        disk.resize(ByteCount(new_size)).unwrap();
        disk.close().unwrap();
        let report = vdisk::check(&file, None).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings());
        let disk = images::open(&file, ImageFormat::Vhd);
        // A block more, behind the footer that was.
        disk.write_at(&[8; 100], ByteOffset(MIB)).unwrap();
        disk.close().unwrap();
        let report = vdisk::check(&file, None).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings());
        let disk = open_bytes(bytes_of(&file)).unwrap();
        let mut buf = [0; 5000];
        disk.read_at(&mut buf, ByteOffset(4 * MIB)).unwrap();
        assert!(buf == [7; 5000]);
        disk.read_at(&mut buf[..100], ByteOffset(MIB)).unwrap();
        assert_eq!((disk.size().get(), &buf[..100]), (new_size, &[8; 100][..]));
    }
}

#[test]
fn the_size_goes_by_the_geometry_for_those_who_made_it_so() {
    let by_creator = |creator: &[u8; 4], cylinders: u16| {
        let mut bytes = sample();
        let end = bytes.len() - 512;
        for at in [0, end] {
            bytes[at + 28..at + 32].copy_from_slice(creator);
            if cylinders != 0 {
                bytes[at + 56..at + 58].copy_from_slice(&cylinders.to_be_bytes());
                bytes[at + 58..at + 60].copy_from_slice(&[16, 255]);
            }
            fix_checksum(&mut bytes[at..at + 512], 64);
        }
        open_bytes(bytes).unwrap().size().get()
    };
    let (current, geometry) = (4 * MIB + 512, 120 * 4 * 17 * 512);
    for creator in [b"vpc ", b"qemu"] {
        assert_eq!(by_creator(creator, 0), geometry);
        assert_eq!(
            by_creator(creator, 65535),
            current,
            "the largest geometry says nothing"
        );
    }
    for creator in [
        b"win ",
        b"d2v ",
        b"tap\0",
        b"qem2",
        b"CTXS",
        b"vbox",
        b"\0\0\0\0",
    ] {
        assert_eq!(by_creator(creator, 0), current);
    }
}

#[test]
fn a_differencing_vhd_is_described_and_its_data_refused() {
    let mut bytes = sample();
    let end = bytes.len() - 512;
    for at in [0, end] {
        bytes[at + 63] = 4;
        fix_checksum(&mut bytes[at..at + 512], 64);
    }
    let name: Vec<u8> = ".\\base.vhd"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let absolute: Vec<u8> = "C:\\base.vhd"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    bytes[2048..2048 + name.len()].copy_from_slice(&name);
    bytes[512 + 64..512 + 64 + absolute.len()].copy_from_slice(&absolute);
    let locator = 512 + 576;
    bytes[locator..locator + 4].copy_from_slice(b"W2ru");
    bytes[locator + 11] = u8::try_from(name.len()).unwrap();
    bytes[locator + 22..locator + 24].copy_from_slice(&[8, 0]);
    // A second locator points far outside the file.
    bytes[locator + 24..locator + 28].copy_from_slice(b"W2ku");
    bytes[locator + 24 + 8..locator + 48].fill(0x7f);
    bytes[512 + 40..512 + 56].fill(9);
    fix_checksum(&mut bytes[512..1536], 36);
    let storage = MemoryStorage::from_bytes(bytes.clone());
    let info = vdisk::info(&storage, None).unwrap();
    assert_eq!(info.kind, ImageKind::Differencing);
    let parent = info.parent.unwrap();
    assert_eq!(parent.linkage.unwrap().into_bytes(), [9; 16]);
    let paths: Vec<_> = parent
        .paths
        .iter()
        .map(|p| (p.kind, p.path.as_str()))
        .collect();
    assert_eq!(
        paths,
        [
            ("W2ru", ".\\base.vhd"),
            ("parent_unicode_name", "C:\\base.vhd")
        ]
    );
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let storage = Box::new(MemoryStorage::from_bytes(bytes.clone()));
        let error = vdisk::open(storage, None, access).err().unwrap();
        assert_eq!(error.kind(), ImageErrorKind::Differencing);
        assert!(error.to_string().contains("base.vhd"));
    }
    let report = vdisk::check(&storage, None).unwrap();
    let rules: Vec<_> = report.findings().iter().map(|f| f.rule).collect();
    assert_eq!(rules, ["VHD parent locator"], "{:?}", report.findings());
}

#[test]
fn opening_changes_nothing_until_something_is_written() {
    let before = sample();
    let file = Arc::new(MemoryStorage::from_bytes(before.clone()));
    let disk = vdisk::open(Box::new(file.clone()), None, Access::ReadWrite).unwrap();
    disk.flush().unwrap();
    disk.close().unwrap();
    assert!(file.to_bytes() == before);
    let disk = vdisk::open(Box::new(file.clone()), None, Access::ReadOnly).unwrap();
    let refused = disk.write_at(&[1; 512], ByteOffset(0)).err().unwrap();
    assert_eq!(refused.kind(), blockio::IoErrorKind::ReadOnly);
    assert!(disk.discard(range(0, 512)).is_err() && disk.write_zeroes(range(0, 512)).is_err());
    disk.close().unwrap();
    assert!(file.to_bytes() == before);
}

#[test]
fn zeros_take_no_block_and_discarded_data_reads_zero() {
    let file = File::default();
    let disk = images::create(&file, ImageFormat::Vhd, Provisioning::Dynamic, 4 * MIB);
    let zeros = vec![0; usize::try_from(3 * MIB).unwrap()];
    disk.write_at(&zeros, ByteOffset(512)).unwrap();
    disk.write_zeroes(range(0, 4 * MIB)).unwrap();
    assert_eq!(disk.info().allocated.get(), 0);
    disk.write_at(&[7; 4096], ByteOffset(MIB)).unwrap();
    assert_eq!(disk.info().allocated.get(), 512 * KIB);
    let status = disk.block_status(range(0, 4 * MIB)).unwrap();
    assert_eq!(
        (status.range.end().get(), status.kind),
        (MIB, BlockKind::Hole)
    );
    disk.discard(range(0, 4 * MIB)).unwrap();
    assert!(images::read_by_status(&*disk).iter().all(|b| *b == 0));
    assert_eq!(
        disk.info().allocated.get(),
        512 * KIB,
        "a VHD never frees a block"
    );
}

#[test]
fn leftovers_of_a_crashed_session_are_never_read() {
    // Blocks that were written and not published lie behind the last published one.
    let file = File::default();
    let disk = images::create(&file, ImageFormat::Vhd, Provisioning::Dynamic, 8 * MIB);
    disk.write_at(&[0xee; 65536], ByteOffset(0)).unwrap();
    drop(disk);
    let report = vdisk::check(&file, None).unwrap();
    let leaks = |f: &vdisk::Finding| f.severity == Severity::Leak;
    assert!(report.is_sound() && report.findings().iter().any(leaks));
    let disk = images::open(&file, ImageFormat::Vhd);
    for block in 0..16 {
        disk.write_at(&[1], ByteOffset(block * 512 * KIB + 100_000))
            .unwrap();
    }
    let bytes = images::read_all(&*disk);
    assert_eq!(bytes.iter().filter(|b| **b != 0).count(), 16);
    disk.close().unwrap();
    let report = vdisk::check(&file, None).unwrap();
    assert!(report.findings().is_empty(), "{:?}", report.findings());
}

#[test]
fn many_threads_write_read_and_flush_one_disk() {
    let file = File::default();
    let disk = images::create(&file, ImageFormat::Vhd, Provisioning::Dynamic, 16 * MIB);
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let disk = &*disk;
            scope.spawn(move || {
                // Every thread writes its own stripe of every block.
                for block in 0..32 {
                    let at = ByteOffset(block * 512 * KIB + u64::from(thread) * 64 * KIB);
                    let wanted = vec![thread + 1; 65536];
                    disk.write_at(&wanted, at).unwrap();
                    if block % 8 == u64::from(thread) {
                        disk.flush().unwrap();
                    }
                    let mut found = vec![0; 65536];
                    disk.read_at(&mut found, at).unwrap();
                    assert!(found == wanted);
                }
            });
        }
    });
    disk.close().unwrap();
    let disk = images::open(&file, ImageFormat::Vhd);
    let bytes = images::read_all(&*disk);
    for (stripe, bytes) in bytes.chunks(65536).enumerate() {
        let wanted = u8::try_from(stripe % 8 + 1).unwrap();
        assert!(bytes.iter().all(|b| *b == wanted), "stripe {stripe}");
    }
}

#[test]
fn what_lies_outside_the_disk_is_refused() {
    for provisioning in [Provisioning::Dynamic, Provisioning::Fixed] {
        let disk = images::create(&File::default(), ImageFormat::Vhd, provisioning, MIB);
        let mut buf = [0; 512];
        for at in [MIB - 511, MIB, u64::MAX - 100, u64::MAX] {
            assert!(disk.read_at(&mut buf, ByteOffset(at)).is_err());
            assert!(disk.write_at(&buf, ByteOffset(at)).is_err());
        }
        assert!(disk.discard(range(MIB - 1, 2)).is_err());
        assert!(disk.block_status(range(0, MIB + 1)).is_err());
        assert!(disk.block_status(range(0, 0)).is_err());
        assert!(disk.read_at(&mut [], ByteOffset(MIB)).is_ok());
    }
}

#[test]
fn a_read_only_storage_cannot_be_opened_for_writing() {
    struct Sealed(SparseMemoryStorage);
    impl Storage for Sealed {
        fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> blockio::Result<()> {
            self.0.read_at(buf, offset)
        }
        fn write_at(&self, buf: &[u8], offset: ByteOffset) -> blockio::Result<()> {
            self.0.write_at(buf, offset)
        }
        fn sync(&self) -> blockio::Result<()> {
            self.0.sync()
        }
        fn len(&self) -> blockio::Result<ByteCount> {
            self.0.len()
        }
        fn set_len(&self, len: ByteCount) -> blockio::Result<()> {
            self.0.set_len(len)
        }
        fn zero(&self, range: blockio::ByteRange, mode: blockio::ZeroMode) -> blockio::Result<()> {
            self.0.zero(range, mode)
        }
        fn extent_at(&self, range: blockio::ByteRange) -> blockio::Result<blockio::Extent> {
            self.0.extent_at(range)
        }
        fn is_read_only(&self) -> bool {
            true
        }
    }
    let storage = SparseMemoryStorage::default();
    storage.write_at(&sample(), ByteOffset(0)).unwrap();
    let refused = vdisk::open(Box::new(Sealed(storage)), None, Access::ReadWrite);
    assert_eq!(refused.err().unwrap().kind(), ImageErrorKind::ReadOnly);
}

#[test]
fn identifiers_come_from_the_seed() {
    let with = |ids| {
        let options = CreateOptions {
            ids,
            ..CreateOptions::new(ByteCount(MIB))
        };
        let disk = vdisk::create(Box::new(File::default()), ImageFormat::Vhd, &options).unwrap();
        disk.info().ids
    };
    let seeded = IdSource::Seeded([3; 32]);
    assert_eq!(with(seeded), with(seeded));
    assert_ne!(with(IdSource::Random), with(IdSource::Random));
}

//! Salvage: of every damaged image all is read that can be, and what cannot is named.

use std::ops::ControlFlow;
use std::sync::Arc;

use blockio::{
    ByteCount, ByteOffset, ByteRange, Extent, IoError, MemoryDisk, Operation, Result, SectorSize,
    SparseMemoryStorage, Storage, ZeroMode,
};
use vdisk::{DenyAll, ImageFormat, Salvage, SalvageOptions, SalvageReport};

use crate::damage::{Damage, Outcome, Sample, vhd, vhdx};
use crate::images::{KIB, MIB, range};
use crate::repair::{Subject, sample};

/// A file of which some bytes cannot be read, as of a disk with bad sectors.
struct BadSectors {
    file: SparseMemoryStorage,
    bad: Vec<ByteRange>,
}

impl Storage for BadSectors {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        let length = ByteCount(u64::try_from(buf.len()).unwrap());
        let read = ByteRange::new(offset, length).unwrap();
        if self.bad.iter().any(|bad| bad.intersect(read).is_some()) {
            let source = std::io::Error::other("bad sector");
            return Err(IoError::host(Operation::Read, offset, length, source));
        }
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, _: &[u8], _: ByteOffset) -> Result<()> {
        panic!("salvage writes to the image")
    }

    fn sync(&self) -> Result<()> {
        panic!("salvage syncs the image")
    }

    fn len(&self) -> Result<ByteCount> {
        self.file.len()
    }

    fn set_len(&self, _: ByteCount) -> Result<()> {
        panic!("salvage resizes the image")
    }

    fn zero(&self, _: ByteRange, _: ZeroMode) -> Result<()> {
        panic!("salvage zeroes the image")
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent> {
        self.file.extent_at(range)
    }

    fn is_read_only(&self) -> bool {
        true
    }
}

/// All bytes of the disk as they are salvaged, and what was told of them.
fn salvage(
    subject: &Subject,
    bad: Vec<ByteRange>,
    options: SalvageOptions,
) -> std::result::Result<(Vec<u8>, SalvageReport), vdisk::ImageError> {
    let storage = BadSectors {
        file: (*subject.file).clone(),
        bad,
    };
    let gate = subject.files.gate(subject.files.files.len() - 1);
    let opened = Salvage::open(Box::new(storage), Some(subject.format), options, &gate)?;
    let target = MemoryDisk::new(opened.disk().size(), SectorSize::B512).unwrap();
    let report = opened.copy_to(&target, &|_| ControlFlow::Continue(()))?;
    Ok((target.to_bytes(), report))
}

fn names(report: &SalvageReport, at: u64) -> bool {
    let probe = range(at, 512);
    let lost = report.lost.iter().map(|lost| lost.range);
    let mut named = lost.chain(report.doubtful.iter().copied());
    named.any(|range| range.intersect(probe).is_some())
}

/// Every sector is right or named; what is lost is zeros.
fn compare(name: &str, whole: &[u8], saved: &[u8], report: &SalvageReport) {
    assert_eq!(whole.len(), saved.len(), "{name}");
    let sectors = whole.chunks(512).zip(saved.chunks(512));
    for (at, (whole, saved)) in (0_u64..).step_by(512).zip(sectors) {
        assert!(
            whole == saved || names(report, at),
            "{name}: {at:#x} is wrong and not named"
        );
    }
    for lost in &report.lost {
        let start = usize::try_from(lost.range.start().get()).unwrap();
        let end = usize::try_from(lost.range.end().get()).unwrap();
        assert!(saved[start..end].iter().all(|byte| *byte == 0), "{name}");
    }
}

fn check_row(format: ImageFormat, row: &Damage) -> bool {
    if row.sample == Sample::Wide {
        return true;
    }
    let name = row.name;
    let subject = sample(format, row.sample);
    let none = SalvageOptions::default();
    let (whole, report) = salvage(&subject, Vec::new(), none).unwrap();
    assert!(report.is_whole(), "{name}");
    (row.break_it)(&*subject.file);
    let known = SalvageOptions {
        size: Some(ByteCount(8 * MIB)),
        block_size: Some(ByteCount(if format == ImageFormat::Vhd {
            512 * KIB
        } else {
            MIB
        })),
        logical_sector: None,
    };
    let options = if row.outcome == Outcome::Named {
        known
    } else {
        none
    };
    let saved = salvage(&subject, Vec::new(), options);
    let Ok((saved, report)) = saved else {
        assert_eq!(row.outcome, Outcome::Named, "{name}: {:?}", saved.err());
        return false;
    };
    if saved.len() == whole.len() {
        // (A damage that is no damage to the format can be one to the data.)
        if row.finding != "not aligned to 4 KiB" && row.name != "live log without a whole entry" {
            compare(name, &whole, &saved, &report);
        }
    } else {
        assert_eq!(row.outcome, Outcome::Named, "{name}");
    }
    if row.outcome == Outcome::Repaired {
        assert!(report.is_whole(), "{name}: {report:?}");
    }
    true
}

fn salvaged(format: ImageFormat, rows: &[Damage]) -> Vec<&'static str> {
    let lost = rows.iter().filter(|row| !check_row(format, row));
    lost.map(|row| row.name).collect()
}

#[test]
fn of_every_damaged_vhdx_all_is_read_that_can_be() {
    let lost = salvaged(ImageFormat::Vhdx, vhdx::DAMAGES);
    let hopeless = [
        "file shorter than its headers",
        "both region tables gone, no block",
        "parent locator, too many pairs",
        "parent locator, pair outside",
    ];
    assert!(lost.iter().all(|name| hopeless.contains(name)), "{lost:?}");
}

#[test]
fn of_every_damaged_vhd_all_is_read_that_can_be() {
    let lost = salvaged(ImageFormat::Vhd, vhd::DAMAGES);
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn a_bad_sector_loses_itself_alone() {
    for format in [ImageFormat::Vhdx, ImageFormat::Vhd] {
        let subject = sample(format, Sample::Clean);
        let none = SalvageOptions::default();
        let (whole, _) = salvage(&subject, Vec::new(), none).unwrap();
        let end = subject.file.len().unwrap().get();
        let bad = vec![range(end - 70 * KIB, 512), range(end - 200 * KIB, 3 * KIB)];
        let (saved, report) = salvage(&subject, bad, none).unwrap();
        compare("bad sectors", &whole, &saved, &report);
        assert_eq!(report.lost_bytes, ByteCount(512 + 3 * KIB), "{report:?}");
        assert_eq!(report.lost.len(), 2);
        assert_eq!(report.lost[0].reason, "the host cannot read it");
    }
}

#[test]
fn a_bad_sector_in_one_copy_of_a_structure_loses_nothing() {
    let subject = sample(ImageFormat::Vhdx, Sample::Clean);
    let none = SalvageOptions::default();
    let (whole, _) = salvage(&subject, Vec::new(), none).unwrap();
    for at in [64 * KIB, 192 * KIB + 4096, 0] {
        let (saved, report) = salvage(&subject, vec![range(at, 512)], none).unwrap();
        assert!(saved == whole && report.is_whole(), "{at:#x}: {report:?}");
    }
    // A sector of the table of blocks takes the blocks with it that stand there.
    let (saved, report) = salvage(&subject, vec![range(3 * MIB, 512)], none).unwrap();
    assert!(!report.is_whole());
    compare("table", &whole, &saved, &report);
}

#[test]
fn a_child_whose_parent_is_gone_gives_what_it_holds_itself() {
    for format in [ImageFormat::Vhdx, ImageFormat::Vhd] {
        let subject = sample(format, Sample::Child);
        let none = SalvageOptions::default();
        let (whole, _) = salvage(&subject, Vec::new(), none).unwrap();
        let storage: Box<dyn Storage> = Box::new(Arc::clone(&subject.file));
        let opened = Salvage::open(storage, Some(format), none, &DenyAll).unwrap();
        assert!(opened.parent_error.is_some());
        let target = MemoryDisk::new(opened.disk().size(), SectorSize::B512).unwrap();
        let report = opened
            .copy_to(&target, &|_| ControlFlow::Continue(()))
            .unwrap();
        let saved = target.to_bytes();
        compare("child", &whole, &saved, &report);
        let own = usize::try_from(MIB + 4096).unwrap();
        assert_eq!(saved[own..own + 8192], [0xcc; 8192], "{format}");
        assert!(report.lost_bytes.get() > 6 * MIB && report.lost_bytes.get() < 8 * MIB);
    }
}

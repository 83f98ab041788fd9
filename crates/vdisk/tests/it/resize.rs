//! Another size for the disk of an image: against a plain array, in every crash state, on a full host.

use std::sync::Arc;

use blockio::{
    ByteCount, ByteOffset, CrashPlan, Disk, Fault, FaultTarget, SimStorage, SparseMemoryStorage,
};
use vdisk::{Access, ImageDisk, ImageErrorKind, ImageFormat, ImageInfo, Provisioning, Severity};

use crate::images::{self, File, KIB, MIB, range};
use crate::random::Random;

const KINDS: [(ImageFormat, Provisioning); 5] = [
    (ImageFormat::Vhdx, Provisioning::Dynamic),
    (ImageFormat::Vhdx, Provisioning::Fixed),
    (ImageFormat::Vhd, Provisioning::Dynamic),
    (ImageFormat::Vhd, Provisioning::Fixed),
    (ImageFormat::Raw, Provisioning::Dynamic),
];

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

/// A disk beside the array that it must agree with.
struct Pair {
    file: File,
    format: ImageFormat,
    provisioning: Provisioning,
    disk: Box<dyn ImageDisk>,
    array: Vec<u8>,
    random: Random,
}

impl Pair {
    fn new((format, provisioning): (ImageFormat, Provisioning), seed: u64) -> Self {
        let file = File::default();
        let size = 6 * MIB;
        Self {
            disk: images::create(&file, format, provisioning, size),
            array: vec![0; index(size)],
            random: Random::new(seed),
            file,
            format,
            provisioning,
        }
    }

    fn size(&self) -> u64 {
        u64::try_from(self.array.len()).unwrap()
    }

    fn step(&mut self) {
        let start = self.random.below(self.size());
        let length = 1 + self.random.below(2 * MIB);
        let length = length.min(self.size() - start);
        match self.random.below(20) {
            0..7 => {
                let bytes = self.random.bytes(index(length));
                self.disk.write_at(&bytes, ByteOffset(start)).unwrap();
                self.slice(start, length).copy_from_slice(&bytes);
            }
            7..10 => {
                self.disk.discard(range(start, length)).unwrap();
                self.slice(start, length).fill(0);
            }
            10 => self.disk.flush().unwrap(),
            11..14 => self.compact(start, length),
            14..19 => self.resize(),
            _ => self.reopen(),
        }
    }

    fn slice(&mut self, start: u64, length: u64) -> &mut [u8] {
        &mut self.array[index(start)..index(start + length)]
    }

    /// What nobody uses is zero before as well, so that the array knows it.
    fn compact(&mut self, start: u64, length: u64) {
        let unused = [range(start, length)];
        self.disk.write_zeroes(unused[0]).unwrap();
        self.slice(start, length).fill(0);
        match images::compact(&mut *self.disk, &unused) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ImageErrorKind::Unsupported);
                assert_eq!(self.provisioning, Provisioning::Fixed);
            }
        }
    }

    /// Now and then far enough that the table of a VHD needs another sector.
    fn resize(&mut self) {
        let most = match self.random.below(4) {
            0 => 90 * MIB,
            _ => 20 * MIB,
        };
        let size = (1 + self.random.below(most)).next_multiple_of(512);
        if size < self.size() {
            let behind = range(size, self.size() - size);
            if self.random.below(2) == 0 && self.array[index(size)..].iter().any(|byte| *byte != 0)
            {
                let error = self.disk.resize(ByteCount(size)).unwrap_err();
                assert_eq!(error.kind(), ImageErrorKind::InvalidOption);
                return;
            }
            self.disk.discard(behind).unwrap();
        }
        self.disk.resize(ByteCount(size)).unwrap();
        self.array.resize(index(size), 0);
        assert_eq!(self.disk.size().get(), size);
        assert_eq!(self.disk.info().virtual_size.get(), size);
    }

    fn reopen(&mut self) {
        let closing = std::mem::replace(&mut self.disk, images::open(&File::default(), raw()));
        closing.close().unwrap();
        let report = vdisk::check(&*self.file, Some(self.format)).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings());
        self.disk = images::open(&self.file, self.format);
    }
}

fn raw() -> ImageFormat {
    ImageFormat::Raw
}

#[test]
fn histories_with_resizes_and_compactions_agree_with_a_plain_array() {
    let rounds = std::env::var("CVOL_RESIZE_ROUNDS");
    let rounds = rounds.map_or(3, |text| text.parse().unwrap());
    for kind in KINDS {
        for seed in 0..rounds {
            let mut pair = Pair::new(kind, seed);
            for step in 0..40 {
                pair.step();
                if step % 4 == 0 {
                    let bytes = images::read_by_status(&*pair.disk);
                    assert!(bytes == pair.array, "{kind:?}, seed {seed}, step {step}");
                }
            }
            pair.reopen();
            assert!(
                images::read_all(&*pair.disk) == pair.array,
                "{kind:?}, seed {seed}"
            );
        }
    }
}

/// Far beyond what the region of the table has room for.
#[test]
fn the_table_of_a_vhdx_moves_where_its_region_is_too_short() {
    let file = File::default();
    let kind = ImageFormat::Vhdx;
    let disk = images::create(&file, kind, Provisioning::Dynamic, 40 * MIB);
    let bytes = Random::new(5).bytes(index(3 * MIB));
    disk.write_at(&bytes, ByteOffset(37 * MIB)).unwrap();
    disk.close().unwrap();
    let mut size = 0;
    for new in [300 * 1024, 3 * 1024 * 1024, 64 * 1024 * 1024] {
        let mut disk = images::open(&file, kind);
        size = new * MIB;
        disk.resize(ByteCount(size)).unwrap();
        disk.write_at(&bytes[..100], ByteOffset(size - 100))
            .unwrap();
        disk.close().unwrap();
        let report = vdisk::check(&*file, Some(kind)).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings());
        let disk = images::open(&file, kind);
        let mut found = vec![0; bytes.len()];
        disk.read_at(&mut found, ByteOffset(37 * MIB)).unwrap();
        assert!(found == bytes);
        disk.read_at(&mut found[..100], ByteOffset(size - 100))
            .unwrap();
        assert!(found[..100] == bytes[..100]);
        let status = disk.block_status(range(40 * MIB, 100 * MIB)).unwrap();
        assert!(status.kind.reads_zero() && status.range.len().get() == 100 * MIB);
    }
    let mut disk = images::open(&file, kind);
    let error = disk.resize(ByteCount(size + MIB)).unwrap_err();
    assert_eq!(error.kind(), ImageErrorKind::TooLarge);
    let error = disk.resize(ByteCount(50 * MIB)).unwrap_err();
    assert_eq!(error.kind(), ImageErrorKind::InvalidOption);
    disk.discard(range(50 * MIB, size - 50 * MIB)).unwrap();
    disk.resize(ByteCount(50 * MIB)).unwrap();
    disk.close().unwrap();
    assert!(vdisk::check(&*file, Some(kind)).unwrap().is_sound());
}

/// An image on a simulated storage, durable when the history begins, and what is in it.
fn start((format, provisioning): (ImageFormat, Provisioning), size: u64) -> (SimStorage, Vec<u8>) {
    let storage = SimStorage::new();
    let options = images::options(format, provisioning, size);
    let disk = vdisk::create(Box::new(storage.clone()), format, &options).unwrap();
    let mut bytes = vec![0; index(size)];
    for start in [0, MIB + 700 * KIB, 3 * MIB + 512, size - 70 * KIB] {
        let part = Random::new(start).bytes(64 * 1024);
        disk.write_at(&part, ByteOffset(start)).unwrap();
        bytes[index(start)..index(start) + part.len()].copy_from_slice(&part);
    }
    disk.close().unwrap();
    (SimStorage::from_image(&storage.image()), bytes)
}

fn sound_but_for_an_end_that_is_torn(image: &Arc<SparseMemoryStorage>, format: ImageFormat) {
    let report = vdisk::check(image, Some(format)).unwrap();
    let mut errors = report
        .findings()
        .iter()
        .filter(|f| f.severity == Severity::Error);
    assert!(
        errors.all(|finding| finding.rule == "VHD hard disk footer"),
        "{:?}",
        report.findings()
    );
}

/// After a crash it can be done again, or to the end: what was before both ends is there, and behind it
/// are zeros.
pub(crate) fn resize_again(
    mut disk: Box<dyn ImageDisk>,
    new: u64,
    kept: &[u8],
    open: impl Fn() -> Box<dyn ImageDisk>,
) {
    let size = disk.size().get();
    if new < size {
        disk.discard(range(new, size - new)).unwrap();
    }
    disk.resize(ByteCount(new)).unwrap();
    disk.close().unwrap();
    let found = images::read_all(&*open());
    assert_eq!(found.len(), index(new));
    assert!(found[..kept.len()] == *kept);
    assert!(found[kept.len()..].iter().all(|byte| *byte == 0));
}

/// What the disk holds in an image that a crash left; it has the old size or the new one.
fn look(
    image: SparseMemoryStorage,
    format: ImageFormat,
    (old, new): (u64, u64),
    bytes: &[u8],
) -> ImageInfo {
    let image = Arc::new(image);
    if new > old {
        vdisk::undo_growth(&image, Some(format), ByteCount(old)).unwrap();
    }
    sound_but_for_an_end_that_is_torn(&image, format);
    let open = || vdisk::open(Box::new(image.clone()), Some(format), Access::ReadWrite).unwrap();
    let disk = open();
    let info = disk.info();
    let size = disk.size().get();
    assert!(size == old || size == new, "{size}");
    // Whoever opens it for writing and closes it leaves it without a fault.
    disk.close().unwrap();
    assert!(vdisk::check(&image, Some(format)).unwrap().is_sound());
    let disk = open();
    let mut found = images::read_all(&*disk);
    if format == ImageFormat::Vhd && size > old {
        // A fixed one may show its old footer behind the old end, see `vdisk::vhd`.
        let footer = index(old)..index(old) + 512;
        if found[footer.clone()].starts_with(b"conectix") {
            found[footer].fill(0);
            disk.discard(range(old, 512)).unwrap();
        }
    }
    let kept = index(old.min(new));
    assert!(found[..kept] == bytes[..kept]);
    assert!(found[kept..].iter().all(|byte| *byte == 0) || size == old);
    resize_again(disk, new, &bytes[..kept], open);
    assert!(vdisk::check(&image, Some(format)).unwrap().is_sound());
    info
}

#[test]
fn a_crash_leaves_the_old_size_or_the_new_one() {
    let mut states = 0;
    for kind in KINDS {
        let old = 5 * MIB + 512 * 300;
        // Less, more within the table, and more than it has room for.
        for new in [3 * MIB + 600 * KIB, 9 * MIB, 72 * MIB + 512] {
            if new > 70 * MIB && kind != (ImageFormat::Vhd, Provisioning::Dynamic) {
                continue;
            }
            let (storage, mut bytes) = start(kind, old);
            let open = vdisk::open(Box::new(storage.clone()), Some(kind.0), Access::ReadWrite);
            let mut disk = open.unwrap();
            if new < old {
                disk.discard(range(new, old - new)).unwrap();
                bytes[index(new)..].fill(0);
                disk.flush().unwrap();
            }
            let begun = storage.position();
            disk.resize(ByteCount(new)).unwrap();
            let done = storage.mark("resized").0;
            disk.close().unwrap();
            for state in storage.history().crash_states(CrashPlan::quick(new)) {
                if state.position() < begun {
                    continue;
                }
                let info = look(state.image(), kind.0, (old, new), &bytes);
                if state.position().0 >= done {
                    assert_eq!(info.virtual_size.get(), new, "{state}");
                }
                states += 1;
            }
        }
    }
    println!("{states} crash states of resizes");
    assert!(states > 300, "{states}");
}

/// Both region tables change at once with the size.
#[test]
fn a_crash_while_the_table_of_a_vhdx_moves_leaves_the_old_size_or_the_new_one() {
    let kind = (ImageFormat::Vhdx, Provisioning::Dynamic);
    let (old, new) = (5 * MIB, 300 * 1024 * MIB);
    let (storage, bytes) = start(kind, old);
    let open = vdisk::open(Box::new(storage.clone()), Some(kind.0), Access::ReadWrite);
    let mut disk = open.unwrap();
    disk.resize(ByteCount(new)).unwrap();
    disk.write_at(&[7; 512], ByteOffset(new - 512)).unwrap();
    disk.close().unwrap();
    let mut states = 0;
    for state in storage.history().crash_states(CrashPlan::quick(3)) {
        let image = Arc::new(state.image());
        let open = vdisk::open(Box::new(image.clone()), Some(kind.0), Access::ReadWrite);
        let disk = open.unwrap_or_else(|error| panic!("{state}: {error}"));
        let size = disk.size().get();
        assert!(size == old || size == new, "{state}");
        let mut found = vec![0; index(old)];
        disk.read_at(&mut found, ByteOffset(0)).unwrap();
        assert!(found == bytes, "{state}");
        let report = vdisk::check(&image, Some(kind.0)).unwrap();
        assert!(report.is_sound(), "{state}: {:?}", report.findings());
        states += 1;
    }
    assert!(states > 30, "{states}");
}

#[test]
fn a_full_host_leaves_the_old_size() {
    for kind in KINDS {
        for nth in 0..6 {
            let (old, new) = (5 * MIB, 72 * MIB);
            let (storage, bytes) = start(kind, old);
            let open = vdisk::open(Box::new(storage.clone()), Some(kind.0), Access::ReadWrite);
            let mut disk = open.unwrap();
            let fault = Fault::new(FaultTarget::Change, nth).after_bytes(512);
            storage.inject(fault.no_space().sticky());
            let resized = disk.resize(ByteCount(new));
            storage.clear_faults();
            drop(disk);
            let image = storage.image();
            let info = look(image, kind.0, (old, new), &bytes);
            if resized.is_ok() {
                assert_eq!(info.virtual_size.get(), new, "{kind:?} {nth}");
            }
        }
    }
}

#[test]
fn sizes_that_no_format_has_are_refused() {
    for kind in KINDS {
        let file = File::default();
        let mut disk = images::create(&file, kind.0, kind.1, 4 * MIB);
        for size in [0, 100, 4 * MIB + 1] {
            let error = disk.resize(ByteCount(size)).unwrap_err();
            assert_eq!(error.kind(), ImageErrorKind::InvalidOption, "{kind:?}");
        }
        disk.resize(ByteCount(4 * MIB)).unwrap();
        disk.close().unwrap();
        assert_eq!(images::open(&file, kind.0).size().get(), 4 * MIB);
        let reader = vdisk::open(Box::new(file.clone()), Some(kind.0), Access::ReadOnly);
        let error = reader.unwrap().resize(ByteCount(5 * MIB)).unwrap_err();
        assert_eq!(error.kind(), ImageErrorKind::ReadOnly, "{kind:?}");
    }
}

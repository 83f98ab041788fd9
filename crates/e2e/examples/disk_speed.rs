//! Speed of one open disk: a dynamic VHDX against a raw file, the same operations in turn.
//!
//! `disk_speed FOLDER [ROUNDS]` prints one line of JSON a case: median of the ratio VHDX to raw in
//! operations a second, from rounds that alternate the two. `disk_speed FOLDER allocate COUNT` makes
//! COUNT allocating 4 KiB writes, each followed by a flush, and prints the seconds they took.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has failed"
)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use blockio::{ByteCount, ByteOffset, Disk, FileStorage, SectorSize};
use vdisk::{CreateOptions, IdSource, ImageDisk, ImageFormat, Provisioning};

const SIZE: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    write: bool,
    random: bool,
    request_bytes: u64,
    operations: u64,
    threads: u64,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for threads in [1, 4] {
        for (name, write, random, request_bytes, operations) in [
            ("random 4 KiB reads", false, true, 4096, 400_000),
            ("random 4 KiB writes", true, true, 4096, 150_000),
            ("sequential 1 MiB reads", false, false, MIB, 4096),
            ("sequential 1 MiB writes", true, false, MIB, 2048),
        ] {
            cases.push(Case {
                name,
                write,
                random,
                request_bytes,
                operations,
                threads,
            });
        }
    }
    cases
}

fn options(size: u64) -> CreateOptions {
    CreateOptions {
        size: ByteCount(size),
        provisioning: Provisioning::Dynamic,
        block_size: None,
        logical_sector: SectorSize::B512,
        physical_sector: SectorSize::B4096,
        ids: IdSource::Random,
        unix_time: 0,
    }
}

fn create(path: &Path, format: ImageFormat, options: &CreateOptions) -> Box<dyn ImageDisk> {
    let _ = std::fs::remove_file(path);
    let storage = FileStorage::create_new(path).unwrap();
    vdisk::create(Box::new(storage), format, options).unwrap()
}

/// Fills all disks, so that every block is present, a mebibyte of each in turn: the host's cache
/// keeps early and late writes in pages of different sizes, which later shows in the rates.
fn fill(disks: [&dyn Disk; 2]) {
    let bytes = vec![0x5a; 1 << 20];
    for at in (0..SIZE).step_by(1 << 20) {
        for disk in disks {
            disk.write_at(&bytes, ByteOffset(at)).unwrap();
        }
    }
    for disk in disks {
        disk.flush().unwrap();
    }
}

/// Operations a second of one case on one disk.
fn rate(disk: &dyn Disk, case: Case) -> f64 {
    let next = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..case.threads {
            scope.spawn(|| {
                let mut buffer = vec![0xa5; usize::try_from(case.request_bytes).unwrap()];
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= case.operations {
                        break;
                    }
                    let slots = SIZE / case.request_bytes;
                    let slot = if case.random {
                        (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % slots
                    } else {
                        number % slots
                    };
                    let offset = ByteOffset(slot * case.request_bytes);
                    if case.write {
                        disk.write_at(&buffer, offset).unwrap();
                    } else {
                        disk.read_at(&mut buffer, offset).unwrap();
                    }
                }
            });
        }
    });
    let operations = u32::try_from(case.operations).unwrap();
    f64::from(operations) / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(folder: &Path, rounds: usize) {
    let vhdx = create(
        &folder.join("speed.vhdx"),
        ImageFormat::Vhdx,
        &options(SIZE),
    );
    let raw = create(&folder.join("speed.raw"), ImageFormat::Raw, &options(SIZE));
    fill([&*vhdx, &*raw]);
    for case in cases() {
        let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds {
            // Who comes first changes with the round: what the first leaves in caches helps the next.
            let (a, b) = if round % 2 == 0 {
                let a = rate(&*vhdx, case);
                (a, rate(&*raw, case))
            } else {
                let b = rate(&*raw, case);
                (rate(&*vhdx, case), b)
            };
            if round > 0 {
                ratios.push(a / b);
                ours.push(a);
                theirs.push(b);
            }
        }
        println!(
            "{{\"case\": \"{}, {} thread(s)\", \"vhdx_per_s\": {:.0}, \"raw_per_s\": {:.0}, \"ratio\": {:.3}}}",
            case.name,
            case.threads,
            median(ours),
            median(theirs),
            median(ratios)
        );
    }
    vhdx.close().unwrap();
    raw.close().unwrap();
    for name in ["speed.vhdx", "speed.raw"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
}

fn allocate(folder: &Path, count: u64) {
    let path = folder.join("allocate.vhdx");
    let block = 2 * MIB;
    let options = CreateOptions {
        block_size: Some(ByteCount(block)),
        ..options(count * block)
    };
    let disk = create(&path, ImageFormat::Vhdx, &options);
    let bytes = vec![0x77; 4096];
    let start = Instant::now();
    for number in 0..count {
        disk.write_at(&bytes, ByteOffset(number * block)).unwrap();
        disk.flush().unwrap();
    }
    println!(
        "{{\"seconds\": {:.6}, \"operations\": {count}}}",
        start.elapsed().as_secs_f64()
    );
    disk.close().unwrap();
    std::fs::remove_file(path).unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(
        arguments
            .first()
            .expect("usage: disk_speed FOLDER [ROUNDS]"),
    );
    match arguments.get(1).map(String::as_str) {
        Some("allocate") => allocate(folder, arguments[2].parse().unwrap()),
        Some(rounds) => compare(folder, rounds.parse().unwrap()),
        None => compare(folder, 5),
    }
}
